"""``edgeless-sim top`` with a deployment, whose peers are played here over real sockets."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import anyio
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.api.messages import (
    ComponentMapping,
    ComponentState,
    MirrorPage,
    MirrorPart,
    MirrorQuery,
    WorkflowStatus,
)
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.cli import watching
from edgeless_sim.cli.main import app
from edgeless_sim.cluster.endpoint import Endpoint
from edgeless_sim.cluster.ports import LOOPBACK
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.ids import DomainId, FunctionId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.mirror import (
    DomainMirror,
    MirroredComponent,
    MirroredHealth,
    MirroredNode,
    Point,
    Series,
)
from edgeless_sim.model.node import INVALID_HEALTH, NodeCapabilities
from edgeless_sim.model.resource import ResourceInstanceSpecification

NODES: Final = tuple(NodeId(UUID(int=number)) for number in (1, 2, 3))
SENSOR: Final = LogicalId(UUID(int=11))
INSTANCE: Final = InstanceId(NODES[0], FunctionId(UUID(int=21)))
WORKFLOW: Final = WorkflowId(UUID(int=31))
PAGE: Final = 2
LONELY: Final = "orphan          -        -        -  no domain is feasible\n"


def mirror() -> DomainMirror:
    """A domain of three nodes, and a function that handles two events a second."""
    now_s = time.time()
    health = (MirroredHealth(now_s, replace(INVALID_HEALTH, proc_cpu_usage=100)),)
    capabilities = NodeCapabilities(num_cpus=4)
    specification = ResourceInstanceSpecification(
        class_type="log", configuration={}, workflow_id=WORKFLOW, name="sensor"
    )
    times = [now_s - 0.4 - 0.5 * place for place in range(20)]
    return DomainMirror(
        DomainId("edge"),
        nodes=(
            MirroredNode(NODES[0], capabilities, (), health, "edge/0"),
            MirroredNode(NODES[1], capabilities, (), (), "edge/1", reachable=False),
            MirroredNode(NODES[2], capabilities, (), (), "", cordoned=True),
        ),
        components=(MirroredComponent(SENSOR, resource=specification, instances=(INSTANCE,)),),
        series=(
            Series(
                INSTANCE,
                "function_execution_time",
                tuple(Point(time_s, 0.00456) for time_s in reversed([*times, now_s - 3600])),
            ),
            Series(INSTANCE, "a log", (Point(now_s, "a line"),)),
        ),
    )


class Orchestrator:
    """Shows its domain, *PAGE* things at a time."""

    async def mirror(self, query: MirrorQuery) -> MirrorPage:
        whole = mirror()
        part = query.part.value
        begin = int(query.after or "0")
        rest = getattr(whole, part)[begin:]
        empty = DomainMirror(whole.domain_id)
        page = replace(empty, **{part: rest[:PAGE]})
        return MirrorPage(page, str(begin + PAGE) if len(rest) > PAGE else "")

    async def submit(self, *_: object) -> None: ...

    async def explain(self, *_: object) -> tuple[()]:
        return ()


class Endless(Orchestrator):
    """Has always one more page."""

    async def mirror(self, query: MirrorQuery) -> MirrorPage:
        nodes = (mirror().nodes[0],) if query.part is MirrorPart.NODES else ()
        return MirrorPage(DomainMirror(DomainId("edge"), nodes), "again")


class Controller:
    """Has one workflow that runs, and an orphan."""

    async def list_workflows(self) -> tuple[WorkflowStatus, ...]:
        running = ComponentMapping(
            "sensor", SENSOR, DomainId("edge"), instance=INSTANCE, node="edge/0"
        )
        pending = ComponentMapping(
            "desk", LogicalId(UUID(int=12)), DomainId("edge"), ComponentState.PENDING, "no room"
        )
        return (
            WorkflowStatus(WORKFLOW, (running, pending), "sensors"),
            WorkflowStatus(WorkflowId(UUID(int=32)), (), "lonely", "no domain is feasible"),
        )

    async def domains(self, _: DomainId) -> dict[str, DomainCapabilities]:
        return {"edge": DomainCapabilities(num_nodes=3), "cloud": DomainCapabilities(num_nodes=2)}

    async def _not_here(self, *_: object) -> None:
        raise RejectedError("not here", "")

    start = stop = inspect = migrate = _not_here


@contextmanager
def served(scheme: str, service: str, peer: object) -> Generator[str]:
    """*peer* at a URL, on a loop of its own."""
    ready = threading.Event()
    found: list[Any] = []

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            clock = LoopClock.running()
            endpoint = Endpoint(clock.scheduler, supervisor.spawn)
            role = Role.CONTROLLER if service == "WorkflowInstance" else Role.ORCHESTRATOR
            wires = Wires(role, epoch_ns=clock.epoch_ns, now_ns=clock.now_ns)
            url = f"{scheme}://{LOOPBACK}:0"
            dispatcher = Dispatcher({service: peer}, wires.serving(url))
            stop = anyio.Event()
            found[:] = [
                await endpoint.listen(url, dispatcher),
                anyio.lowlevel.current_token(),
                stop,
            ]
            ready.set()
            await stop.wait()
            endpoint.crash()
            await endpoint.ended()

    thread = threading.Thread(target=lambda: run(main, world="real"))
    thread.start()
    try:
        assert ready.wait(30)
        yield found[0]
    finally:
        _, token, stop = found
        anyio.from_thread.run_sync(stop.set, token=token)
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def strange_peer(answer: Callable[[socket.socket], None]) -> Generator[str]:
    """Somebody who takes connections and does *answer* with each."""
    with socket.create_server((LOOPBACK, 0)) as server, ExitStack() as stack:
        ended = threading.Event()

        def accept() -> None:
            with suppress(OSError):
                while not ended.is_set():
                    connection, _ = server.accept()
                    stack.callback(connection.close)
                    answer(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"{LOOPBACK}:{server.getsockname()[1]}"
        ended.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def nothing(_: socket.socket) -> None:
    """No answer at all."""


def garbage(connection: socket.socket) -> None:
    """An answer in no language."""
    with suppress(OSError):
        connection.sendall(b"\x00\xff" * 4096)


def top(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["top", *arguments], env={"COLUMNS": "200"})
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(watching, "_REQUEST_S", 0.5)
    monkeypatch.setattr(watching, "_PEER_S", 1.5)


@pytest.mark.parametrize("scheme", ["tcp", "http"])
def test_a_deployment_is_shown_as_its_controller_and_orchestrators_see_it(scheme: str) -> None:
    with (
        served(scheme, "WorkflowInstance", Controller()) as controller,
        served(scheme, "DomainMirror", Orchestrator()) as orchestrator,
    ):
        result = top("--controller-url", controller, "--orchestrator-url", orchestrator)
    assert result.exit_code == 0, result.output
    shown = result.stdout.replace(controller, "CON").replace(orchestrator, "ORC")
    if scheme == "http":
        # Why a workflow is an orphan, EDGELESS's wire does not carry.
        shown = shown.replace("orphan          -        -        -\n", LONELY)
    assert (
        shown
        == """\
