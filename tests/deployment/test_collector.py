"""The metrics collector of an ε-ORC: daemons and their files, beside a real Redis (spec 6.14)."""

import json
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import redis as redis_library
from redis.backoff import NoBackoff
from redis.retry import Retry

from edgeless_sim.cluster.ports import free_ports

Until: TypeAlias = Callable[..., Any]
ORC: Final = "orc/d"
NODE: Final = "node/d/0"
STOP_S: Final = 15
TIMER: Final = """\
from edgeless_sim import PythonFunction


class Timer(PythonFunction):
    def __init__(self):
        self.number = -1

    def handle_init(self, *_):
        self.edgeless.cast("self", "next")

    def handle_cast(self, source, message):
        if self.number >= 0:
            self.edgeless.cast("metric", f"workflow:end:{self.number}")
            answer = yield self.edgeless.call("metric", f"function:end:{self.number}")
            self.edgeless.log(f"answered {answer.kind.name} {answer.payload!r}")
        self.number += 1
        self.edgeless.cast("metric", f"workflow:begin:{self.number}")
        self.edgeless.cast("metric", f"function:begin:{self.number}")
        self.edgeless.delayed_cast(50, "self", "next")
"""


class Store:
    """A redis-server that can die and live again."""

    def __init__(self, folder: Path, start: Callable[..., Any]) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
        [self.port] = free_ports(1)
        self._log = folder / "redis.log"
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._start = start
        self._process: Any = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/5"

    def client(self) -> Any:
        return redis_library.Redis(port=self.port, db=5, retry=Retry(NoBackoff(), 0))

    def start(self) -> None:
        self._process = self._start(self._command, self._log)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def samples(self, pattern: str) -> list[str]:
        """What the list has whose key matches; empty if the server is not there yet."""
        try:
            with self.client() as client:
                [key] = client.keys(pattern) or [b"none"]
                return [text.decode() for text in client.lrange(key, 0, -1)]
        except redis_library.RedisError:
            return []


@pytest.fixture
def store(tmp_path: Path, start: Callable[..., Any]) -> Store:
    return Store(tmp_path, start)


def collect(deployment: Any, redis_url: str) -> list[int]:
    """Give the ε-ORC a collector, and return the ports of its node."""
    ports = free_ports(2)
    path = deployment.place(ORC) / "orchestrator.toml"
    agent, invocation = (f"{deployment.scheme}://127.0.0.1:{port}" for port in ports)
    path.write_text(
        path.read_text().replace(
            "[baseline]\n",
            f'agent_url = "{agent}"\ninvocation_url = "{invocation}"\n[collector]\n'
            f'collector_type = "Redis"\nredis_url = "{redis_url}"\n[baseline]\n',
        )
    )
    return list(ports)


def timing_workflow(deployment: Any) -> Path:
    """A workflow that measures itself; the node may run Python."""
    folder: Path = deployment.folder
    with (deployment.place(NODE) / "node.toml").open("a") as file:
        file.write(f'[python_runtime]\nenabled = true\nfolders = ["{folder}"]\n')
    (folder / "timer.py").write_text(TIMER)
    specification = {
        "id": "timer",
        "function_type": "PYTHON",
        "version": "1",
        "code": str(folder / "timer.py:Timer"),
        "outputs": ["metric"],
    }
    timer = {
        "name": "timer",
        "class_specification": specification,
        "output_mapping": {"metric": "collector"},
        "annotations": {},
    }
    collector = {
        "name": "collector",
        "class_type": "metrics-collector",
        "output_mapping": {},
        "configurations": {"wf_name": "wf0", "alpha": "0.5"},
    }
    path = folder / "timing.json"
    path.write_text(json.dumps({"functions": [timer], "resources": [collector], "annotations": {}}))
    return path


def test_what_a_workflow_measures_of_itself_is_in_redis_even_if_that_comes_late_and_dies(
    deployment: Any, store: Store, until: Until
) -> None:
    collect(deployment, store.url)
    workflow = timing_workflow(deployment)
    deployment.start()
    deployment.cli("domain", "wait", "--nodes", "2")
    deployment.cli("workflow", "start", str(workflow))
    until(lambda: "samples wait" in deployment.said(ORC), lambda: deployment.said(ORC))
    store.start()
    until(lambda: len(store.samples("workflow:wf0:samples")) > 10)
    samples = store.samples("function:*:samples")
    assert len(samples) > 5
    elapsed_ms, _, at = samples[0].partition(",")
    assert 40 <= int(elapsed_ms) < 5_000
    assert at.replace(".", "").isdigit()
    with store.client() as client:
        assert float(client.get("workflow:wf0:average")) >= 40
        assert len(client.keys("*")) == 4
    store.kill()
    store.start()
    until(lambda: store.samples("workflow:wf0:samples"))
    assert "answered REPLY ''" in deployment.said(NODE)
    assert "timer placed on " in deployment.said(ORC)
    assert "orc/d/collector: no CPU" in deployment.said(ORC)
    for name in (ORC, NODE):
        deployment.signal(name, signal.SIGTERM)
        assert deployment.processes[name].wait(STOP_S) == 0
        assert "Traceback" not in deployment.said(name)


def test_without_a_redis_url_the_orchestrator_names_the_key_and_the_remedy(deployment: Any) -> None:
    collect(deployment, "")
    deployment.start(ORC)
    assert deployment.processes[ORC].wait(STOP_S) == 3
    assert (
        "orchestrator.toml:8: collector.redis_url: it is needed, too: write redis://HOST:PORT"
        in deployment.said(ORC)
    )


def test_an_address_of_the_collector_that_is_taken_is_named_with_its_key(
    deployment: Any, start: Callable[..., Any], until: Until
) -> None:
    agent, _ = collect(deployment, "redis://127.0.0.1")
    start(["python", "-m", "http.server", "-b", "127.0.0.1", str(agent)], deployment.folder / "web")
    until(lambda: _listens(agent))
    deployment.start(ORC)
    assert deployment.processes[ORC].wait(STOP_S) == 1
    assert "orchestrator.toml:4: general.agent_url: " in deployment.said(ORC)
    assert "Traceback" not in deployment.said(ORC)


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
