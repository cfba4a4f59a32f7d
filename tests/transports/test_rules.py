from collections.abc import Callable
from random import Random

import pytest

from edgeless_transports import Frame, FrameKind, Rule
from edgeless_transports.rules import (
    bandwidth,
    between,
    cause_of,
    chain,
    duplicate,
    fifo,
    latency,
    loss,
    one_way_partition,
    partition,
    per_link,
    reorder,
)

MS = 1_000_000
S = 1_000 * MS


def frame(source: str = "a", destination: str = "b", *, sent_ns: int = 0, size: int = 10) -> Frame:
    payload = b"x" * (size - 1)
    return Frame("m", payload, source, None, source, destination, FrameKind.CAST, sent_ns)


def times_of(rule: Rule, *sent: int, seed: int = 1) -> list[tuple[int, ...]]:
    """Delivery times of frames of one link that are sent at *sent*."""
    dice = Random(seed)
    return [rule(frame(sent_ns=when), (when,), dice) for when in sent]


def test_latency_without_jitter_adds_the_same_to_each_copy() -> None:
    assert latency(5 * MS)(frame(), (1, 2), Random(1)) == (5 * MS + 1, 5 * MS + 2)


def test_jitter_stays_within_its_bounds_and_uses_them() -> None:
    delays = [times[0] for times in times_of(latency(100, 10), *[0] * 2000)]
    assert set(delays) == set(range(90, 111))


def test_a_link_is_never_a_pipe_of_one_message_per_latency() -> None:
    """A thousand frames sent at once all arrive one latency later, in spite of fifo."""
    dice = Random(1)
    delay, order = latency(5 * MS), fifo()
    due = [order(frame(), delay(frame(), (0,), dice), dice) for _ in range(1000)]
    assert due == [(5 * MS,)] * 1000


def test_fifo_holds_back_a_frame_that_would_overtake() -> None:
    assert times_of(fifo(), 50, 20, 70) == [(50,), (50,), (70,)]


def test_fifo_holds_back_copies_too() -> None:
    rule = fifo()
    assert rule(frame(), (90, 30), Random(1)) == (30, 90)
    assert rule(frame(), (40, 95), Random(1)) == (90, 95)
    assert rule(frame(), (60,), Random(1)) == (95,)


def test_fifo_keeps_links_apart_by_direction() -> None:
    rule = fifo()
    rule(frame("a", "b"), (100,), Random(1))
    assert rule(frame("b", "a"), (10,), Random(1)) == (10,)
    assert rule(frame("a", "b"), (10,), Random(1)) == (100,)


def test_fifo_forgets_idle_links_only() -> None:
    rule = fifo()
    rule(frame("busy", "b"), (10 * S,), Random(1))
    for number in range(20_000):
        rule(frame(f"source/{number}", "b", sent_ns=number), (number,), Random(1))
    assert len(rule.until_ns) < 5000  # type: ignore[attr-defined]  # the table of links
    assert rule(frame("busy", "b", sent_ns=S), (S,), Random(1)) == (10 * S,)


def test_loss_loses_its_share_and_names_itself() -> None:
    lost = [times for times in times_of(loss(0.25), *range(10_000)) if not times]
    assert 2300 < len(lost) < 2700
    assert cause_of(loss(0.25)) == "loss"
    assert cause_of(loss(0.25, cause="rain")) == "rain"


@pytest.mark.parametrize(("probability", "left"), [(0.0, (1, 2)), (1.0, ())])
def test_loss_decides_for_each_copy(probability: float, left: tuple[int, ...]) -> None:
    assert loss(probability)(frame(), (1, 2), Random(1)) == left


def test_a_duplicate_arrives_at_the_same_time() -> None:
    assert times_of(duplicate(1.0), 7) == [(7, 7)]
    assert times_of(duplicate(0.0), 7) == [(7,)]


def test_reordering_delays_some_frames_within_the_window() -> None:
    delays = [times[0] for times in times_of(reorder(3, 0.5), *[0] * 2000)]
    assert set(delays) == {0, 1, 2, 3}
    assert 900 < delays.count(0) < 1100