deployment of CON  rates of 10 s  all answer
3 nodes: 1 alive, 1 cordoned, 1 unreachable; 2 workflows: 1 orphan, 1 pending
the ε-CON at CON answers: domains cloud (2 nodes, not shown: see --orchestrator-url), edge (3 nodes)
the ε-ORC at ORC answers: domain edge

NODE                                  DOMAIN  STATE        CORES  USED  INST  IN/S
edge/1                                edge    unreachable      4     -     0     -
edge/0                                edge    alive            4   25%     1   2.0
00000000-0000-0000-0000-000000000003  edge    cordoned         4     -     0     -

WORKFLOW  ON      STATE    EVENTS/S      P50      P95  REASON
sensors   edge    pending       2.0  4.56 ms  4.56 ms  desk: no room
  sensor  edge/0  running       2.0  4.56 ms  4.56 ms
  desk    -       pending         -        -        -  no room
lonely    -       orphan          -        -        -  no domain is feasible

"""
    )


def test_without_the_controller_the_domains_still_say_what_they_run(hasty: None) -> None:
    with served("tcp", "DomainMirror", Orchestrator()) as orchestrator:
        words = ("--controller-url", "tcp://127.0.0.1:1", "--orchestrator-url", orchestrator)
        result = top(*words, "--format", "json")
    assert result.exit_code == 5
    shown = json.loads(result.stdout)
    assert [peer["answer"] for peer in shown["peers"]] == ["does not answer", "answers"]
    assert shown["phase"] == "1 of 2 say nothing"
    (workflow,) = shown["workflows"]
    assert (workflow["name"], workflow["state"]) == (str(WORKFLOW), "running")
    assert [each["node"] for each in workflow["components"]] == ["edge/0"]


@pytest.mark.parametrize("scheme", ["tcp", "http"])
@pytest.mark.parametrize("answer", [nothing, garbage])
def test_a_peer_that_says_nothing_sensible_is_shown_as_such_in_time(
    hasty: None, scheme: str, answer: Callable[[socket.socket], None]
) -> None:
    begun_s = time.monotonic()
    with (
        served(scheme, "WorkflowInstance", Controller()) as controller,
        strange_peer(answer) as strange,
    ):
        words = ("--controller-url", controller, "--orchestrator-url", f"{scheme}://{strange}")
        result = top(*words)
    assert result.exit_code == 5
    assert f"the ε-ORC at {scheme}://{strange} does not answer: " in result.stdout
    assert "sensors" in result.stdout
    assert time.monotonic() - begun_s < 20


def test_a_peer_of_another_kind_refuses(hasty: None) -> None:
    with served("tcp", "WorkflowInstance", Controller()) as controller:
        result = top("--controller-url", controller, "--orchestrator-url", controller)
    assert result.exit_code == 5
    assert f"the ε-ORC at {controller} refuses: " in result.stdout
    assert "no such method" in result.stdout


def test_an_orchestrator_with_ever_more_pages_is_cut_off(
    hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_PAGES_MAX", 5)
    with (
        served("tcp", "WorkflowInstance", Controller()) as controller,
        served("tcp", "DomainMirror", Endless()) as orchestrator,
    ):
        result = top("--controller-url", controller, "--orchestrator-url", orchestrator)
    assert result.exit_code == 0
    assert "answers: domain edge; more nodes, components, series than are shown" in result.stdout


def test_an_orchestrator_that_nobody_named_may_be_absent(
    hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "ORCHESTRATOR_URL", "tcp://127.0.0.1:1")
    with served("tcp", "WorkflowInstance", Controller()) as controller:
        result = top("--controller-url", controller)
    assert result.exit_code == 0
    assert "the ε-ORC at tcp://127.0.0.1:1 does not answer: " in result.stdout


def test_on_a_terminal_it_is_asked_again_and_again_and_a_silent_peer_holds_up_nobody(
    terminal: Callable[..., Any],
) -> None:
    class Changing(Controller):
        asked = 0

        async def list_workflows(self) -> tuple[WorkflowStatus, ...]:
            self.asked += 1
            return (await super().list_workflows())[: self.asked - 1]

    with (
        served("tcp", "WorkflowInstance", Changing()) as controller,
        served("tcp", "DomainMirror", Orchestrator()) as orchestrator,
        strange_peer(nothing) as silent,
    ):
        named = ("--orchestrator-url", orchestrator, "--orchestrator-url", f"tcp://{silent}")
        with terminal("--controller-url", controller, *named, "--interval", "0.1") as shown:
            shown.until(lambda text: "sensors" in text and "lonely" in text)
            frames = shown.frames()
            # The others have long answered, and again.
            assert any("sensors" in x and f"{silent} is being asked" in x for x in frames)
            shown.until(lambda text: f"tcp://{silent} \x1b[1;31mdoes not answer" in text)
            os.write(shown.master, b"q")
            assert shown.ended() == 0
            assert "lonely" in shown.left()


def test_ctrl_c_is_how_one_ends_it(terminal: Callable[..., Any]) -> None:
    with (
        served("tcp", "WorkflowInstance", Controller()) as controller,
        terminal("--controller-url", controller) as shown,
    ):
        shown.until(lambda text: "sensors" in text)
        shown.process.send_signal(signal.SIGINT)
        assert shown.ended() == 0
        assert "sensors" in shown.left()
        assert "interrupted" not in shown.left()


def test_which_deployment_must_be_said(tmp_path: Path) -> None:
    result = top("-c", str(tmp_path / "cli.toml"))
    assert result.exit_code == 3
    assert "name a scenario to run, or --controller-url" in result.stderr
    assert top("--controller-url", "nonsense").exit_code == 3
    assert top("--controller-url", "tcp://a:1", "--orchestrator-url", "ftp://b").exit_code == 3
