"""Texts of new workflows and scenarios."""

import json
from typing import Final

__all__ = [
    "CRASH_SCENARIO",
    "GREETER",
    "GUIDE_WORKFLOW",
    "WORKFLOW_SCENARIO",
    "workflow_text",
]

GREETER: Final = '''\
"""Two functions of ten lines: one says something once a second, one makes it a greeting."""

from edgeless_sim import PythonFunction


class Clock(PythonFunction):
    """Casts 1, 2, 3 ... once a second."""

    def handle_init(self, payload, state):
        """Begin where the last life of this function ended."""
        self.count = int(state or 0)
        self.edgeless.delayed_cast(1000, "self", "tick")

    def handle_cast(self, source, message):
        """A second has passed."""
        self.count += 1
        self.edgeless.sync(str(self.count))
        self.edgeless.cast("output", str(self.count))
        self.edgeless.delayed_cast(1000, "self", "tick")


class Greeter(PythonFunction):
    """Casts a greeting for each message."""

    def handle_cast(self, source, message):
        """Take a message."""
        self.edgeless.log(f"greeting number {message}")
        self.edgeless.cast("output", f"hello, number {message}\\n")
'''

_HEAD: Final = """\
name = "@name@"
seed = 1
duration = "@duration@"
worlds = ["sim", "tcp", "grpc"]

[[domain]]
name = "edge"
strategy = "RoundRobin"
  [[domain.nodes]]
  count = 3
  cpus = 2
  providers = ["file-log"]

[network]
latency = "5ms"

[[step]]
at = "1s"
do = "start_workflow"
as = "greetings"
"""

WORKFLOW_SCENARIO: Final = (
    "# Runs the workflow beside it for ten seconds.\n"
    + _HEAD.replace("@duration@", "10s")
    + """
[[expect]]
what = "workflow_running"
workflow = "greetings"

[[expect]]
what = "file_contains"
file = "greetings.log"
text = "hello, number 5"

[[expect]]
what = "no_losses"
"""
)

CRASH_SCENARIO: Final = (
    "# A node crashes; what ran there must run elsewhere within ten seconds.\n"
    + _HEAD.replace("@duration@", "30s")
    + """
[[step]]
at = "8s"
do = "crash_node"
node = "@greetings/clock"
restart_after = "15s"

[[expect]]
what = "all_components_running"
after = "8s"
within = "10s"

[[expect]]
what = "moved"
workflow = "greetings"
component = "clock"

[[expect]]
what = "events_handled"
workflow = "greetings"
component = "greeter"
min = 15

[[expect]]
what = "losses_explained"

[[expect]]
what = "no_duplicates"
"""
)

GUIDE_WORKFLOW: Final = """\
{
    "functions": [
        {
            "name": "noop",
            "class_specification": {
                "id": "noop",
                "function_type": "RUST_WASM",
                "version": "0.1",
                "code": "../../functions/noop/noop.wasm",
                "outputs": []
            },
            "output_mapping": {},
            "annotations": {
                "init-payload": "nothing interesting"
            }
        }
    ],
    "resources": [],
    "annotations": {}
}
"""


def workflow_text() -> str:
    """A clock, a greeter and a file."""

    def function(name: str, type_name: str, target: str) -> dict[str, object]:
        return {
            "name": name,
            "class_specification": {
                "id": name,
                "function_type": "PYTHON",
                "version": "0.1",
                "code": f"greeter.py:{type_name}",
                "outputs": ["output"],
            },
            "output_mapping": {"output": target},
            "annotations": {},
        }

    log = {
        "name": "log",
        "class_type": "file-log",
        "output_mapping": {},
        "configurations": {"filename": "greetings.log"},
    }
    workflow = {
        "functions": [function("clock", "Clock", "greeter"), function("greeter", "Greeter", "log")],
        "resources": [log],
        "annotations": {},
    }
    return json.dumps(workflow, indent=4) + "\n"
