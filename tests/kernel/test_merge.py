"""Records of several processes become one journal, in the order of time."""

from typing import Any

from edgeless_sim.kernel.journal import Record
from edgeless_sim.kernel.merge import MARK, MergedJournal
from edgeless_sim.kernel.scheduler import TimerQueue


def merged() -> tuple[MergedJournal, TimerQueue, list[Record]]:
    scheduler, seen = TimerQueue(), list[Record]()
    journal = MergedJournal(scheduler)
    journal.subscribe(seen.extend)
    return journal, scheduler, seen


def kinds(records: list[Record]) -> list[tuple[Any, ...]]:
    return [record[:3] for record in records if record[1] != "def"]


def test_what_happened_earlier_is_written_down_earlier_whoever_sends_it_first() -> None:
    journal, _, seen = merged()
    one, other = journal.source(), journal.source()
    one.feed([(30, "recv", 7, 0), (50, MARK)])
    other.feed([(10, "send", 7, 0, 0, 1, 4), (40, "send", 8, 0, 0, 1, 4), (50, MARK)])
    journal.flush()
    assert kinds(seen) == [(10, "send", 7), (30, "recv", 7), (40, "send", 8)]


def test_nothing_is_written_down_before_all_are_past_it() -> None:
    journal, scheduler, seen = merged()
    quick, slow = journal.source(), journal.source()
    scheduler.now = 100
    quick.feed([(60, "fault", "a", "b"), (90, MARK)])
    slow.feed([(60, MARK)])
    journal.flush()
    assert (seen, journal.reached_ns) == ([], 60)
    slow.feed([(61, MARK)])
    journal.flush()
    assert kinds(seen) == [(60, "fault", "a")]


def test_a_process_that_has_ended_holds_nobody_up() -> None:
    journal, scheduler, seen = merged()
    one, dead = journal.source(), journal.source()
    one.feed([(10, "fault", "a", "b"), (20, MARK)])
    journal.flush()
    assert seen == []
    dead.end()
    journal.flush()
    assert kinds(seen) == [(10, "fault", "a")]
    one.end()
    scheduler.now = 70
    assert journal.reached_ns == 70


def test_names_of_each_process_get_the_numbers_of_the_whole() -> None:
    journal, scheduler, seen = merged()
    scheduler.now = 100
    here = journal.intern("instance", "x")
    one, other = journal.source(), journal.source()
    one.feed([(101, "def", 0, "instance", "y"), (102, "recv", 1, 0), (110, MARK)])
    other.feed(
        [
            (103, "def", 0, "node", "n"),
            (103, "def", 5, "instance", "x"),
            (103, "def", 6, "component", "c"),
            (104, "start", 5, 6, 0),
            (110, MARK),
        ]
    )
    journal.flush()
    names = {record[2]: record[4] for record in seen if record[1] == "def"}
    (received,) = (record for record in seen if record[1] == "recv")
    (started,) = (record for record in seen if record[1] == "start")
    assert names[received[3]] == "y"
    assert [names[number] for number in started[2:]] == ["x", "c", "n"]
    assert started[2] == here


def test_a_name_is_defined_before_it_is_used() -> None:
    journal, _, seen = merged()
    source = journal.source()
    source.feed([(5, "def", 3, "instance", "y"), (6, "recv", 1, 3), (7, MARK)])
    journal.record("recv", 2, journal.intern("instance", "z"))
    source.end()
    journal.close()
    defined: set[int] = set()
    for record in seen:
        if record[1] == "def":
            defined.add(record[2])
        else:
            assert record[3] in defined


def test_closing_writes_down_what_waits_and_nothing_later() -> None:
    journal, _, seen = merged()
    source = journal.source()
    source.feed([(10, "fault", "a", "b")])
    journal.close()
    source.feed([(20, "fault", "c", "d")])
    journal.flush()
    assert kinds(seen) == [(10, "fault", "a")]
    assert journal.records_total == 1
