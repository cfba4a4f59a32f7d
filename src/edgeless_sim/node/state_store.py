"""The state that functions hand to ``sync``, kept for the next start on this node (spec 5.5).

Transient state is never stored; global state is accepted and never stored, as in EDGELESS, and the
caller is told so once. A stored state is all or nothing (promise G09).
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.function import StatePolicy, StateSpecification

__all__ = ["STATES_MAX", "STATE_FOLDER", "FileStateStore", "MemoryStateStore", "StateStore"]

STATE_FOLDER: Final = "function_state"
#: Most states that a virtual disk holds.
STATES_MAX: Final = 100_000


class StateStore(Protocol):
    """Where a node keeps states."""

    def load(self, specification: StateSpecification) -> str | None:
        """The stored state, None if there is none; raise `ResourceError` if it cannot be read."""
        ...

    def store(self, specification: StateSpecification, state: str) -> bool:
        """Keep *state*; False if the policy keeps nothing. Raise `ResourceError` on failure."""
        ...

    def discard(self, specification: StateSpecification) -> None:
        """Keep it no longer, if it is kept; raise `ResourceError` on failure."""
        ...


class MemoryStateStore:
    """The virtual disk of a simulated node; it outlives a crash of the node."""

    def __init__(self) -> None:
        self._states: dict[UUID, str] = {}

    def load(self, specification: StateSpecification) -> str | None:
        """See `StateStore.load`."""
        if specification.policy is not StatePolicy.NODE_LOCAL:
            return None
        return self._states.get(specification.state_id)

    def store(self, specification: StateSpecification, state: str) -> bool:
        """See `StateStore.store`."""
        if specification.policy is not StatePolicy.NODE_LOCAL:
            return False
        if len(self._states) >= STATES_MAX and specification.state_id not in self._states:
            raise ResourceError(f"the disk holds {STATES_MAX} states already")
        self._states[specification.state_id] = state
        return True

    def discard(self, specification: StateSpecification) -> None:
        """See `StateStore.discard`."""
        if specification.policy is StatePolicy.NODE_LOCAL:
            self._states.pop(specification.state_id, None)


class FileStateStore:
    """One file per state, named by its id, in a folder of the node's working directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, specification: StateSpecification) -> str | None:
        """See `StateStore.load`."""
        if specification.policy is not StatePolicy.NODE_LOCAL:
            return None
        path = self._folder / str(specification.state_id)
        try:
            # Not read_text: it would change line ends.
            return path.read_bytes().decode()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ResourceError(f"state {path.name} cannot be read: {error}") from None

    def store(self, specification: StateSpecification, state: str) -> bool:
        """See `StateStore.store`. A reader sees the old state or the new one, never a mix."""
        if specification.policy is not StatePolicy.NODE_LOCAL:
            return False
        path = self._folder / str(specification.state_id)
        draft = path.with_suffix(".draft")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with draft.open("w", encoding="utf-8", newline="") as file:
                file.write(state)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise ResourceError(f"state {path.name} cannot be stored: {error}") from None
        return True

    def discard(self, specification: StateSpecification) -> None:
        """See `StateStore.discard`."""
        if specification.policy is not StatePolicy.NODE_LOCAL:
            return
        path = self._folder / str(specification.state_id)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(f"state {path.name} cannot be removed: {error}") from None
