"""What components send one another, as people see it: captured in each world, and between others'
programs; filtered, counted, decoded; and what is said where that cannot be.
"""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from edgeless_sim.cli.main import app
from edgeless_sim.cluster.capture import Capture
from edgeless_sim.cluster.capture_file import (
    VERSION,
    CapturedFrame,
    CaptureHeader,
    CaptureWriter,
    Refused,
)
from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.deployment_client import open_controller
from edgeless_sim.cluster.ports import free_ports
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.errors import UnknownComponentError
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.event import EventType
from edgeless_sim.model.ids import DomainId, WorkflowId

ROOT: Final = Path(__file__).parents[2]
PING_PONG: Final = ROOT / "scenarios" / "ping_pong" / "workflow.json"
SCENARIO: Final = """\
name = "short"
seed = 4
duration = "4s"

[[domain]]
name = "edge"
strategy = "RoundRobin"
nodes = [{count = 2}]

[[step]]
at = "0.5s"
do = "start_workflow"
file = "FILE"
as = "game"

[[expect]]
what = "workflow_running"
workflow = "game"
"""
TOPOLOGY: Final = Topology((DomainTopology("edge", (NodeGroup(count=2),), strategy="RoundRobin"),))
HANDLE: Final = "FunctionInvocation/Handle"
START: Final = "/edgeless_api.FunctionInstance/Start"


def wire(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["wire", *arguments])
    assert "Traceback" not in result.output
    return result