def test_bandwidth_queues_frames_of_one_link() -> None:
    rule, dice = bandwidth(1000), Random(1)
    due = [rule(frame(size=10), (0,), dice) for _ in range(3)]
    assert due == [(10 * MS,), (20 * MS,), (30 * MS,)]


def test_bandwidth_does_not_save_up_idle_time() -> None:
    rule, dice = bandwidth(1000), Random(1)
    rule(frame(size=10), (0,), dice)
    assert rule(frame(size=10), (S,), dice) == (S + 10 * MS,)


def test_bandwidth_is_per_link() -> None:
    rule, dice = bandwidth(1000), Random(1)
    rule(frame("a", "b", size=10), (0,), dice)
    assert rule(frame("a", "c", size=10), (0,), dice) == (10 * MS,)


def test_a_partition_cuts_both_directions_and_nothing_else() -> None:
    rule, dice = partition({"a", "b"}, {"c"}), Random(1)
    links = [("a", "c"), ("c", "b"), ("a", "b"), ("c", "d"), ("d", "a")]
    passed = [link for link in links if rule(frame(*link), (0,), dice)]
    assert passed == [("a", "b"), ("c", "d"), ("d", "a")]


def test_a_side_may_be_one_location_or_a_predicate() -> None:
    rule, dice = partition("con", lambda place: place.startswith("orc/")), Random(1)
    assert rule(frame("con", "orc/edge"), (0,), dice) == ()
    assert rule(frame("orc/edge", "con"), (0,), dice) == ()
    # One location is not the set of its letters.
    assert rule(frame("c", "orc/edge"), (0,), dice) == (0,)


def test_a_one_way_partition_leaves_the_way_back_open() -> None:
    rule, dice = one_way_partition("a", "b"), Random(1)
    assert rule(frame("a", "b"), (0,), dice) == ()
    assert rule(frame("b", "a"), (0,), dice) == (0,)


@pytest.mark.parametrize(
    "match", [{("a", "b")}, lambda source, destination: source == "a" and destination == "b"]
)
def test_a_rule_may_be_scoped_to_links(match: Callable[[str, str], bool]) -> None:
    rule, dice = between(loss(1.0, cause="cut"), match), Random(1)
    assert rule(frame("b", "a"), (0,), dice) == (0,)
    assert rule(frame("a", "b"), (0,), dice) == ()
    assert cause_of(rule) == "cut"


def test_the_choice_for_a_link_is_asked_for_once() -> None:
    asked: list[tuple[str, str]] = []

    def choose(source: str, destination: str) -> Rule | None:
        asked.append((source, destination))
        return latency(3) if destination == "b" else None

    rule, dice = per_link(choose), Random(1)
    due = [rule(frame("a", to), (0,), dice) for to in ("b", "c", "b", "c")]
    assert due == [(3,), (0,), (3,), (0,)]
    assert asked == [("a", "b"), ("a", "c")]


def test_a_chain_applies_its_rules_in_order_and_names_who_lost() -> None:
    dice = Random(1)
    assert chain(duplicate(1.0), latency(5))(frame(), (0,), dice) == (5, 5)
    cut = chain(latency(5), partition("a", "b"), loss(1.0))
    assert cut(frame(), (0,), dice) == ()
    assert cause_of(cut) == "partition"


def test_a_rule_without_a_cause_is_called_by_its_name() -> None:
    def monday(frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:
        return ()

    assert cause_of(monday) == "monday"


@pytest.mark.parametrize(
    "make",
    [
        lambda: latency(-1),
        lambda: latency(5, 6),
        lambda: latency(5, -1),
        lambda: loss(1.5),
        lambda: loss(float("nan")),
        lambda: duplicate(-0.1),
        lambda: reorder(0, 0.5),
        lambda: bandwidth(0),
    ],
)
def test_impossible_parameters_are_refused(make: Callable[[], Rule]) -> None:
    with pytest.raises(ValueError, match="not"):
        make()
