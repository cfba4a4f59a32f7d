"""Rules that choose frames by what they are, and rules that tell what others did."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from edgeless_transports import Frame, FrameKind, Rule
from edgeless_transports.rules import cause_of, duplicate, latency, loss
from edgeless_transports.selection import ANSWERS, numbered, observed, only, overtaking, repeated

DICE = Random(1)


def frame(method: str = "/a/B", kind: FrameKind = FrameKind.REQUEST, sent_ns: int = 0) -> Frame:
    return Frame(method, b"", "here", None, "here", "there", kind, sent_ns)


def fates(rule: Rule, *frames: Frame) -> list[tuple[int, ...]]:
    return [rule(each, (each.sent_ns,), DICE) for each in frames]


def test_only_one_method_and_kind_is_concerned() -> None:
    rule = only(loss(1.0, cause="gone"), method="/a/B", kinds=ANSWERS)
    answer = frame(kind=FrameKind.REPLY)
    other = frame("/a/C", FrameKind.REPLY)
    assert fates(rule, frame(), answer, other) == [(0,), (), (0,)]
    assert cause_of(rule) == "gone"


def test_frames_are_counted_from_one() -> None:
    rule = numbered(loss(1.0), first=2, count=2)
    assert fates(rule, *(frame() for _ in range(5))) == [(0,), (), (), (0,), (0,)]


def test_a_frame_comes_again() -> None:
    assert fates(repeated(50), frame(sent_ns=7)) == [(7, 57)]


def test_what_a_rule_did_is_told_in_copies() -> None:
    told: list[int] = []
    rules = [duplicate(1.0), loss(1.0), latency(5), loss(0.0)]
    for rule in rules:
        fates(observed(rule, lambda _, count: told.append(count)), frame())
    assert told == [1, 1, 1]


def test_a_frame_overtakes_if_it_arrives_before_one_sent_earlier_on_its_link() -> None:
    told: list[tuple[int, int]] = []
    rule = overtaking(lambda each, count: told.append((each.sent_ns, count)))
    rule(frame(sent_ns=1), (90,), DICE)
    rule(frame(sent_ns=2), (80, 95), DICE)
    rule(frame(sent_ns=3), (95,), DICE)
    back = Frame("/a/B", b"", "there", None, "there", "here", FrameKind.CAST, 4)
    rule(back, (10,), DICE)
    assert told == [(2, 1)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: numbered(loss(1.0), first=0, count=1),
        lambda: numbered(loss(1.0), first=1, count=0),
        lambda: repeated(0),
    ],
)
def test_nonsense_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make()
