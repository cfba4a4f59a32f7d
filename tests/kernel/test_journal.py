"""The journal: what is written, hashed, handed out and forgotten."""

import io
import tracemalloc
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import pytest

from edgeless_sim.kernel.journal import Journal, Record
from edgeless_sim.kernel.scheduler import TimerQueue

BATCH = 4096
KEY = "0a" * 32
DIGEST = "5bc66cf6c640c57c499b84c16f85e952"


@pytest.fixture
def queue() -> TimerQueue:
    return TimerQueue()


def write_typical(journal: Journal, queue: TimerQueue, events: int) -> None:
    """What a chain of functions writes: mostly events, some logs, few changes of state."""
    functions = [journal.intern("instance", f"{KEY}{number:02x}") for number in range(10)]
    for number in range(events):
        queue.now += 1_234_567
        serial = journal.serial()
        source, target = functions[number % 10], functions[(number + 1) % 10]
        journal.record("send", serial, source, target, 1, 100)
        queue.now += 1_000_000
        journal.record("recv", serial, target)
        journal.record("begin", serial, target, 1, 1_000_000)
        queue.now += 25_000
        journal.record("end", serial, target, 100_000, 25_000, "ok")
        if number % 100 == 0:
            journal.record("log", target, "Info", "edgeless", f"event number {number} was taken")


def test_the_digest_is_known_by_heart(queue: TimerQueue) -> None:
    journal = Journal(queue)
    number = journal.intern("node", "edge/0")
    queue.now = 1_500_000_000
    journal.record("fault", "crash", number)
    journal.record("state", "workflow", "running", 'with "quotes" and ε')
    assert journal.digest() == DIGEST


def test_the_lines_are_json_arrays_of_time_kind_and_fields(queue: TimerQueue) -> None:
    sink = io.BytesIO()
    journal = Journal(queue, sink=sink)
    queue.now = 7
    journal.record("log", journal.intern("instance", "i"), "Info", "line one\nline two")
    journal.flush()
    assert sink.getvalue() == (
        b'[7,"def",0,"instance","i"]\n[7,"log",0,"Info","line one\\nline two"]\n'
    )


def test_the_digest_is_that_of_the_bytes_in_the_file(queue: TimerQueue) -> None:
    sink = io.BytesIO()
    journal = Journal(queue, sink=sink)
    write_typical(journal, queue, 3000)
    assert journal.digest() == blake2b(sink.getvalue(), digest_size=16).hexdigest()


def test_the_digest_does_not_depend_on_when_it_is_asked_for(queue: TimerQueue) -> None:
    other = Journal(queue)
    journal = Journal(queue)
    digests = []
    for number in range(100):
        journal.record("state", number)
        other.record("state", number)
        digests.append(journal.digest())
    assert other.digest() == digests[-1]
    assert len(set(digests)) == 100


@pytest.mark.parametrize(
    "change", [("state", 2), ("stat", 1), ("state", 1, 0), ("state", "1"), ("state", None)]
)
def test_any_difference_changes_the_digest(queue: TimerQueue, change: tuple[Any, ...]) -> None:
    first, second = Journal(queue), Journal(queue)
    first.record("state", 1)
    second.record(*change)
    assert first.digest() != second.digest()


def test_the_time_is_part_of_a_record(queue: TimerQueue) -> None:
    first, second = Journal(queue), Journal(queue)
    first.record("state", 1)
    queue.now = 1
    second.record("state", 1)
    assert first.digest() != second.digest()


def test_a_name_is_defined_once_and_then_a_number(queue: TimerQueue) -> None:
    journal = Journal(queue)
    assert [journal.intern("node", "a"), journal.intern("node", "b")] == [0, 1]
    assert journal.intern("node", "a") == 0
    # The same name of another thing is another name.
    assert journal.intern("workflow", "a") == 2
    assert [record[1:] for record in journal.tail()] == [
        ("def", 0, "node", "a"),
        ("def", 1, "node", "b"),
        ("def", 2, "workflow", "a"),
    ]


