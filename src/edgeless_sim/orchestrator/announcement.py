"""What a domain says of itself to the ε-CON, and how it obeys the answer (spec 4.6).

The same whether the domain registers itself (`subscriber`) or is asked (`DomainPollApi`); both may
happen side by side.
"""

from collections.abc import Callable
from typing import Final

from edgeless_sim.api.messages import UpdateDomainRequest, UpdateDomainResponse
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import DomainId
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.domain_state import DomainState

__all__ = ["DomainAnnouncement"]


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
        #: Whether the ε-CON has asked for it.
        self.polled = False

    @property
    def totals_told(self) -> bool:
        """Whether the last announcement had what the domain offers now."""
        return self._versions[1] == self._state.totals_version

    @property
    def all_told(self) -> bool:
        """Whether the last announcement had what runs now, too."""
        return self._versions == (self._state.version, self._state.totals_version)

    def current(self) -> UpdateDomainRequest:
        """What there is to say; the same object, hence the same bytes, while nothing changes."""
        state = self._state
        if self._request is None or not self.all_told:
            self._counter += 1
            self._versions = (state.version, state.totals_version)
            self._request = UpdateDomainRequest(
                self._domain_id,
                self._url,
                state.totals.capabilities(),
                self._ttl_s,
                self._counter,
                self._nonce,
                state.inventory(),
                self._epoch,
            )
        return self._request

    def obey(self, answer: UpdateDomainResponse) -> bool:
        """Do the reset that *answer* orders, if it does; whether there is news for the ε-CON."""
        if not answer.reset:
            return False
        if answer.epoch and answer.epoch == self._epoch:
            # Done before; the echo was lost.
            return False
        self._chronicle.domain("reset", f"epoch {answer.epoch}")
        self._epoch = answer.epoch
        self._request = None
        self._on_reset()
        return True

    async def poll(self, answer: UpdateDomainResponse) -> UpdateDomainRequest:
        """See `DomainPollApi.poll`."""
        if not self.polled:
            self.polled = True
            self._chronicle.domain("registered", "the ε-CON asks for it")
        self.obey(answer)
        return self.current()
