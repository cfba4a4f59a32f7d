"""Where an ε-ORC mirrors its domain for others to read, and takes intents from (spec 4.7, 7).

The mirror is optional: without it nothing is lost but the view from outside (defect U21). Not
here: mirrors outside this process.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.intent import Intent
from edgeless_sim.orchestrator.view import DomainView

__all__ = ["INTENTS_MAX", "MemoryProxy", "Proxy"]

INTENTS_MAX: Final = 1_024


class Proxy(Protocol):
    """A mirror with a letter-box. Asked at every tick; must answer at once."""

    def take_intents(self) -> Sequence[Intent]:
        """The intents that came since the last time, in order; each is given out once."""
        ...

    def publish(self, view: DomainView) -> None:
        """The domain as it is now; called when it has changed."""
        ...


class MemoryProxy:
    """A mirror in this process."""

    def __init__(self) -> None:
        self.view = DomainView(())
        """What was published last."""
        self._intents: deque[Intent] = deque()

    def send(self, intent: Intent) -> None:
        """Leave an intent; raise `RejectedError` when too many wait."""
        if len(self._intents) >= INTENTS_MAX:
            raise RejectedError("too many intents", f"{INTENTS_MAX} wait already")
        self._intents.append(intent)

    def take_intents(self) -> Sequence[Intent]:
        """See `Proxy.take_intents`."""
        taken = tuple(self._intents)
        self._intents.clear()
        return taken

    def publish(self, view: DomainView) -> None:
        """See `Proxy.publish`."""
        self.view = view
