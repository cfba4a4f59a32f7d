"""From ``function_type`` to the run-time that runs it: the entry points ``edgeless.runtimes``.

A run-time is loaded and made when its first function starts, so that a cluster without
WebAssembly never pays for wasmtime. Not here: which run-times a node offers (its capabilities).
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.runtimes.base import FunctionRuntime, RuntimeSettings

__all__ = ["RuntimeCatalog"]

_GROUP: Final = "edgeless.runtimes"
_SUMMARY: Final = "Error when creating a function instance"


class RuntimeCatalog:
    """All run-times of one process, each made at most once.

    Raise `SettingsError` if two installed packages offer different run-times of the same name.
    """

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._entries = _installed()
        self._made: dict[str, FunctionRuntime] = {}

    def known(self) -> tuple[str, ...]:
        """The function types that can be asked for, sorted."""
        return tuple(sorted(self._entries))

    def get(self, function_type: str) -> FunctionRuntime:
        """The run-time for *function_type*.

        Raise `RejectedError` if there is none (case D22), or if it cannot be loaded here.
        """
        runtime = self._made.get(function_type)
        if runtime is None:
            runtime = self._made[function_type] = self._make(function_type)
        return runtime

    def close(self) -> None:
        """Close every run-time that was made, the last first. Idempotent."""
        while self._made:
            _, runtime = self._made.popitem()
            runtime.close()

    def _make(self, function_type: str) -> FunctionRuntime:
        entry = self._entries.get(function_type)
        if entry is None:
            raise RejectedError(_SUMMARY, clipped(f"Could not find runner for {function_type}"))
        try:
            maker = entry.load()
        except (ImportError, AttributeError) as cause:
            detail = f"The runner for {function_type} cannot be loaded: {cause}"
            raise RejectedError(_SUMMARY, clipped(detail)) from cause
        runtime: FunctionRuntime = maker(self._settings)
        return runtime


def _installed() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=_GROUP):
        other = found.setdefault(entry.name, entry)
        # The same package may be on the path twice, e.g. installed and editable.
        if other.value != entry.value:
            raise SettingsError(
                f"two packages offer the run-time {quoted(entry.name)}: "
                f"{other.value} and {entry.value}; uninstall one"
            )
    return found
