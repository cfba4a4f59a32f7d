"""What the journal tells about a run, from records written by hand."""

from collections.abc import Sequence

from edgeless_sim.kernel.journal import Record
from edgeless_sim.scenario.observer import Observer

NAMES: Sequence[Record] = [
    (0, "def", 0, "node", "edge/0"),
    (0, "def", 1, "node", "edge/1"),
    (0, "def", 2, "workflow", "wf-id"),
    (0, "def", 3, "component", "wf-id/a"),
    (0, "def", 10, "instance", "aa"),
    (0, "def", 11, "instance", "bb"),
    (5, "start", 10, 3, 0),
    (6, "state", 2, "named", "game"),
]


def observer(*records: Record) -> Observer:
    made = Observer([("a", 100)])
    made.read(NAMES)
    made.read(records)
    return made


def test_events_are_counted_when_they_end_well() -> None:
    seen = observer(
        (10, "send", 1, 99, 10, 1, 5),
        (20, "recv", 1, 10),
        (20, "begin", 1, 10, 1, 10),
        (25, "end", 1, 10, 7, 5, "ok"),
        (30, "begin", 2, 10, 1, 96),
        (35, "end", 2, 10, 7, 5, "ok"),
        (40, "begin", 3, 10, 1, 1),
        (41, "end", 3, 10, 7, 1, "trap: unreachable"),
        (50, "begin", 0, 10, 3, 0),
        (51, "end", 0, 10, 7, 1, "ok"),
    )
    trace = seen.component("game", "a")
    assert trace.handled == 2
    assert trace.slow[100] == 1, "96 + 5 ns are more than 100 ns"
    assert seen.unexplained(1_000) == 0


def test_a_crash_takes_all_instances_of_the_node() -> None:
    seen = observer((10, "fault", "crash", "edge/0"))
    trace = seen.component("game", "a")
    assert not seen.runs(trace)
    assert trace.node == ""
    seen.read([(20, "start", 11, 3, 1)])
    assert seen.runs(trace)
    assert trace.visited == ["edge/0", "edge/1"]


def test_a_crash_elsewhere_takes_nothing() -> None:
    seen = observer((10, "fault", "crash", "edge/1"), (11, "fault", "heal #1", "edge/0"))
    assert seen.runs(seen.component("game", "a"))


def test_a_guest_that_failed_does_not_run_until_it_is_restarted() -> None:
    seen = observer((10, "state", 10, "backoff", "trap"))
    trace = seen.component("game", "a")
    assert not seen.runs(trace)
    seen.read([(11, "state", 10, "restarted", "")])
    assert seen.runs(trace)


def test_two_living_instances_are_duplicates() -> None:
    seen = observer((10, "start", 11, 3, 1))
    assert seen.duplicates() == ["game/a on edge/0, edge/1"]
    seen.read([(11, "stop", 10, "stopped")])
    assert seen.duplicates() == []


def test_an_event_that_nobody_heard_of_again_is_unexplained() -> None:
    seen = observer((10, "send", 1, 99, 10, 1, 5))
    assert seen.unexplained(before_ns=10) == 0
    assert seen.unexplained(before_ns=11) == 1
    seen.read([(20, "drop", 1, 10, "loss")])
    assert seen.unexplained(before_ns=11) == 0
    assert seen.losses == {"loss": 1}


def test_an_answer_is_explained_by_its_arrival() -> None:
    seen = observer((10, "send", 1, 10, 99, 2, 5))
    assert seen.unexplained(before_ns=11) == 1
    seen.read([(20, "recv", 1, 99)])
    assert seen.unexplained(before_ns=11) == 0


def test_what_a_dead_instance_was_doing_is_unexplained_until_it_is_dropped() -> None:
    seen = observer((10, "begin", 1, 10, 1, 0))
    assert seen.unexplained(before_ns=1_000) == 0, "it is being handled"
    seen.read([(20, "fault", "crash", "edge/0")])
    assert seen.unexplained(before_ns=1_000) == 1
    seen.read([(20, "drop", 1, 10, "node crashed")])
    assert seen.unexplained(before_ns=1_000) == 0


def test_what_waits_in_a_living_queue_is_explained_until_its_instance_dies() -> None:
    seen = observer((10, "send", 1, 99, 10, 1, 5), (20, "recv", 1, 10))
    assert seen.unexplained(before_ns=1_000) == 0
    seen.read([(30, "fault", "crash", "edge/0")])
    assert seen.unexplained(before_ns=1_000) == 1
    seen.read([(30, "drop", 1, 10, "node crashed")])
    assert seen.unexplained(before_ns=1_000) == 0


def test_what_joined_domains_is_no_component_any_more_when_it_was_stopped() -> None:
    portal: list[Record] = [
        (7, "def", 4, "component", "wf-id/portal-1-sink-local"),
        (7, "start", 11, 4, 1),
    ]
    seen = observer(*portal, (8, "fault", "crash", "edge/1"))
    assert "portal-1-sink-local" in seen.components("game"), "it is to come back"
    seen.read([(9, "start", 11, 4, 1), (10, "stop", 11, "stopped"), (10, "stop", 10, "stopped")])
    assert list(seen.components("game")) == ["a"]
    seen.read([(11, "start", 12, 4, 1)])
    assert "portal-1-sink-local" in seen.components("game")
