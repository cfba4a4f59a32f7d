"""Rules about other rules: which frames they see, and what they did.

`only` and `numbered` choose frames by what they are, as `rules.between` does by where they go;
`observed` and `overtaking` tell what became of them, for counters. `repeated` is the one rule here
that does something: it makes a frame arrive a second time, late.
"""

from collections.abc import Callable, Collection
from random import Random
from typing import Final, TypeAlias

from edgeless_transports.frame import Frame, FrameKind, Rule
from edgeless_transports.rules import cause_of

__all__ = ["ANSWERS", "Note", "numbered", "observed", "only", "overtaking", "repeated"]

#: Whatever ends a call over the network.
ANSWERS: Final = (FrameKind.REPLY, FrameKind.REFUSAL, FrameKind.RESET)

#: Is told of a frame and how many of its copies are concerned.
Note: TypeAlias = Callable[[Frame, int], None]

_LINKS_MAX: Final = 100_000


def only(rule: Rule, *, method: str, kinds: Collection[FrameKind]) -> Rule:
    """Apply *rule* to the frames of *method* that are of one of *kinds*."""
    return _Only(rule, method, frozenset(kinds))


def numbered(rule: Rule, first: int, count: int) -> Rule:
    """Apply *rule* to the frames that come by as number *first* (from 1) and following.

    Put it inside `only` and `rules.between`, which decide what is counted.
    """
    if first < 1 or count < 1:
        raise ValueError(f"frames are numbered from 1, and are at least 1, not {first} and {count}")
    return _Numbered(rule, first, count)


def repeated(delay_ns: int) -> Rule:
    """Deliver a frame a second time, *delay_ns* later; behind a `fifo`, or that holds up others."""
    if delay_ns < 1:
        raise ValueError(f"the second time is at least 1 ns later, not {delay_ns}")
    return _Repeated(delay_ns)


def observed(rule: Rule, note: Note) -> Rule:
    """As *rule*; *note* is told of each frame whose delivery it changes."""
    return _Observed(rule, note)


def overtaking(note: Note) -> Rule:
    """Change nothing; *note* is told of each frame that arrives before one sent earlier.

    Knows the frames that came by, link by link: put it behind whatever reorders.
    """
    return _Overtaking(note)


class _Wrapper:
    """A rule around another; what that loses, it loses for that one's reason."""

    __slots__ = ("_rule",)

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    @property
    def cause(self) -> str:
        """See `frame.Rule`."""
        return cause_of(self._rule)


class _Only(_Wrapper):
    __slots__ = ("_kinds", "_method")

    def __init__(self, rule: Rule, method: str, kinds: frozenset[FrameKind]) -> None:
        super().__init__(rule)
        self._method = method
        self._kinds = kinds

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:
        if frame.method == self._method and frame.kind in self._kinds:
            return self._rule(frame, times, dice)
        return times


class _Numbered(_Wrapper):
    __slots__ = ("_left", "_skip")

    def __init__(self, rule: Rule, first: int, count: int) -> None:
        super().__init__(rule)
        self._skip = first - 1
        self._left = count

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:
        if self._skip:
            self._skip -= 1
            return times
        if not self._left:
            return times
        self._left -= 1
        return self._rule(frame, times, dice)


class _Repeated:
    __slots__ = ("_delay_ns",)

    def __init__(self, delay_ns: int) -> None:
        self._delay_ns = delay_ns

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        return (*times, *(when + self._delay_ns for when in times))


class _Observed(_Wrapper):
    __slots__ = ("_note",)

    def __init__(self, rule: Rule, note: Note) -> None:
        super().__init__(rule)
        self._note = note

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:
        after = self._rule(frame, times, dice)
        if after != times:
            self._note(frame, max(1, abs(len(after) - len(times))))
        return after


class _Overtaking:
    __slots__ = ("_last_ns", "_note")

    def __init__(self, note: Note) -> None:
        self._note = note
        self._last_ns: dict[tuple[str, str], int] = {}

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        link = (frame.source, frame.destination)
        last_ns = self._last_ns.get(link, 0)
        overtaken = sum(when < last_ns for when in times)
        if overtaken:
            self._note(frame, overtaken)
        if times:
            if len(self._last_ns) >= _LINKS_MAX:
                self._last_ns.clear()
            self._last_ns[link] = max(last_ns, *times)
        return times
