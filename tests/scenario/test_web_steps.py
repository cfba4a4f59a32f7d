"""Requests to ingresses as steps, in virtual time and over sockets; conditions of back-ends."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.kernel.journal import Record
from edgeless_sim.resources.simulated.http import HttpServer
from edgeless_sim.scenario.loader import parse_scenario
from edgeless_sim.scenario.outcome import Outcome
from edgeless_sim.scenario.runner import run_scenario

ROOT: Final = Path(__file__).parents[2]
PROCESSOR: Final = (ROOT / "functions/http_processor/http_processor.wasm").as_posix()
HEAD: Final = """
name = "x"
duration = "{duration}"
worlds = ["sim"{worlds}]
[[domain]]
name = "edge"
strategy = "RoundRobin"
nodes = [{{providers = ["http-ingress"]}}, {{labels = ["second"]{second}}}]
[[step]]
at = "100ms"
do = "start_workflow"
as = "w"
"""
WORKFLOW: Final = f"""
{{"functions": [{{"name": "processor", "class_specification": {{"id": "http_processor",
"function_type": "RUST_WASM", "version": "0.1", "code": "{PROCESSOR}", "outputs": []}},
"output_mapping": {{}}, "annotations": {{}}}}],
"resources": [{{"name": "ingress", "class_type": "http-ingress",
"output_mapping": {{"new_request": "processor"}},
"configurations": {{"method": "GET,POST", "host": "one.lab"}}}}], "annotations": {{}}}}
"""
#: edge/0 has the ingress, edge/1 the function.
ASK: Final = 'at = "2s"\ndo = "http_request"\npath = "/hello"\nhost = "one.lab"\n'


def play(tmp_path: Path, *steps: str, world: str = "sim") -> tuple[Outcome, list[Record]]:
    (tmp_path / "workflow.json").write_text(WORKFLOW)
    worlds = "" if world == "sim" else f', "{world}"'
    # In real time, who comes first is not sure: the second has no place for an ingress there.
    second = ', providers = ["http-ingress"]' if world == "sim" else ""
    duration = "10s" if world == "sim" else "3s"
    head = HEAD.format(duration=duration, worlds=worlds, second=second)
    text = head + "".join(f"[[step]]\n{each}\n" for each in steps)
    records: list[Record] = []

    def read(batch: Sequence[Record]) -> None:
        records.extend(batch)

    scenario = parse_scenario(text.encode(), folder=tmp_path)
    return run_scenario(scenario, world=world, processes=False, readers=[read]), records


def failure(tmp_path: Path, *steps: str) -> str:
    found = play(tmp_path, *steps)[0].failure
    return "" if found is None else str(found.error)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("", ""),
        ('status = 200\nreply = "World"', ""),
        ('reply_contains = "orl"', ""),
        ('method = "POST"\nbody = "x"\nheaders = {X-A = "1"}\nstatus = 200', ""),
        ("status = 404", "GET /hello: the status 200, expected 404: World"),
        ('reply = "Worl"', "GET /hello answered 'World', expected 'Worl'"),
        ('reply_contains = "word"', "GET /hello answered 'World', without 'word'"),
        ('method = "PUT"\nstatus = 404\nreply = "Not Found"', ""),
        ('node = "edge/0"\nstatus = 200', ""),
        ('node = "edge/1"\nstatus = 404', ""),
    ],
)
def test_a_response_is_compared(tmp_path: Path, keys: str, reason: str) -> None:
    assert failure(tmp_path, ASK + keys) == reason


def test_nobody_listens_or_answers(tmp_path: Path) -> None:
    crash = 'at = "1s"\ndo = "crash_node"\nnode = "edge/{}"'
    both = [crash.format(0), crash.format(1)]
    assert failure(tmp_path, *both, ASK) == "GET /hello: the connection was refused"
    cut = 'at = "1s"\ndo = "partition"\nbetween = [["edge/0"], ["edge/1"]]'
    late = failure(tmp_path, cut, f'{ASK}timeout = "1500ms"')
    assert late == "GET /hello: no response within 1.5s"
    # In the middle of it, the node of the ingress vanishes.
    crashed = 'at = "2.5s"\ndo = "crash_node"\nnode = "@w/ingress"'
    assert failure(tmp_path, cut, ASK, crashed) == "GET /hello: the connection was cut"
    assert play(tmp_path, cut, f'{ASK}timeout = "1s"\nmay_fail = true')[0].failure is None


@pytest.mark.parametrize("world", ["tcp", "grpc"])
def test_over_sockets_it_is_the_same(tmp_path: Path, world: str) -> None:
    steps = [
        f'{ASK}status = 200\nreply = "World"',
        f'{ASK}node = "edge/0"\nstatus = 200',
        f'{ASK.replace("one.lab", "two.lab")}status = 404\nreply = "Not Found"',
        f'{ASK}method = "OPTIONS"\nstatus = 405',
    ]
    outcome, _ = play(tmp_path, *steps, world=world)
    assert outcome.failure is None, outcome.failure


def test_a_real_node_that_is_down_refuses(tmp_path: Path) -> None:
    crash = 'at = "1s"\ndo = "crash_node"\nnode = "edge/0"'
    ask = f'{ASK}node = "edge/0"'
    found = play(tmp_path, crash, ask, world="tcp")[0].failure
    assert found is not None
    assert str(found.error) == "GET /hello: the connection was refused"


def test_conditions_of_back_ends_are_in_the_journal_and_heal(tmp_path: Path) -> None:
    url = 'url = "redis://cache/3"'
    _, records = play(
        tmp_path,
        f'at = "2s"\ndo = "backend"\n{url}\ncondition = "down"\nheal_after = "3s"',
        f'at = "3s"\ndo = "backend"\n{url}\ncondition = "slow"\ndelay = "1s"\nheal_after = "4s"',
        'at = "4s"\ndo = "backend"\nurl = "http://web"\ncondition = "wrong"\nheal_after = "1s"',
        'at = "8s"\ndo = "backend"\nurl = "http://web:80/x"\ncondition = "up"',
    )
    faults = [(r[0] / 1e9, r[2], r[3]) for r in records if r[1] == "fault"]
    assert faults == [
        (2, "back-end down", "redis://cache:6379"),
        (3, "back-end slow", "redis://cache:6379"),
        (4, "back-end wrong", "http://web:80"),
        (5, "back-end up", "http://web:80"),
        (7, "back-end up", "redis://cache:6379"),
        (8, "back-end up", "http://web:80"),
    ]


#: ingress (async) -> requestor -> egress -> https://sink.lab/page, and a file of what came back.
RINGS: Final = f"""
name = "x"
duration = "10s"
[[domain]]
name = "edge"
nodes = [{{providers = ["http-ingress", "http-egress"]}}]
[[step]]
at = "100ms"
do = "start_workflow"
file = "{(ROOT / "scenarios/http_workload/news.json").as_posix()}"
as = "news"
"""
RING: Final = (
    '[[step]]\nat = "{}"\ndo = "http_request"\nmethod = "POST"\nbody = "ring"\nstatus = 200\n'
)
SINK: Final = 'url = "https://sink.lab"\n'


def rung(tmp_path: Path, more: str) -> tuple[Outcome, list[str]]:
    text = RINGS + RING.format("1s") + RING.format("3s") + more
    logs: list[str] = []

    def read(batch: Sequence[Record]) -> None:
        logs.extend(r[5] for r in batch if r[1] == "log" and "got" in r[5])

    scenario = parse_scenario(text.encode(), folder=tmp_path)
    return run_scenario(scenario, readers=[read]), logs


def test_simulated_servers_answer_what_they_are_told(tmp_path: Path) -> None:
    more = (
        f'[[backend]]\n{SINK}replies = [{{path = "/page", status = 201, body = "old"}}]\n'
        f'[[step]]\nat = "2s"\ndo = "http_reply"\n{SINK}path = "/page"\nbody = "new"\n'
    )
    outcome, logs = rung(tmp_path, more)
    assert outcome.failure is None
    new = "http_requestor: got 200: new"
    assert logs == ["http_requestor: got 201: old", new, new], "the last one asks by itself"


@pytest.mark.parametrize("condition", ['"down"', '"wrong"', '"slow"\ndelay = "1min"'])
def test_a_condition_keeps_requests_from_their_server(tmp_path: Path, condition: str) -> None:
    more = (
        f'[[step]]\nat = "2s"\ndo = "backend"\n{SINK}condition = {condition}\n'
        f'[[expect]]\nwhat = "http_received"\n{SINK}exactly = 1\n'
    )
    assert rung(tmp_path, more)[0].judgements[0].holds


def test_a_latency_is_that_of_the_server(tmp_path: Path) -> None:
    more = (
        f'[[backend]]\n{SINK}latency = "250ms"\n'
        '[[expect]]\nwhat = "events_within"\nworkflow = "news"\ncomponent = "egress"\n'
    )
    assert rung(tmp_path, f'{more}within = "251ms"\n')[0].judgements[0].holds
    assert not rung(tmp_path, f'{more}within = "249ms"\n')[0].judgements[0].holds


@pytest.mark.parametrize(
    ("keys", "holds"),
    [
        ("exactly = 3", True),
        ("max = 2", False),
        ('method = "GET"\npath = "/page"\nexactly = 3', True),
        ('method = "POST"\nmin = 1', False),
        ('path = "/"\nexactly = 0', True),
        ('text = "ring"\nmin = 1', False),
    ],
)
def test_what_a_server_received(tmp_path: Path, keys: str, holds: bool) -> None:
    check = f'[[expect]]\nwhat = "http_received"\n{SINK}{keys}\n'
    (judgement,) = rung(tmp_path, check)[0].judgements
    assert judgement.holds is holds, judgement.found


def test_nobody_asked_another_server(tmp_path: Path) -> None:
    check = '[[expect]]\nwhat = "http_received"\nurl = "http://sink.lab"\nexactly = 0\n'
    (judgement,) = rung(tmp_path, check)[0].judgements
    assert (judgement.holds, judgement.found) == (True, "0 requests")


def test_requests_that_are_not_kept_are_counted_or_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(self: HttpServer) -> None:
        original(self)
        self.requests = deque(maxlen=2)

    original = HttpServer.__init__
    monkeypatch.setattr(HttpServer, "__init__", two)
    checks = "".join(
        f'[[expect]]\nwhat = "http_received"\n{SINK}{keys}\n'
        for keys in ("exactly = 3", 'path = "/page"\nmin = 2', 'path = "/page"\nexactly = 2')
    )
    judgements = rung(tmp_path, checks)[0].judgements
    assert [each.holds for each in judgements] == [True, True, False]
    assert judgements[2].found == "2 of the last 2 of 3 requests"
