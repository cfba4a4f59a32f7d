"""One half of a portal: what its configuration says, and the events that wait in it. Pure."""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn, TypeVar

from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import CallReturn, Event
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.portal import PortalRole, PortalSide
from edgeless_sim.resources.base import ForwardingSink
from edgeless_sim.resources.files import REJECTED_SUMMARY

__all__ = ["Half", "HalfConfiguration", "Waiting"]

_NUMBER_MAX: Final = (1 << 64) - 1
_DIGITS: Final = re.compile(r"[0-9]{1,20}")

Word = TypeVar("Word", PortalRole, PortalSide)


@dataclass(frozen=True, slots=True)
class HalfConfiguration:
    """The configuration of a resource of the class portal."""

    role: PortalRole
    side: PortalSide
    number: int
    """Both halves have the same."""

    @classmethod
    def parse(
        cls, configuration: Mapping[str, str], side: PortalSide, domain: str
    ) -> "HalfConfiguration":
        """Read the configuration of a half on *side* of the balancer of *domain*.

        Raise `RejectedError` with the key that is wrong. Upstream's ends the process at a
        ``domain_name`` in a local half (bug 72).
        """
        role = _word(configuration, "role", PortalRole)
        found = _word(configuration, "domain", PortalSide)
        if found is not side:
            _refuse("domain", f"{quoted(found)} on a node in the {side} domain")
        named = configuration.get("domain_name", "")
        if side is PortalSide.LOCAL and named:
            _refuse("domain_name", f"{quoted(named)}; a local half has none")
        if side is PortalSide.PORTAL and named != domain:
            _refuse("domain_name", f"{quoted(named)}; this is the balancer of {quoted(domain)}")
        text = configuration.get("id", "")
        if not _DIGITS.fullmatch(text) or int(text) > _NUMBER_MAX:
            _refuse("id", f"{quoted(text)} is not a number from 0 to 2^64 - 1")
        return cls(role, side, int(text))

    @property
    def reads(self) -> bool:
        """Whether events enter here; they leave by the other half."""
        return (self.role is PortalRole.SINK) is (self.side is PortalSide.LOCAL)


class Waiting(NamedTuple):
    """An event that cannot go on yet."""

    event: Event
    answer: Callable[[CallReturn], None]
    until_ns: int


@dataclass(slots=True, eq=False)
class Half:
    """One half as it runs."""

    pid: InstanceId
    configuration: HalfConfiguration
    sink: ForwardingSink
    mapped: bool = False
    """Whether its output leads somewhere."""
    waiting: deque[Waiting] = field(default_factory=deque)
    timer: Timer | None = None

    def drop_waiting(self) -> None:
        """Forget what waits: whoever hosts the half has said what became of it."""
        self.waiting.clear()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def _word(configuration: Mapping[str, str], key: str, words: type[Word]) -> Word:
    value = configuration.get(key, "")
    try:
        return words(value.lower())
    except ValueError:
        _refuse(key, f"{quoted(value)} is none of {', '.join(words)}")


def _refuse(key: str, why: str) -> NoReturn:
    raise RejectedError(REJECTED_SUMMARY, clipped(f"{key}: {why}"))
