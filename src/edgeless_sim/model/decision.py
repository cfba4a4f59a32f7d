"""Why a component is where it is, or why it is nowhere: a decision with all that spoke for and
against it.

Not here: who decides (`orchestrator.plan`, `controller.choice`).
"""

from typing import Final

import msgspec

__all__ = ["CANDIDATES_SHOWN_MAX", "Candidate", "Decision"]

#: Most candidates that a decision names: the chosen one, and then the first in the order of ids.
CANDIDATES_SHOWN_MAX: Final = 32


class Candidate(msgspec.Struct, frozen=True):
    """A node or domain that was looked at."""

    name: str
    against: str = ""
    """Why it was out; empty if it was feasible."""
    score: float | None = None
    """What the strategy gave it, if the strategy scores; the highest wins."""


class Decision(msgspec.Struct, frozen=True):
    """One decision about one component."""

    time_s: float
    """Seconds since 1970."""
    component: str
    """``WORKFLOW/NAME``; the workflow alone where the ε-CON decided about all of it."""
    outcome: str
    """``placed``, ``migrated``, ``pending`` or ``declined``."""
    chosen: str = ""
    """Name of the node or domain; empty if none was chosen."""
    decided_by: str = ""
    """The ε-CON or the domain, and its strategy."""
    reason: str = ""
    candidates: tuple[Candidate, ...] = ()
    """At most `CANDIDATES_SHOWN_MAX` of them."""
    feasible_total: int = 0
    candidates_total: int = 0
