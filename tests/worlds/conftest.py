"""What the tests of worlds share: in which world they run, and runs of scenarios over the wire."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource
from edgeless_sim.model.worlds import REAL_WORLDS, WORLDS

ROOT: Final = Path(__file__).parents[2]
#: Runs wait most of the time; their starts do not, and must not disturb those under way.
RUNS_AT_A_TIME: Final = min(4, (os.cpu_count() or 1) + 1)
TIMEOUT_S: Final = 180


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a parameter ``world`` runs in every world, or in that of the option."""
    if "world" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--edgeless-world")
        worlds = WORLDS if chosen is None else (chosen,)
        marked = [pytest.param(each, marks=pytest.mark.edgeless(world=each)) for each in worlds]
        metafunc.parametrize("world", marked)


# -- clusters in this process ---------------------------------------------------------------------


@pytest.fixture
def topology() -> Topology:
    """Three nodes, which are given up when they are silent for two seconds: real time is dear."""
    nodes = (NodeGroup(count=3, cpus=2, providers=("file-log",)),)
    edge = DomainTopology("edge", nodes=nodes, strategy="RoundRobin", keep_alive_s=0.5)
    return Topology(domains=(edge,), links=(LinkTopology(latency_ns=1_000_000),))


@pytest.fixture
def relays() -> SpawnWorkflowRequest:
    """Two compiled relays and a file; one that answers calls."""

    def compiled(name: str, kind: str, **outputs: str) -> WorkflowFunction:
        binary = (ROOT / "functions" / kind / f"{kind}.wasm").read_bytes()
        code = FunctionClassSpecification(
            kind, "RUST_WASM", "0.1", binary=binary, outputs=tuple(outputs)
        )
        return WorkflowFunction(name, code, outputs, {})

    return SpawnWorkflowRequest(
        (
            compiled("first", "relay", out="second"),
            compiled("second", "relay", out="log"),
            compiled("desk", "relay", out="oracle"),
            compiled("oracle", "pong"),
        ),
        (WorkflowResource("log", "file-log", {}, {"filename": "relays.log"}),),
        {},
    )


# -- scenarios, each component a process of its own -----------------------------------------------


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    command: str
    folder: Path
    returncode: int
    output: str

    def check(self) -> None:
        """Fail unless everything was as expected, and nobody complained."""
        assert self.returncode == 0, f"{self.command}\n{self.output}"
        assert "result: passed" in self.output, self.output
        assert "Traceback" not in self.output, self.output


class WireRuns:
    """Runs several scenarios at a time, each as a user would."""

    def __init__(self, folder: Path, wanted: Iterable[tuple[str, str]]) -> None:
        """*wanted*: scenario and world of the runs to begin at once."""
        self._folder = folder
        self._pool = ThreadPoolExecutor(RUNS_AT_A_TIME)
        self._runs: dict[tuple[str, str], Future[Run]] = {
            key: self._pool.submit(self._run, *key) for key in dict.fromkeys(wanted)
        }

    def result(self, scenario: str, world: str) -> Run:
        """The run of *scenario* in *world*, when it has ended."""
        return self._runs[scenario, world].result()

    def close(self) -> None:
        """Begin no further run, and wait for those under way."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, scenario: str, world: str) -> Run:
        out = self._folder / f"{scenario}-{world}"
        words = ["run", scenario, "--world", world, "--out", str(out)]
        done = subprocess.run(
            [sys.executable, "-m", "edgeless_sim", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Run(shlex.join(["edgeless-sim", *words]), out, done.returncode, done.stdout)


@pytest.fixture(scope="session")
def wire_runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Callable[[str, str], Run]]:
    """``wire_runs(scenario, world)``: the runs that the selected tests of this folder need are
    begun together, because each of them mostly waits."""
    wanted: list[tuple[str, str]] = []
    for item in request.session.items:
        scenario = _parameter(item, "wire_scenario")
        if scenario is not None:
            worlds = [_parameter(item, "wire_world")]
            wanted += [(scenario, each) for each in (worlds if worlds[0] else REAL_WORLDS) if each]
    runs = WireRuns(tmp_path_factory.mktemp("wire"), wanted)
    yield runs.result
    runs.close()


def _parameter(item: pytest.Item, name: str) -> str | None:
    callspec = getattr(item, "callspec", None)
    value = None if callspec is None else callspec.params.get(name)
    return None if value is None else str(value)
