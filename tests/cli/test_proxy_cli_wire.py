"""proxy_cli without a Redis: it asks ε-ORCs and an ε-CON over the wire (spec 7.5)."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias
from uuid import UUID

import msgspec
import pytest
from typer.testing import CliRunner, Result

from edgeless_sim.api.messages import (
    ComponentMapping,
    MirrorPage,
    MirrorPart,
    MirrorQuery,
    WorkflowInfo,
    WorkflowStatus,
)
from edgeless_sim.cli.answers import Answer
from edgeless_sim.cli.proxy_cli import app
from edgeless_sim.cli.proxy_top import Screen, keep_showing
from edgeless_sim.cluster.mirror_client import merged_mirrors
from edgeless_sim.cluster.ports import LOOPBACK, free_ports
from edgeless_sim.errors import RejectedError, UnknownComponentError, UnreachableError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.decision import Decision
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import DomainId, FunctionId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.intent import Cordon, Intent, Migrate
from edgeless_sim.model.mirror import (
    DomainMirror,
    MirroredComponent,
    MirroredHealth,
    MirroredNode,
    Point,
    Series,
)
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus
from edgeless_sim.model.resource import (
    ResourceInstanceSpecification,
    ResourceProviderSpecification,
)
from edgeless_sim.model.workflow import SpawnWorkflowRequest

Ask: TypeAlias = Callable[..., Result]
WORKFLOW: Final = WorkflowId(UUID("193f5335-96e4-45f8-8ca9-219603cf70f5"))
PING, LOG, FAR = (LogicalId(UUID(f"{digit}65ae2b9-0b15-4ab6-8a06-cf52287d0276")) for digit in "dea")
NODE, OTHER, AWAY = (NodeId(UUID(f"{digit}ba123fd-e697-4e92-8413-ff63fd70ae9c")) for digit in "195")


def _pid(node_id: NodeId, digit: int) -> InstanceId:
    return InstanceId(node_id, FunctionId(UUID(int=(1 << 120) + digit)))


def _ping(logical_id: LogicalId, name: str, *instances: InstanceId) -> MirroredComponent:
    code = FunctionClassSpecification("ping", "RUST_WASM", "1", outputs=("out",))
    request = SpawnFunctionRequest(code, {}, StateSpecification(UUID(int=7)), WORKFLOW, name=name)
    return MirroredComponent(logical_id, function=request, instances=instances)


def _edge() -> DomainMirror:
    """A domain of two nodes with a function and a resource."""
    now_s = time.time()
    log = ResourceInstanceSpecification("file-log", {"filename": "f"}, WORKFLOW, name="log")
    health = NodeHealthStatus(mem_used=3, mem_available=4, load_avg_1=12)
    ping, logging = _pid(NODE, 1), _pid(OTHER, 2)
    return DomainMirror(
        DomainId("edge"),
        (
            MirroredNode(
                NODE,
                NodeCapabilities(labels=("hostname=vm",), runtimes=("RUST_WASM",)),
                health=(
                    MirroredHealth(now_s - 5, NodeHealthStatus(load_avg_1=99)),
                    MirroredHealth(now_s, health),
                ),
                name="edge/0",
            ),
            MirroredNode(
                OTHER,
                NodeCapabilities(),
                (ResourceProviderSpecification("edge/1-file-log", "file-log"),),
                name="edge/1",
                cordoned=True,
            ),
        ),
        (
            _ping(PING, "ping", ping),
            MirroredComponent(LOG, resource=log, instances=(logging,)),
        ),
        (
            Series(
                ping,
                "function_execution_time",
                (Point(now_s - 90, 100.0), Point(now_s - 2, 0.001), Point(now_s - 1, 0.0031)),
            ),
            Series(ping, "function_transfer_time", (Point(now_s - 1, 0.00044),)),
            Series(ping, "said", (Point(now_s - 1, "a, b"),)),
            Series(logging, "function_execution_time", (Point(now_s - 90, 1.0),)),
        ),
        {"instance": now_s},
    )


class Orchestrator:
    """Shows one domain, an entry on each page, and keeps the intents that it is given."""

    def __init__(self, shown: DomainMirror, refuses: str = "") -> None:
        self._shown = shown
        self._refuses = refuses
        self.intents: list[Intent] = []
        self.queries: list[MirrorQuery] = []

    async def mirror(self, query: MirrorQuery) -> MirrorPage:
        self.queries.append(query)
        part = query.part.value
        entries = getattr(self._shown, part)
        at = int(query.after or 0)
        some = entries[at : at + 1]
        if query.part is MirrorPart.SERIES:
            some = tuple(
                msgspec.structs.replace(
                    each, points=tuple(p for p in each.points if p.time_s >= query.since_s)
                )
                for each in some
            )
        page = DomainMirror(self._shown.domain_id, **{part: some})
        return MirrorPage(page, str(at + 1) if at + 1 < len(entries) else "")

    async def submit(self, intent: Intent) -> None:
        if self._refuses:
            raise RejectedError("no such intent", self._refuses)
        self.intents.append(intent)

    async def explain(self, components: tuple[LogicalId, ...]) -> tuple[Decision, ...]:
        return ()


class Controller:
    """Knows one workflow; lists it as EDGELESS's own does, without saying where it is."""

    _status = WorkflowStatus(
        WORKFLOW,
        (
            ComponentMapping("ping", PING, DomainId("edge")),
            ComponentMapping("log, too", LOG, DomainId("edge")),
        ),
        "game",
    )

    async def list_workflows(self) -> tuple[WorkflowStatus, ...]:
        return (WorkflowStatus(WORKFLOW, (), "game"),)

    async def inspect(self, workflow_id: WorkflowId) -> WorkflowInfo:
        if workflow_id != WORKFLOW:
            raise UnknownComponentError("unknown workflow", str(workflow_id))
        return WorkflowInfo(SpawnWorkflowRequest((), (), {}), self._status)

    start = stop = migrate = domains = None


