"""Rules of the memory network: what happens to frames on their way.

A rule maps the delivery times of one frame to new ones (see `frame.Rule`). Rules are applied in
order, at the moment of sending: frames already on their way are not touched by a rule that comes
or goes. Every frame passes: casts, requests and answers. All dice come from the network.

Put `fifo` last: what stands behind it may reorder again. Rules with a state (`fifo`, `bandwidth`)
keep one number per link that was lately in use; install each instance in one network only.
"""

from collections.abc import Callable, Collection
from random import Random
from typing import Any, Final, TypeAlias

from edgeless_transports.frame import Frame, Rule

__all__ = [
    "ConstantLatency",
    "Match",
    "Side",
    "bandwidth",
    "between",
    "cause_of",
    "chain",
    "duplicate",
    "fifo",
    "latency",
    "loss",
    "one_way_partition",
    "partition",
    "per_link",
    "reorder",
]

#: Some locations: one, several, or all for which a predicate holds.
Side: TypeAlias = str | Collection[str] | Callable[[str], bool]
#: Some links: (source, destination) pairs, or a predicate over source and destination.
Match: TypeAlias = Collection[tuple[str, str]] | Callable[[str, str], bool]

_NS_PER_S: Final = 1_000_000_000
#: A table of links is cleaned of idle links when it holds this many, then at each doubling.
_LINKS_BEFORE_CLEANING: Final = 4096
_LINKS_CACHED_MAX: Final = 100_000


def cause_of(rule: Rule) -> str:
    """The cause that *rule* gives for the frames that it loses: its ``cause``, or its name."""
    cause: object = getattr(rule, "cause", None) or getattr(rule, "__name__", None)
    return str(cause or type(rule).__name__)


def latency(base_ns: int, jitter_ns: int = 0) -> Rule:
    """Delay each frame on its own, by *base_ns* plus or minus up to *jitter_ns* (uniform)."""
    if not 0 <= jitter_ns <= base_ns:
        raise ValueError(f"latency needs 0 <= jitter <= base, not {jitter_ns} and {base_ns} ns")
    return _Jitter(base_ns, jitter_ns) if jitter_ns else ConstantLatency(base_ns)


def fifo() -> Rule:
    """Frames of one link arrive in the order in which they were sent.

    A frame that would overtake arrives together with the one before it. Links delay nothing else:
    any number of frames may be on the way at once.
    """
    return _Fifo()


def loss(probability: float, *, cause: str = "loss") -> Rule:
    """Lose each copy of a frame with *probability*."""
    return _Loss(_checked(probability), cause)


def duplicate(probability: float) -> Rule:
    """Deliver a frame twice, at the same time, with *probability*."""
    return _Duplicate(_checked(probability))


def reorder(window_ns: int, probability: float) -> Rule:
    """With *probability*, delay a frame by 1 to *window_ns* more, so that later ones overtake."""
    if window_ns < 1:
        raise ValueError(f"a reordering window is at least 1 ns, not {window_ns}")
    return _Reorder(window_ns, _checked(probability))


def bandwidth(bytes_per_s: int) -> Rule:
    """Links carry *bytes_per_s*, one frame after the other: frames queue, idle time is not saved.

    A frame counts with its method and payload, 1 byte at least.
    """
    if bytes_per_s < 1:
        raise ValueError(f"a bandwidth is at least 1 B/s, not {bytes_per_s}")
    return _Bandwidth(bytes_per_s)


def partition(side_a: Side, side_b: Side, *, cause: str = "partition") -> Rule:
    """Nothing passes between *side_a* and *side_b*, in either direction."""
    a, b = _member_of(side_a), _member_of(side_b)
    return _Partition(
        lambda source, destination: (
            (a(source) and b(destination)) or (b(source) and a(destination))
        ),
        cause,
    )


def one_way_partition(
    sources: Side, destinations: Side, *, cause: str = "one-way partition"
) -> Rule:
    """Nothing passes from *sources* to *destinations*; the way back is open."""
    a, b = _member_of(sources), _member_of(destinations)
    return _Partition(lambda source, destination: a(source) and b(destination), cause)


def between(rule: Rule, match: Match) -> Rule:
    """Apply *rule* to the links that *match*, and leave all others alone."""
    if callable(match):
        matches = match
        return per_link(lambda source, destination: rule if matches(source, destination) else None)
    links = frozenset(match)
    return per_link(lambda source, destination: rule if (source, destination) in links else None)


def per_link(choose: Callable[[str, str], Rule | None]) -> Rule:
    """Apply to each link the rule that *choose* gives for its source and destination, if any.

    *choose* must always give the same answer for the same link: it is asked once and remembered,
    so that the cost does not grow with the number of kinds of links.
    """
    return _PerLink(choose)


def chain(*rules: Rule) -> Rule:
    """Apply *rules* in order, as one rule: for `between` and `per_link`."""
    return _Chain(rules)


def _checked(probability: float) -> float:
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"a probability lies between 0 and 1, not {probability}")
    return probability


def _member_of(side: Side) -> Callable[[str], bool]:
    if isinstance(side, str):
        return frozenset((side,)).__contains__
    return side if callable(side) else frozenset(side).__contains__


