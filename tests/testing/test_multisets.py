"""Multisets of events per component, from records written by hand and from runs."""

from collections import Counter
from pathlib import Path

from edgeless_sim.kernel.journal import Record
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.runner import run_scenario
from edgeless_sim.testing.multisets import EventMultisets, HandledEvent, LoggedLine

SCENARIOS = Path(__file__).parents[2] / "scenarios"
PLACE = "00000000-0000-4000-8000-00000000000a"
NAMES: list[Record] = [
    (0, "def", 0, "node", "edge/0"),
    (0, "def", 2, "workflow", "wf-id"),
    (0, "def", 3, "component", "wf-id/ping"),
    (5, "start", 10, 3, 0),
    (6, "state", 2, "named", "game"),
]


def multisets(*records: Record) -> EventMultisets:
    found = EventMultisets()
    found.read([*NAMES, *records])
    return found


def handled(*records: Record) -> Counter[HandledEvent]:
    return multisets(*records).by_component()["game/ping"].handled


def event(serial: int, at: int, size: int = 5, kind: int = 1, outcome: str = "ok") -> list[Record]:
    return [
        (at, "send", serial, 99, 10, kind, size),
        (at + 1, "recv", serial, 10),
        (at + 1, "begin", serial, 10, 1 if kind else 2, 1),
        (at + 2, "end", serial, 10, 7, 1, outcome),
    ]


def test_an_event_is_its_handler_its_size_and_its_outcome() -> None:
    found = handled(*event(1, 10), *event(2, 20), *event(3, 30, kind=0, size=0, outcome="trap"))
    assert found == {("cast", 5, "ok"): 2, ("call", 0, "trap"): 1}


def test_hooks_are_among_it() -> None:
    hooks: list[Record] = [
        (7, "begin", 0, 10, 0, 0),
        (8, "end", 0, 10, 1, 1, "ok"),
        (9, "begin", 0, 10, 3, 0),
        (9, "end", 0, 10, 1, 1, "ok"),
    ]
    assert handled(*hooks) == {("init", 0, "ok"): 1, ("stop", 0, "ok"): 1}


def test_what_was_lost_on_its_way_or_in_work_is_told_from_what_has_not_ended() -> None:
    records: list[Record] = [
        (10, "send", 1, 99, 10, 1, 5),
        (11, "drop", 1, 10, "loss"),
        (12, "send", 2, 99, 10, 1, 5),
        (13, "begin", 2, 10, 1, 1),
        (14, "drop", 2, 10, "node crashed"),
        (15, "send", 3, 99, 10, 0, 6),
        (16, "begin", 3, 10, 2, 1),
    ]
    assert handled(*records) == {
        ("cast", 5, "lost: loss"): 1,
        ("cast", 5, "lost: node crashed"): 1,
        ("call", 6, "has not ended"): 1,
    }


def test_answers_are_no_events_of_a_component() -> None:
    answer: list[Record] = [(10, "send", 1, 99, 10, 2, 5), (11, "drop", 1, 10, "loss")]
    assert handled(*answer) == {}


def test_all_lives_of_a_component_count_together_and_times_do_not() -> None:
    again: list[Record] = [(50, "start", 11, 3, 0), (51, "send", 2, 99, 11, 1, 5)]
    again += [(52, "begin", 2, 11, 1, 1), (53, "end", 2, 11, 7, 1, "ok")]
    moved = multisets(*event(1, 10), *again)
    stayed = multisets(*event(8, 1000), *event(9, 2000))
    assert moved.differences(stayed) == []


def test_logs_are_compared_without_ids() -> None:
    found = multisets((10, "log", 10, "info", "ping", f"on {PLACE}: PING")).by_component()
    assert found["game/ping"].logged == {LoggedLine("info", "ping", "on UUID: PING"): 1}


def test_what_differs_is_named() -> None:
    one = multisets(*event(1, 10), *event(2, 20))
    other = multisets(*event(1, 10), (30, "log", 10, "info", "ping", "hello"))
    assert one.differences(other) == [
        "game/ping: 1 instead of 2 x cast, 5, ok",
        "game/ping: 1 instead of 0 x info, ping, hello",
    ]
    assert multisets().differences(EventMultisets()) == []


def test_the_kept_journal_of_a_run_says_the_same_as_the_run(tmp_path: Path) -> None:
    scenario = load_scenario(SCENARIOS / "chain")
    live = EventMultisets()
    with (tmp_path / "journal.jsonl").open("wb") as sink:
        run_scenario(scenario, journal_sink=sink, readers=[live.read])
    kept = EventMultisets.of_file(tmp_path / "journal.jsonl")
    assert live.differences(kept) == []
    chain = live.by_component()
    assert set(chain) == {"chain/counter", "chain/double", "chain/incr", "chain/log"}
    assert chain["chain/incr"].handled[HandledEvent("cast", 1, "ok")] == 4
    assert chain["chain/incr"].logged[LoggedLine("info", "incr", "incr: cast with 1")] == 1