def _ask(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.fixture
def edge() -> Orchestrator:
    return Orchestrator(_edge())


@pytest.mark.parametrize("scheme", ["tcp", "http"])
def test_an_orchestrator_is_asked_page_by_page(scheme: str, serve: Ask, edge: Orchestrator) -> None:
    url = str(serve(scheme, DomainMirror=edge))
    answer = _ask("-p", "None", "--orchestrator-url", url, "show", "node", "instances")
    assert (answer.stderr, answer.exit_code) == ("", 0)
    # Who has no host name goes by its name.
    assert answer.stdout == f"vm\n[F] {PING}\nedge/1\n[R] {LOG}\n"
    assert [(query.part.value, query.after) for query in edge.queries] == [
        ("nodes", ""),
        ("nodes", "1"),
        ("components", ""),
        ("components", "1"),
    ]


def test_each_verb_works_without_a_redis(serve: Ask, edge: Orchestrator, tmp_path: Path) -> None:
    url = str(serve("tcp", DomainMirror=edge))

    def shown(*words: str) -> str:
        answer = _ask("--orchestrator-url", url, *words)
        assert (answer.stderr, answer.exit_code) == ("", 0)
        return answer.stdout

    assert shown("show", "functions") == f"{PING} -> {NODE}\n"
    assert shown("show", "resources") == f"{LOG} -> edge/1\n"
    assert shown("show", "logical-to-physical").splitlines() == [
        f"{PING} -> {_pid(NODE, 1).function_id}",
        f"{LOG} -> {_pid(NODE, 2).function_id}",
    ]
    assert shown("show", "node", "resource-providers") == (
        f"edge/1-file-log -> class_type file-log, node_id {OTHER}, outputs []\n"
    )
    assert "load avg 1 minute 12%" in shown("show", "node", "health")
    assert shown("show", "node", "capabilities", "--format", "table").endswith("cordoned\n")
    assert shown("top", "nodes", "--once") == (
        "vm\tRUST_WASM\t12\t0\t0.75\t0\t0\nedge/1\t-\t-\t-\t-\t-\t-\n"
    )
    assert len(shown("dump", "instances", "--out", str(tmp_path)).splitlines()) == 2
    assert len(shown("dump", "performance", "--out", str(tmp_path)).splitlines()) == 4


def test_an_intent_goes_to_the_orchestrator_whose_domain_it_is_about(
    serve: Ask, edge: Orchestrator
) -> None:
    far = Orchestrator(
        DomainMirror(
            DomainId("far"),
            (MirroredNode(AWAY, NodeCapabilities(), name="far/0"),),
            (_ping(FAR, "pong", _pid(AWAY, 3)),),
        )
    )
    both = []
    for one in (edge, far):
        both += ["--orchestrator-url", str(serve("tcp", DomainMirror=one))]
    assert _ask(*both, "intent", "migrate", "ping", "edge/1").exit_code == 0
    assert _ask(*both, "intent", "cordon", "far/0").exit_code == 0
    assert edge.intents == [Migrate(PING, (OTHER,))]
    assert far.intents == [Cordon(AWAY)]
    shown = _ask(*both, "show", "functions", "--node-print-format", "hostname")
    assert shown.exit_code == 2, "it stands before the verb"
    listed = _ask(*both, "show", "functions", "-q").stdout.split()
    assert listed == [str(FAR), str(PING)]
    stranger = _ask(*both, "intent", "cordon", str(UUID(int=9)))
    assert (stranger.exit_code, stranger.stderr[:26]) == (4, "error: no ε-ORC shows 0000")


def test_a_refusal_of_the_orchestrator_exits_1(serve: Ask) -> None:
    url = str(serve("http", DomainMirror=Orchestrator(_edge(), refuses="not today")))
    answer = _ask("--orchestrator-url", url, "intent", "cordon", "vm")
    assert answer.exit_code == 1
    assert answer.stderr == "error: no such intent [detail: not today]\n"


def test_top_workflow_shows_the_last_minute(serve: Ask, edge: Orchestrator) -> None:
    where = ["--orchestrator-url", str(serve("tcp", DomainMirror=edge))]
    where += ["-c", str(serve("tcp", WorkflowInstance=Controller()))]
    for which in ("game", str(WORKFLOW), str(WORKFLOW)[:6]):
        answer = _ask(*where, "top", "workflow", which, "--once")
        assert (answer.stderr, answer.exit_code) == ("", 0)
        assert answer.stdout == (
            "log, too\tedge\tedge/1\t-\t-\t-\t-\t-\t-\n"
            "ping\tedge\tvm\t2.0\t1.0\t3.1\t0.4\t0.4\t0.4\n"
        )
    table = _ask(*where, "top", "workflow", "game", "--once", "--format", "table").stdout
    assert table.split()[:4] == ["Name", "Domain", "Node", "Exec"]
    entries = json.loads(
        _ask(*where, "top", "workflow", "game", "--once", "--format", "json").stdout
    )
    assert entries[1]["exec_ms"]["max"] == pytest.approx(3.1)
    assert entries[0]["exec_ms"] == {"avg": None, "min": None, "max": None}
    for wrong in ("gane", str(UUID(int=9))):
        assert _ask(*where, "top", "workflow", wrong, "--once").exit_code == 4


def test_the_table_of_measurements_has_the_columns_that_its_header_says(
    serve: Ask, edge: Orchestrator
) -> None:
    where = ["--orchestrator-url", str(serve("tcp", DomainMirror=edge))]
    where += ["-c", str(serve("http", WorkflowInstance=Controller()))]
    lines = _ask(*where, "dump", "performance-csv").stdout.splitlines()
    assert lines[0] == "metric,lid,name,timestamp,value"
    kinds = [line.split(",")[0] for line in lines[1:]]
    assert kinds == [
        "function_execution_time",
        "function_execution_time",
        "function_execution_time",
        "function_transfer_time",
        "said",
        "function_execution_time",
    ]
    assert lines[1].startswith(f"function_execution_time,{PING},ping,20")
    assert lines[1].endswith(" UTC,100")
    assert lines[5].endswith(' UTC,"a, b"')
    assert f',{LOG},"log, too",' in lines[6]
    recent = _ask(*where, "dump", "performance-csv", "--last", "60", "--format", "json").stdout
    assert [entry["value"] for entry in json.loads(recent)] == [0.001, 0.0031, 0.00044, "a, b"]
    assert _ask(*where, "dump", "performance-csv", "-q").stdout == f"{PING}\n{LOG}\n"


def test_nobody_there_exits_5(serve: Ask, edge: Orchestrator) -> None:
    url = f"tcp://{LOOPBACK}:{free_ports(1)[0]}"
    answer = _ask("--timeout", "1", "--orchestrator-url", url, "show", "functions")
    assert answer.exit_code == 5
    assert answer.stderr.startswith(f"error: no ε-ORC answers at {url}: ")
    orchestrator = str(serve("tcp", DomainMirror=edge))
    where = ["--timeout", "1", "--orchestrator-url", orchestrator, "-c", url]
    for words in (["dump", "performance-csv"], ["top", "workflow", str(WORKFLOW)]):
        answer = _ask(*where, *words)
        assert answer.exit_code == 5
        assert answer.stderr.startswith(f"error: no ε-CON answers at {url} (--controller-url): ")


@pytest.mark.parametrize("scheme", ["tcp", "http"])
def test_who_shows_no_mirror_is_told_apart_from_silence(scheme: str, serve: Ask) -> None:
    url = str(serve(scheme))
    answer = _ask("--orchestrator-url", url, "show", "functions")
    assert answer.exit_code == 1
    assert answer.stderr.startswith(f"error: {url} shows no domain")
    assert answer.stderr.count("\n") == 1


def test_no_url_of_an_orchestrator_exits_3() -> None:
    answer = _ask("--orchestrator-url", "nonsense", "show", "functions")
    assert answer.exit_code == 3
    assert answer.stderr.startswith("error: nonsense: ")


class Endless(Orchestrator):
    async def mirror(self, query: MirrorQuery) -> MirrorPage:
        return MirrorPage(self._shown, "again")


def test_an_orchestrator_that_shows_no_end_is_given_up(serve: Ask) -> None:
    url = str(serve("tcp", DomainMirror=Endless(DomainMirror(DomainId("edge")))))
    answer = _ask("--orchestrator-url", url, "show", "functions")
    assert answer.exit_code == 1
    assert "it repeats a page of its nodes" in answer.stderr


def test_pages_of_one_series_are_put_together() -> None:
    pages = [
        DomainMirror(DomainId(name), series=(Series(_pid(NODE, 1), "m", (Point(at, 1.0),)),))
        for name, at in (("a", 1.0), ("a", 2.0), ("b", 3.0))
    ]
    merged = merged_mirrors(pages)
    assert merged.domain_id == "a,b"
    (series,) = merged.series
    assert [point.time_s for point in series.points] == [1.0, 2.0, 3.0]


def test_top_waits_for_who_is_silent_for_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [["1"], None, None, ["2"], None, ["3"]]
    times_s = []

    async def main() -> None:
        clock = LoopClock.running()

        async def look() -> Answer:
            times_s.append(clock.now_ns() / 1e9)
            answer = answers.pop(0)
            if answer is None:
                raise UnreachableError("nobody")
            return Answer(answer, (), ())

        screen = Screen.of_this_terminal(None, quiet=False)
        await keep_showing(look, screen, clock, once=False, interval_s=2.0)

    with pytest.raises(IndexError):
        run(main)
    shown = capsys.readouterr()
    assert shown.out == "1\n2\n3\n"
    assert shown.err == "warning: nobody; waiting for it\n" * 2, "one for each silence"
    assert times_s == [0, 2, 4, 6, 8, 10, 12]


def test_top_fails_if_nobody_answers_at_first() -> None:
    async def look() -> Answer:
        raise UnreachableError("nobody")

    async def main() -> None:
        screen = Screen("plain", quiet=False, clears=False)
        await keep_showing(look, screen, LoopClock.running(), once=False, interval_s=1.0)

    with pytest.raises(UnreachableError):
        run(main)
