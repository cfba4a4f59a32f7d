"""The EDGELESS platform in one process: what a notebook or a test needs, and nothing else.

The names are loaded when they are first used (PEP 562): importing the package takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # For type checkers; at run time `__getattr__` does the same, lazily.
    from edgeless_sim.cluster.cluster import Cluster, open_topology
    from edgeless_sim.cluster.domain_client import open_domain
    from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
    from edgeless_sim.errors import (
        BadCodeError,
        DeadlockError,
        EdgelessError,
        ExpectationError,
        GuestError,
        NoFeasibleDomainError,
        NoFeasibleNodeError,
        RejectedError,
        ResourceError,
        ScenarioError,
        SimulationError,
        SpecError,
        TrapError,
        UnknownComponentError,
        UnreachableError,
        WorkflowSpecError,
    )
    from edgeless_sim.kernel.loop import run
    from edgeless_sim.model.event import CallReturn, CallReturnKind
    from edgeless_sim.model.intent import Cordon, Migrate, Uncordon
    from edgeless_sim.runtimes.python_function import CallError, PythonFunction
    from edgeless_sim.scenario.loader import load_scenario
    from edgeless_sim.scenario.model import Scenario
    from edgeless_sim.scenario.outcome import Outcome, Verdict
    from edgeless_sim.scenario.runner import open_cluster, run_scenario

__all__ = [
    "BadCodeError",
    "CallError",
    "CallReturn",
    "CallReturnKind",
    "Cluster",
    "Cordon",
    "DeadlockError",
    "DomainTopology",
    "EdgelessError",
    "ExpectationError",
    "GuestError",
    "LinkTopology",
    "Migrate",
    "NoFeasibleDomainError",
    "NoFeasibleNodeError",
    "NodeGroup",
    "Outcome",
    "PythonFunction",
    "RejectedError",
    "ResourceError",
    "Scenario",
    "ScenarioError",
    "SimulationError",
    "SpecError",
    "Topology",
    "TrapError",
    "Uncordon",
    "UnknownComponentError",
    "UnreachableError",
    "Verdict",
    "WorkflowSpecError",
    "load_scenario",
    "open_cluster",
    "open_domain",
    "open_topology",
    "run",
    "run_scenario",
]

_HOMES = {
    "Cluster": "cluster.cluster",
    "open_topology": "cluster.cluster",
    "open_domain": "cluster.domain_client",
    "DomainTopology": "cluster.topology",
    "LinkTopology": "cluster.topology",
    "NodeGroup": "cluster.topology",
    "Topology": "cluster.topology",
    "run": "kernel.loop",
    "CallReturn": "model.event",
    "CallReturnKind": "model.event",
    "Cordon": "model.intent",
    "Migrate": "model.intent",
    "Uncordon": "model.intent",
    "CallError": "runtimes.python_function",
    "PythonFunction": "runtimes.python_function",
    "load_scenario": "scenario.loader",
    "Scenario": "scenario.model",
    "Outcome": "scenario.outcome",
    "Verdict": "scenario.outcome",
    "open_cluster": "scenario.runner",
    "run_scenario": "scenario.runner",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'edgeless_sim' has no attribute {name!r}")
    # What has no home of its own is an error.
    home = import_module(f"edgeless_sim.{_HOMES.get(name, 'errors')}")
    value: object = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
