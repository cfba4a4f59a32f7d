"""Where we differ from EDGELESS on purpose, in one table (design, decision 8).

``strict`` is what we think right; ``compat`` reproduces EDGELESS where a peer or a guest could
see the difference. A difference that is not in `Compatibility` must not exist. Differences that
nobody outside can see, such as a defect that we do not have, are not listed.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["COMPAT", "STRICT", "Compatibility", "Profile", "compatibility"]


class Profile(StrEnum):
    """The name of a column of the table, as it is written in configuration files."""

    STRICT = "strict"
    COMPAT = "compat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """One column of the table. Each field is one difference; the strict value comes first."""

    profile: Profile

    unmapped_call_traps: bool
    """A guest calls a channel that is not mapped. False: it gets Err and lives; True: it traps
    (spec 1.4)."""

    unmapped_delayed_cast_traps: bool
    """A guest delays a cast to a channel that is not mapped. False: dropped and counted; True: it
    traps (spec 1.4)."""

    text_not_utf8_traps: bool
    """A guest sends a payload that is not UTF-8. False: a call gets Err, a cast is dropped and
    counted; True: it traps (spec 1.5)."""

    unknown_log_level_warns_guest_log: bool
    """A guest logs with a level that does not exist; it counts as Error in both. True: a warning
    is added to the function's own log, where its author sees it; False: to the host's only
    (spec 1.1)."""

    file_log_escapes_newlines: bool
    """A message with a line break reaches a file-log. True: escaped, one event is one line;
    False: written as it is (spec 6.6)."""

    unreadable_store_refuses_start: bool
    """The ε-CON cannot read its store. True: it does not start and keeps the file; False: it
    warns and starts empty (spec 3.6)."""

    trapped_guest_restarts: bool
    """A guest trapped. True: it is restarted with growing pauses, then FAILED (design, decision
    26); False: never, and nobody is told (spec 1.6)."""


STRICT: Final = Compatibility(
    profile=Profile.STRICT,
    unmapped_call_traps=False,
    unmapped_delayed_cast_traps=False,
    text_not_utf8_traps=False,
    unknown_log_level_warns_guest_log=True,
    file_log_escapes_newlines=True,
    unreadable_store_refuses_start=True,
    trapped_guest_restarts=True,
)

COMPAT: Final = Compatibility(
    profile=Profile.COMPAT,
    unmapped_call_traps=True,
    unmapped_delayed_cast_traps=True,
    text_not_utf8_traps=True,
    unknown_log_level_warns_guest_log=False,
    file_log_escapes_newlines=False,
    unreadable_store_refuses_start=False,
    trapped_guest_restarts=False,
)


def compatibility(profile: Profile) -> Compatibility:
    """The column of the table that *profile* names."""
    return STRICT if profile is Profile.STRICT else COMPAT
