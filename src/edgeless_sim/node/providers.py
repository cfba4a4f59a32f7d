"""The resource providers of a node: made from its settings, on its own time, tasks and journal.

Not here: which providers there can be (`resources.catalog`).
"""

from collections.abc import Mapping
from typing import Final

from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.resources.base import ResourceHost, ResourceProvider, ResourceSettings
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.files import FileStore
from edgeless_sim.resources.simulated.backends import Backends

__all__ = ["WARNINGS_BURST", "WARNINGS_PER_S", "make_providers"]

#: What all providers of a node may add to its journal; the rest is lost.
WARNINGS_PER_S: Final = 100
WARNINGS_BURST: Final = 1_000


def make_providers(
    classes: Mapping[str, str],
    context: ActorContext,
    files: FileStore,
    settings: ResourceSettings,
    *,
    backends: Backends | None = None,
) -> dict[str, ResourceProvider]:
    """The providers whose ids and classes are *classes*; with *backends*, those in simulation.

    Raises `SettingsError` as the catalog.
    """
    host = ResourceHost(
        context.name,
        context.clock,
        context.scheduler,
        files,
        warn=_Warnings(context).record,
        settings=settings,
        spawn=context.spawn,
        dice=context.entropy.stream(f"{context.name}/resources"),
        backends=backends,
    )
    return {
        provider_id: create_provider(class_type, provider_id, host)
        for provider_id, class_type in classes.items()
    }


class _Warnings:
    """Writes into the journal what instances could not do, as log lines of theirs."""

    def __init__(self, context: ActorContext) -> None:
        self._context = context
        self._credit = float(WARNINGS_BURST)
        self._credit_ns = context.scheduler.now_ns()

    def record(self, pid: InstanceId, message: str) -> None:
        """See `ResourceHost.warn`; at most `WARNINGS_PER_S` after a burst of `WARNINGS_BURST`."""
        now_ns = self._context.scheduler.now_ns()
        earned = (now_ns - self._credit_ns) * WARNINGS_PER_S / 1e9
        self._credit_ns = now_ns
        self._credit = min(WARNINGS_BURST, self._credit + earned)
        if self._credit < 1:
            return
        self._credit -= 1
        journal = self._context.journal
        number = journal.intern("instance", pid.key.hex())
        journal.record("log", number, "warn", "resource", message)