class ConstantLatency:
    """The same delay for every frame. Public so that the network can skip the call at the front."""

    __slots__ = ("delay_ns",)

    def __init__(self, delay_ns: int) -> None:
        self.delay_ns: Final = delay_ns

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        """Add the delay."""
        if len(times) == 1:
            return (times[0] + self.delay_ns,)
        return tuple(when + self.delay_ns for when in times)


class _Jitter:
    __slots__ = ("_floor_ns", "_span_ns")

    def __init__(self, base_ns: int, jitter_ns: int) -> None:
        self._floor_ns = base_ns - jitter_ns
        self._span_ns = 2 * jitter_ns + 1

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        # int(random() * n) costs a fifth of randrange(n); the bias is below 2^-53 * n.
        draw, floor_ns, span_ns = dice.random, self._floor_ns, self._span_ns
        return tuple(when + floor_ns + int(draw() * span_ns) for when in times)


class _LinkTable:
    """One time (ns) per link, until which the link is busy. Links that are not are forgotten."""

    __slots__ = ("_clean_at", "until_ns")

    def __init__(self) -> None:
        self.until_ns: dict[tuple[str, str], int] = {}
        self._clean_at = _LINKS_BEFORE_CLEANING

    def clean(self, now_ns: int) -> None:
        """Forget idle links if the table has doubled; what is due before now binds nobody."""
        if len(self.until_ns) >= self._clean_at:
            self.until_ns = {link: due for link, due in self.until_ns.items() if due > now_ns}
            self._clean_at = max(_LINKS_BEFORE_CLEANING, 2 * len(self.until_ns))


class _Fifo(_LinkTable):
    __slots__ = ()

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        link = (frame.source, frame.destination)
        last = self.until_ns.get(link)
        if last is None:
            self.clean(frame.sent_ns)
            last = min(times)
        if len(times) == 1:
            when = times[0]
            if when < last:
                return (last,)
            self.until_ns[link] = when
            return times
        due = [max(last, when) for when in sorted(times)]
        self.until_ns[link] = due[-1]
        return tuple(due)


class _Bandwidth(_LinkTable):
    __slots__ = ("_bytes_per_s",)

    def __init__(self, bytes_per_s: int) -> None:
        super().__init__()
        self._bytes_per_s = bytes_per_s

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        link = (frame.source, frame.destination)
        free = self.until_ns.get(link)
        if free is None:
            self.clean(frame.sent_ns)
            free = min(times)
        # Rounded up: a frame never takes no time.
        taken_ns = -(-max(1, frame.size) * _NS_PER_S // self._bytes_per_s)
        out = []
        for when in times if len(times) == 1 else sorted(times):
            free = max(free, when) + taken_ns
            out.append(free)
        self.until_ns[link] = free
        return tuple(out)


class _Loss:
    __slots__ = ("_probability", "cause")

    def __init__(self, probability: float, cause: str) -> None:
        self._probability = probability
        self.cause: Final = cause

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        if len(times) == 1:
            return () if dice.random() < self._probability else times
        return tuple(when for when in times if dice.random() >= self._probability)


class _Duplicate:
    __slots__ = ("_probability",)

    def __init__(self, probability: float) -> None:
        self._probability = probability

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        again = tuple(when for when in times if dice.random() < self._probability)
        return times + again if again else times


class _Reorder:
    __slots__ = ("_probability", "_window_ns")

    def __init__(self, window_ns: int, probability: float) -> None:
        self._window_ns = window_ns
        self._probability = probability

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        draw = dice.random
        return tuple(
            when + 1 + int(draw() * self._window_ns) if draw() < self._probability else when
            for when in times
        )


class _Partition:
    __slots__ = ("_severed", "cause")

    def __init__(self, severed: Callable[[str, str], bool], cause: str) -> None:
        self._severed = severed
        self.cause: Final = cause

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:  # noqa: ARG002 - the shape of a rule
        return () if self._severed(frame.source, frame.destination) else times


class _Chain:
    """``cause`` is that of the rule that lost a frame last: the network reads it at once."""

    __slots__ = ("_rules", "cause")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self.cause = "chain"

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:
        for rule in self._rules:
            count = len(times)
            times = rule(frame, times, dice)
            if len(times) < count:
                self.cause = cause_of(rule)
                if not times:
                    break
        return times


class _PerLink:
    """``cause`` is as in `_Chain`."""

    __slots__ = ("_choose", "_chosen", "cause")

    def __init__(self, choose: Callable[[str, str], Rule | None]) -> None:
        self._choose = choose
        self._chosen: dict[tuple[str, str], Any] = {}
        self.cause = "per link"

    def __call__(self, frame: Frame, times: tuple[int, ...], dice: Random) -> tuple[int, ...]:
        link = (frame.source, frame.destination)
        try:
            rule: Rule | None = self._chosen[link]
        except KeyError:
            if len(self._chosen) >= _LINKS_CACHED_MAX:
                self._chosen.clear()
            rule = self._chosen[link] = self._choose(*link)
        if rule is None:
            return times
        count = len(times)
        times = rule(frame, times, dice)
        if len(times) < count:
            self.cause = cause_of(rule)
        return times