def test_serials_are_unique() -> None:
    journal = Journal(TimerQueue())
    assert [journal.serial() for _ in range(3)] == [1, 2, 3]


def test_readers_get_all_further_records_in_order_and_in_batches(queue: TimerQueue) -> None:
    batches: list[Sequence[Record]] = []
    late: list[Record] = []
    journal = Journal(queue)
    journal.record("state", -1)
    journal.subscribe(batches.append)
    for number in range(10_000):
        journal.record("state", number)
    journal.subscribe(late.extend)
    journal.record("state", 10_000)
    journal.close()
    assert [record[2] for batch in batches for record in batch] == list(range(10_001))
    assert max(map(len, batches)) == BATCH
    assert [record[2] for record in late] == [10_000]


def test_a_reader_may_write_to_the_journal(queue: TimerQueue) -> None:
    journal = Journal(queue)

    def check(batch: Sequence[Record]) -> None:
        for record in batch:
            if record[1] == "stop":
                journal.record("state", "noticed")

    journal.subscribe(check)
    journal.record("stop", 1)
    journal.flush()
    assert [record[1] for record in journal.tail()] == ["stop", "state"]


def test_a_closed_journal_records_nothing_more(queue: TimerQueue) -> None:
    seen: list[Record] = []
    sink = io.BytesIO()
    journal = Journal(queue, sink=sink)
    journal.subscribe(seen.extend)
    journal.record("state", 1)
    journal.close()
    digest, written = journal.digest(), sink.getvalue()
    journal.record("state", 2)
    journal.intern("node", "late")
    journal.close()
    assert journal.digest() == digest
    assert sink.getvalue() == written
    assert [record[2] for record in seen] == [1]
    assert journal.records_total == 1


def test_a_journal_that_is_off_records_nothing_and_still_numbers(queue: TimerQueue) -> None:
    journal = Journal(queue, enabled=False)
    journal.record("state", 1)
    assert [journal.intern("node", "a"), journal.intern("node", "b")] == [0, 1]
    assert journal.serial() == 1
    assert journal.tail() == []
    assert journal.digest() == blake2b(b"", digest_size=16).hexdigest()


def test_the_tail_is_the_last_256_records(queue: TimerQueue) -> None:
    journal = Journal(queue)
    for number in range(BATCH + 100):
        journal.record("state", number)
    assert [record[2] for record in journal.tail()] == list(range(BATCH - 156, BATCH + 100))


def test_a_record_takes_64_bytes_in_the_mean_at_most(queue: TimerQueue) -> None:
    sink = io.BytesIO()
    journal = Journal(queue, sink=sink)
    # Late in a long run, when times and numbers have many digits.
    queue.now = 3600 * 10**9
    journal._serial = 1_000_000
    write_typical(journal, queue, 10_000)
    journal.close()
    assert journal.records_total == 10 + 40_000 + 100
    assert len(sink.getvalue()) / journal.records_total <= 64


def test_records_read_back_as_they_were_written(queue: TimerQueue) -> None:
    sink = io.BytesIO()
    journal = Journal(queue, sink=sink)
    kept: list[Record] = []
    journal.subscribe(kept.extend)
    write_typical(journal, queue, 200)
    journal.close()
    lines = sink.getvalue().splitlines()
    assert [tuple(msgspec.json.decode(line)) for line in lines] == kept


def test_many_records_take_no_more_memory_than_few(queue: TimerQueue) -> None:
    journal = Journal(queue)

    def peak_of(count: int) -> int:
        tracemalloc.reset_peak()
        for number in range(count):
            journal.record("recv", number, 1)
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        few, many = peak_of(10_000), peak_of(200_000)
    finally:
        tracemalloc.stop()
    assert many < few + 100_000
    assert len(journal._buffer) < BATCH