def shown(path: Path, *options: str) -> list[dict[str, Any]]:
    result = wire("--show", str(path), "--format", "json", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a short scenario in virtual time."""
    folder = tmp_path_factory.mktemp("wire")
    text = SCENARIO.replace("FILE", PING_PONG.as_posix())
    (folder / "scenario.toml").write_text(text, encoding="utf-8")
    path = folder / "capture.jsonl"
    result = wire("--capture", str(path), "--scenario", str(folder), "--seed", "7")
    assert result.exit_code == 0, result.output
    frames = len(path.read_bytes().splitlines()) - 1
    assert f"{frames} frames in {path}" in result.stdout
    return path


def capture_in(world: str, path: Path, *, processes: bool) -> None:
    """Ping-pong in a real world, until two calls have been answered."""
    answers: list[object] = []

    def count(records: Any) -> None:
        sent = (each for each in records if each[1] == "send")
        answers.extend(each for each in sent if each[5] == EventType.CALL_RET)

    async def main(capture: Capture) -> None:
        async with open_topology(
            TOPOLOGY, world=world, processes=processes, in_path=False, capture=capture
        ) as cluster:
            cluster.journal.subscribe(count)
            await cluster.start_workflow(PING_PONG, name="game")

            async def two_answers() -> bool:
                await cluster.caught_up()
                return len(answers) >= 2

            await cluster.wait_for(two_answers)

    with Capture(path) as capture:
        run(lambda: main(capture), world=world)


def check_ping_pong(frames: list[dict[str, Any]]) -> None:
    """Everything is there once, with who sent it to whom, and what it said."""
    methods = Counter(each["method"] for each in frames)
    ways = Counter((each["method"], each["from"], each["to"]) for each in frames)
    nodes = ["node/edge/0", "node/edge/1"]
    assert ways["WorkflowInstance/Start", "client", "con"] == 1
    assert ways["FunctionInstance/Start", "con", "orc/edge"] == 2
    assert [ways["FunctionInstance/Start", "orc/edge", node] for node in nodes] == [1, 1]
    assert methods["FunctionInstance/Start"] == 4
    assert methods["DomainRegistration/UpdateDomain"] >= 2
    assert (
        ways["DomainRegistration/UpdateDomain", "orc/edge", "con"]
        == methods["DomainRegistration/UpdateDomain"]
    )
    assert all(ways["NodeRegistration/UpdateNode", node, "orc/edge"] >= 1 for node in nodes)
    assert methods[HANDLE] >= 4
    assert ways[HANDLE, nodes[0], nodes[1]] + ways[HANDLE, nodes[1], nodes[0]] == methods[HANDLE]
    assert not [each for each in frames if "request_fault" in each or "reply_fault" in each]
    (start,) = (each for each in frames if each["method"] == "WorkflowInstance/Start")
    assert start["request"]["name"] == "game"
    assert {each["name"] for each in start["reply"]["mapping"]} == {"pinger", "ponger"}
    events = [each["request"] for each in frames if each["method"] == HANDLE]
    assert [(each["kind"], each["payload"]) for each in events[:3]] == [
        ("CALL", "PING-0"),
        ("CALL_RET", "PONG"),
        ("CALL", "PING-1"),
    ]
    assert [each["ns"] for each in frames] == sorted(each["ns"] for each in frames)


def test_a_run_in_virtual_time_is_captured(capture: Path) -> None:
    frames = shown(capture)

    check_ping_pong(frames)
    assert {each["wire"] for each in frames} == {"msgpack"}


def test_a_run_over_grpc_is_captured(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    capture_in("grpc", path, processes=False)
    frames = shown(path)

    check_ping_pong(frames)
    assert {each["wire"] for each in frames} == {"protobuf"}


def test_the_frames_of_many_processes_become_one_capture(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    capture_in("tcp", path, processes=True)
    frames = shown(path)

    check_ping_pong(frames)
    assert {each["wire"] for each in frames if each["method"] == HANDLE} == {"event-frame"}
    # The parts are gone.
    assert list(tmp_path.iterdir()) == [path]


# -- showing ------------------------------------------------------------------------------------


def test_people_see_a_line_per_frame_and_totals_per_method(capture: Path) -> None:
    text = wire("--show", str(capture)).stdout
    lines, totals = (part.splitlines() for part in text.split("\n\n"))
    starts = [line.split() for line in lines if "WorkflowInstance/Start" in line]

    assert len(lines) == len(capture.read_bytes().splitlines()) - 1
    assert starts[0][:5] == ["0.500000", "client", "->", "con", "WorkflowInstance/Start"]
    assert "binary=<3.31 kB>" in text
    assert max(map(len, lines)) < 300
    by_method = {line.split()[0]: line.split()[1:] for line in totals}
    assert by_method["FunctionInstance/Start"][0] == "4"
    assert by_method[HANDLE][-2:] == ["-", "-"]


def test_plain_has_the_same_as_columns(capture: Path) -> None:
    lines = [
        line.split("\t")
        for line in wire("--show", str(capture), "--format", "plain").stdout.splitlines()
    ]
    kinds = Counter(line[0] for line in lines)

    assert kinds["frame"] == len(shown(capture))
    assert {len(line) for line in lines if line[0] == "frame"} == {12}
    assert ["method", "FunctionInstance/Start", "4"] in [line[:3] for line in lines]


@pytest.mark.parametrize(
    ("options", "methods"),
    [
        (["--method", "functioninstance/start"], {"FunctionInstance/Start"}),
        (["--method", "Start"], {"FunctionInstance/Start", "WorkflowInstance/Start"}),
        (["--method", "*/Update*", "--to", "con"], {"DomainRegistration/UpdateDomain"}),
        (["--from", "edge/0", "--to", "node/*"], {HANDLE}),
        (["--from", "client", "--method", "Start"], {"WorkflowInstance/Start"}),
    ],
)
def test_frames_are_chosen(capture: Path, options: list[str], methods: set[str]) -> None:
    assert {each["method"] for each in shown(capture, *options)} == methods


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--method", "UpdateNod"], "did you mean 'UpdateNode'?"),
        (["--from", "orc/edg"], "did you mean 'orc/edge'?"),
        (["--from", "con", "--method", "UpdateNode"], "no frame fits all"),
    ],
)
def test_a_choice_without_a_frame_says_what_there_is(
    capture: Path, options: list[str], hint: str
) -> None:
    result = wire("--show", str(capture), *options)

    assert result.exit_code == 4
    assert hint in result.stderr


def captured(method: str, name: str, request: bytes, **more: Any) -> CapturedFrame:
    return CapturedFrame(
        ns=1, source="a", target="b", kind="call", method=method, wire=name, request=request, **more
    )


def test_what_cannot_be_read_is_shown_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    header = CaptureHeader(edgeless_sim_capture=VERSION, world="relay", epoch_ns=0)
    writer = CaptureWriter(path, header)
    event = "/edgeless_api.FunctionInvocation/Handle"
    for each in (
        captured(START, "protobuf", b"\xff\xff", reply=b"\xff"),
        captured(START, "msgpack", b"\xc1", reply=b"\x07", took_ns=5),
        captured(START, "smoke-signals", b"?"),
        captured("/edgeless_api.GuestAPIHost/Cast", "protobuf", b"\x0a\x00", reply=b""),
        captured(event, "protobuf", b"rubbish"),
        captured(event, "event-frame", b"\x02"),
        captured(event, "msgpack", b"\x90"),
        captured("/evil\x1b[31m\n", "msgpack", b"", error="\x1b]0;"),
        captured(
            START, "protobuf", b"", refusal=Refused("internal.no-feasible-node", "none"), took_ns=9
        ),
    ):
        writer.write(each)
    writer.close()
    table = wire("--show", str(path))
    frames = shown(path)

    assert table.exit_code == 0
    assert "\x1b" not in table.stdout
    assert table.stdout.count("not read: ") >= 10
    assert "there is no wire 'smoke-signals'" in table.stdout
    assert sum("request_fault" in each for each in frames) == 9
    assert frames[0]["request_raw"] == "//8="
    assert frames[8]["refusal"] == {
        "type": "NoFeasibleNodeError",
        "summary": "none",
        "detail": None,
    }


def test_a_file_that_is_cut_off_is_shown_up_to_there_with_a_warning(
    capture: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes(capture.read_bytes()[:-50])
    result = wire("--show", str(path), "--format", "json")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == len(shown(capture)) - 1
    assert "cut.jsonl, line" in result.stderr
    assert "cut off" in result.stderr


# -- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        ([], 2, "either --capture or --show"),
        (["--show", "f", "--capture", "f"], 2, "either --capture or --show"),
        (["--show", "f", "--seed", "0"], 2, "--seed does not go with --show"),
        (["--show", "f", "--format", "xml"], 2, "none of table, json, plain"),
        (["--capture", "f"], 2, "capture what?"),
        (["--capture", "f", "--scenario", "noop", "--method", "m"], 2, "--method does not go"),
        (["--capture", "f", "--scenario", "noop", "--to", "tcp://a:1"], 2, "--scenario does not"),
        (["--capture", "f", "--scenario", "noop", "--in-process"], 2, "--in-process is for"),
        (["--capture", "f", "--listen", "tcp://a:1"], 2, "--to is missing"),
        (["--capture", "f", "--to", "tcp://a:1"], 2, "--listen is missing"),
        (["--capture", "f", "--listen", "tcp://a:1", "--to", "http://b:1"], 3, "translate"),
        (["--capture", "f", "--listen", "a", "--to", "tcp://b:1"], 3, "not an address"),
        (["--capture", "no/f", "--scenario", "noop"], 1, "cannot be written"),
        (["--capture", "f", "--scenario", "nop"], 4, "did you mean 'noop'?"),
        (["--capture", "f", "--scenario", "noop", "--world", "mars"], 3, "no world 'mars'"),
        (["--show", "nowhere"], 4, "no such file"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(
    arguments: list[str],
    code: int,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = wire(*arguments)

    assert (result.exit_code, hint in " ".join(result.stderr.split())) == (code, True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_capture_is_neither_shown_nor_replaced(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text("name = 'mine'\n")

    result = wire("--show", str(path))
    assert (result.exit_code, "no capture" in result.stderr) == (3, True)
    assert wire("--capture", str(path), "--scenario", "noop", "--force").exit_code == 1
    assert path.read_text() == "name = 'mine'\n"


# -- between the parts of a real deployment -----------------------------------------------------


@contextmanager
def started(*arguments: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """A process of ours, and the first line that it prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "edgeless_sim", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("scheme", "end"), [("tcp", signal.SIGINT), ("http", signal.SIGTERM)], ids=["tcp", "http"]
)
def test_a_relay_stands_between_a_client_and_a_controller(
    scheme: str, end: signal.Signals, tmp_path: Path
) -> None:
    url = f"{scheme}://127.0.0.1:{free_ports(1)[0]}"
    file, path = tmp_path / "controller.toml", tmp_path / "capture.jsonl"
    file.write_text(f'controller_url = "{url}"\npersistence_filename = ""\n')
    unknown = WorkflowId(UUID(int=7))

    async def ask(at: str) -> None:
        async with open_controller(at, timeout_s=20) as controller:
            assert await controller.domains(DomainId("")) == {}
            with pytest.raises(UnknownComponentError, match=str(unknown)):
                await controller.inspect(unknown)

    with ExitStack() as stack:
        stack.enter_context(started("component", "con", str(file)))
        options = ("--listen", f"{scheme}://127.0.0.1:0", "--to", url)
        relay, line = stack.enter_context(started("wire", "--capture", str(path), *options))
        run(lambda: ask(line.split()[1]), world="real")
        relay.send_signal(end)
        output, _ = relay.communicate(timeout=20)

    assert relay.returncode == 0
    assert f"2 frames in {path}" in output
    domains, inspect = shown(path)
    assert (domains["method"], domains["reply"]) == ("WorkflowInstance/Domains", {})
    assert (inspect["to"], inspect["request"]) == (url, str(unknown))
    assert inspect["refusal"]["type"] == "UnknownComponentError"
