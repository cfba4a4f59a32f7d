"""What each component did, as multisets that can be compared: between two runs, or two worlds.

Reads the journal, that of one process or a merged one. Times, order, places and numbers are left
out, because they differ between worlds; kinds, sizes, outcomes and words are not.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.event import EventType
from edgeless_sim.report.names import Names

__all__ = ["ComponentMultiset", "EventMultisets", "HandledEvent", "LoggedLine"]

_HANDLERS: Final = ("init", "cast", "call", "stop")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: In logs: ids are drawn anew in each run of a real world.
_SAME_UUID: Final = "UUID"
#: The ε-CON numbers what joins domains, anew in each run of a real world.
_PORTAL: Final = re.compile(r"portal-[0-9]+-")
_SAME_PORTAL: Final = "portal-N-"
_UNENDED: Final = "has not ended"


class HandledEvent(NamedTuple):
    """One event, or one run of a hook."""

    handler: str
    """``init``, ``cast``, ``call`` or ``stop``."""
    payload_bytes: int
    """0 for hooks."""
    outcome: str
    """``ok``, why the function failed, ``lost: CAUSE``, or ``has not ended``."""


class LoggedLine(NamedTuple):
    """One entry of a log, with each UUID in it replaced by the word UUID."""

    level: str
    target: str
    message: str


_ItemT = TypeVar("_ItemT", HandledEvent, LoggedLine)


@dataclass(slots=True)
class ComponentMultiset:
    """What one component did, all its instances together."""

    handled: Counter[HandledEvent] = field(default_factory=Counter)
    logged: Counter[LoggedLine] = field(default_factory=Counter)


class EventMultisets:
    """Subscribe `read` to a journal from its beginning, or make it `of_file`.

    Memory grows with the different events that there are and with those on their way.
    """

    def __init__(self) -> None:
        self._names = Names()
        self._by_instance: dict[int, ComponentMultiset] = {}
        self._component_of: dict[int, int] = {}
        #: By serial: target and size of a cast or a call that has neither ended nor been lost.
        self._sent: dict[int, tuple[int, str, int]] = {}
        #: Handler and size of what has begun, by serial (0 for hooks) and instance.
        self._begun: dict[tuple[int, int], tuple[str, int]] = {}

    @classmethod
    def of_file(cls, journal: Path) -> "EventMultisets":
        """What is in the ``journal.jsonl`` of a run that was kept."""
        multisets = cls()
        multisets.read(msgspec.json.Decoder(Record).decode_lines(journal.read_bytes()))
        return multisets

    def by_component(self) -> dict[str, ComponentMultiset]:
        """What each component did, by ``WORKFLOW/COMPONENT``; those that never ran are not in it.

        What has begun and not ended is among it, as ``has not ended``. What was sent to an instance
        that no component has, is under an empty name.
        """
        found: dict[str, ComponentMultiset] = {
            self._name(instance): ComponentMultiset() for instance in self._component_of
        }
        for instance, multiset in self._by_instance.items():
            whole = found.setdefault(self._name(instance), ComponentMultiset())
            whole.handled.update(multiset.handled)
            whole.logged.update(multiset.logged)
        for (_, instance), (handler, size) in self._begun.items():
            whole = found.setdefault(self._name(instance), ComponentMultiset())
            whole.handled[HandledEvent(handler, size, _UNENDED)] += 1
        return dict(sorted(found.items()))

    def differences(self, other: "EventMultisets") -> list[str]:
        """Where *other* differs, one line each: what it has more or fewer of. Empty = equal."""
        mine, theirs = self.by_component(), other.by_component()
        nothing = ComponentMultiset()
        return [
            f"{name}: {text}"
            for name in sorted(mine.keys() | theirs.keys())
            for text in _differences(mine.get(name, nothing), theirs.get(name, nothing))
        ]

    def read(self, batch: Sequence[Record]) -> None:
        """Take a batch of records."""
        for record in batch:
            match record[1]:
                case "send":
                    if record[5] <= EventType.CAST:
                        handler = "call" if record[5] == EventType.CALL else "cast"
                        self._sent[record[2]] = record[4], handler, record[6]
                case "begin":
                    _, _, serial, instance, handler, _ = record
                    size = self._sent[serial][2] if serial in self._sent else 0
                    self._begun[serial, instance] = _HANDLERS[handler], size
                case "end":
                    _, _, serial, instance, _, _, outcome = record
                    self._sent.pop(serial, None)
                    begun = self._begun.pop((serial, instance), None)
                    if begun is not None:
                        self._note(instance, HandledEvent(*begun, outcome))
                case "drop":
                    self._dropped(record[2], record[4])
                case "log":
                    _, _, instance, level, target, message = record
                    line = LoggedLine(level, target, _UUID.sub(_SAME_UUID, message))
                    self._of(instance).logged[line] += 1
                case _:
                    self._rare(record)

    def _dropped(self, serial: int, cause: str) -> None:
        sent = self._sent.pop(serial, None)
        if sent is not None:
            target, handler, size = sent
            self._begun.pop((serial, target), None)
            self._note(target, HandledEvent(handler, size, f"lost: {cause}"))

    def _rare(self, record: Record) -> None:
        match record[1]:
            case "def":
                self._names.define(record[2], record[3], record[4])
            case "place":
                self._names.placed(record[2], record[3], record[4])
            case "start":
                self._component_of[record[2]] = record[3]
            case "state" if record[3] == "named":
                self._names.name_workflow(record[2], str(record[4]))
            case _:
                pass

    def _note(self, instance: int, event: HandledEvent) -> None:
        self._of(instance).handled[event] += 1

    def _of(self, instance: int) -> ComponentMultiset:
        return self._by_instance.setdefault(instance, ComponentMultiset())

    def _name(self, instance: int) -> str:
        number = self._component_of.get(instance)
        if number is None:
            return ""
        component = _PORTAL.sub(_SAME_PORTAL, self._names.component_of(number))
        return f"{self._names.workflow_of(number)}/{component}"


def _differences(one: ComponentMultiset, other: ComponentMultiset) -> Iterator[str]:
    yield from _counts(one.handled, other.handled)
    yield from _counts(one.logged, other.logged)


def _counts(was: Counter[_ItemT], now: Counter[_ItemT]) -> Iterator[str]:
    for item in sorted(was.keys() | now.keys()):
        if was[item] != now[item]:
            yield f"{now[item]} instead of {was[item]} x {', '.join(map(str, item))}"
