"""What a domain says of itself to the ε-CON, and how it obeys the answer (spec 4.6).

Of its components it lists those that have changed since the version that the ε-CON says it has,
and all of them where it says none, a part at a time. The same whether the domain registers itself
(`subscriber`) or is asked (`DomainPollApi`); both may happen side by side.
"""

from collections.abc import Callable
from typing import Final

from edgeless_sim.api.messages import (
    ComponentInventory,
    UpdateDomainRequest,
    UpdateDomainResponse,
)
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import DomainId, LogicalId
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.domain_state import DomainState

__all__ = ["PART_MAX", "DomainAnnouncement"]

#: Components in one announcement; with the longest of reasons it is half as long as a message may
#: be. Later changes follow in the next one.
PART_MAX: Final = 8_192


class DomainAnnouncement:
    """One life of one domain, as the ε-CON gets to know it; serves `DomainPollApi`."""

    def __init__(
        self,
        context: ActorContext,
        state: DomainState,
        on_reset: Callable[[], None],
        *,
        domain_id: DomainId,
        url: str,
        ttl_s: float,
        chronicle: Chronicle,
    ) -> None:
        self._state = state
        self._on_reset = on_reset
        self._chronicle = chronicle
        self._domain_id: Final = domain_id
        self._url: Final = url
        self._ttl_s: Final = ttl_s
        # The time is part of the name: a restarted ε-ORC must not look like the one before.
        dice = context.entropy.stream(f"{context.name}/nonce/{context.scheduler.now_ns()}")
        self._nonce: Final = dice.getrandbits(63)
        self._epoch = 0
        self._counter = 0
        self._request: UpdateDomainRequest | None = None
        self._versions = (-1, -1)
        # The version of the inventory that the ε-CON has, and that which the last request built on.
        self._held: int | None = None
        self._base: int | None = None
        self._more = False
        #: Whether the ε-CON has asked for it.
        self.polled = False

    @property
    def totals_told(self) -> bool:
        """Whether the last announcement had what the domain offers now."""
        return self._versions[1] == self._state.totals_version

    @property
    def all_told(self) -> bool:
        """Whether the last announcement had what runs now, too."""
        versions = (self._state.version, self._state.totals_version)
        return self._versions == versions and not self._more

    @property
    def listed(self) -> int:
        """How many components have to be listed before the next change, at least."""
        return len(self._state.components) if self._held is None else 0

    def current(self) -> UpdateDomainRequest:
        """What there is to say; the same object, hence the same bytes, while nothing changes."""
        state = self._state
        versions = (state.version, state.totals_version)
        if self._request is None or versions != self._versions or self._base != self._held:
            # What is as it was keeps its counter, though it is told in other words.
            self._counter += self._request is None or versions != self._versions
            self._base = self._held
            components, gone, version = self._news()
            self._versions = state.version, state.totals_version
            self._request = UpdateDomainRequest(
                self._domain_id,
                self._url,
                state.totals.capabilities(),
                self._ttl_s,
                self._counter,
                self._nonce,
                components,
                self._epoch,
                self._base,
                version,
                gone,
                self._more,
            )
        return self._request

    def _news(self) -> tuple[tuple[ComponentInventory, ...], tuple[LogicalId, ...], int]:
        """Components that have changed since `_base`, those that have gone, up to which version."""
        state = self._state
        if self._base is not None and self._base < state.changes.floor:
            # It is so long ago that nobody remembers what has gone since.
            self._base = None
        changed, version = state.changes.since(self._base or 0, PART_MAX)
        known = max(self._held or 0, state.changes.floor)
        if self._base is None and version < min(known, state.version):
            # The first part would be older than what the ε-CON has, or too old to go on from.
            state.count_anew()
            changed, version = state.changes.since(0, PART_MAX)
        self._more = version < state.version
        components: list[ComponentInventory] = []
        gone: list[LogicalId] = []
        for logical_id in changed:
            component = state.components.get(logical_id)
            if component is not None:
                components.append(state.inventory(component))
            elif self._base is not None:
                gone.append(logical_id)
        return tuple(components), tuple(gone), version

    def obey(self, answer: UpdateDomainResponse) -> bool:
        """Do the reset that *answer* orders, if it does; whether there is news for the ε-CON."""
        if not answer.reset:
            went_on = answer.version is not None and answer.version != self._held
            self._held = answer.version
            return went_on and self._more
        if answer.epoch and answer.epoch == self._epoch:
            # Done before; the echo was lost.
            return False
        self._chronicle.domain("reset", f"epoch {answer.epoch}")
        self._epoch = answer.epoch
        self._request = None
        self._held = None
        self._on_reset()
        return True

    async def poll(self, answer: UpdateDomainResponse) -> UpdateDomainRequest:
        """See `DomainPollApi.poll`."""
        if not self.polled:
            self.polled = True
            self._chronicle.domain("registered", "the ε-CON asks for it")
        self.obey(answer)
        return self.current()
