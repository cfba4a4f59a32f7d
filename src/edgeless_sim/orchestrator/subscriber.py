"""Keeps a domain registered with the ε-CON, and tells it what the domain can do and what runs.

One request is on its way at a time. A separate actor, so that no two actors wait for each other:
the ε-CON calls down, the news go up from here. Not here: the register of nodes (`register`).
"""

from collections.abc import Callable
from typing import Final

from edgeless_sim.api.clients import DomainRegistrationClient
from edgeless_sim.api.messages import UpdateDomainRequest, UpdateDomainResponse
from edgeless_sim.errors import RejectedError, UnreachableError
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.ids import DomainId
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.domain_state import DomainState

__all__ = ["DomainSubscriber"]

_GAP_NS: Final = 10_000_000
#: How often an update is said again within an interval while nobody answers.
_ATTEMPTS_PER_INTERVAL: Final = 4
#: News of components wait this long for company, and longer in large domains: each update lists
#: them all.
_NEWS_DELAY_NS: Final = 50_000_000
_NEWS_DELAY_PER_COMPONENT_NS: Final = 50_000


class DomainSubscriber:
    """Registers one domain, and refreshes that for ever."""

    def __init__(
        self,
        context: ActorContext,
        state: DomainState,
        client: DomainRegistrationClient,
        on_reset: Callable[[], None],
        *,
        domain_id: DomainId,
        url: str,
        interval_s: float,
        chronicle: Chronicle,
    ) -> None:
        self._context = context
        self._scheduler = context.scheduler
        self._state = state
        self._client = client
        self._on_reset = on_reset
        self._chronicle = chronicle
        self._domain_id = domain_id
        self._url = url
        self._interval_ns = round(interval_s * 1e9)
        self._ttl_s = 2 * interval_s + 1
        # The time is part of the name: a restarted ε-ORC must not look like the one before.
        dice = context.entropy.stream(f"{context.name}/nonce/{context.scheduler.now_ns()}")
        self._nonce = dice.getrandbits(63)
        self._epoch = 0
        self._counter = 0
        self._request: UpdateDomainRequest | None = None
        self._versions = (-1, -1)
        self._periodic: Timer | None = None
        self._news: Timer | None = None
        self._news_ns: int | None = None
        self._sending = False
        self._exchange = 0
        self._retry: Timer | None = None
        self._again = False
        self._sent_ns = -_GAP_NS
        self._registered: bool | None = None
        self._stopped = False

    def start(self) -> None:
        """Register at once."""
        self._scheduler.foreground_soon(self._send_periodic)

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped = True
        self._disarm()
        if self._retry is not None:
            self._retry.cancel()
        if self._periodic is not None:
            self._periodic.cancel()

    def look(self) -> None:
        """Send the news, if there are any, soon."""
        version, totals_version = self._versions
        if self._state.totals_version != totals_version:
            self._send_in(0)
        elif self._state.version != version:
            delay_ns = _NEWS_DELAY_PER_COMPONENT_NS * len(self._state.components)
            self._send_in(max(_NEWS_DELAY_NS, min(delay_ns, self._interval_ns)))

    def _send_in(self, delay_ns: int) -> None:
        if self._stopped:
            return
        if self._sending:
            self._again = True
            return
        when_ns = max(self._scheduler.now_ns() + delay_ns, self._sent_ns + _GAP_NS)
        if self._news_ns is None or when_ns < self._news_ns:
            self._news_ns = when_ns
            # Through the ready queue: a timer set by background work would be background itself.
            self._scheduler.foreground_soon(self._arm)

    def _arm(self) -> None:
        self._disarm()
        if self._news_ns is not None and not self._stopped:
            self._news = self._scheduler.timer_at(self._news_ns, self._send)

    def _disarm(self) -> None:
        if self._news is not None:
            self._news.cancel()
            self._news = None

    def _send_periodic(self) -> None:
        if self._stopped:
            return
        self._periodic = self._scheduler.background_at(
            self._scheduler.now_ns() + self._interval_ns, self._send_periodic
        )
        self._send()

    def _send(self) -> None:
        if self._stopped:
            return
        if self._sending:
            self._again = True
            return
        self._disarm()
        self._news_ns = None
        self._sending = True
        self._sent_ns = self._scheduler.now_ns()
        self._exchange += 1
        self._attempt(self._exchange)

    def _attempt(self, exchange: int) -> None:
        """Say it, and say it again while nobody answers.

        A domain must not be given up because one frame was lost, so an attempt does not wait for
        the deadline of the one before. Their deadlines bound how many are under way.
        """
        if self._stopped or exchange != self._exchange or not self._sending:
            return
        self._context.spawn(self._update(exchange), f"{self._context.name} to its controller")
        self._retry = self._scheduler.background_at(
            self._scheduler.now_ns() + self._interval_ns // _ATTEMPTS_PER_INTERVAL,
            self._attempt,
            exchange,
        )

    async def _update(self, exchange: int) -> None:
        try:
            answer = await self._client.update_domain(self._current_request())
        except UnreachableError as error:
            if exchange == self._exchange and self._sending:
                self._note(registered=False, reason=str(error))
            return
        except RejectedError as error:
            self._answered(exchange, registered=False, reason=str(error))
            return
        self._answered(exchange, registered=True)
        self._obey(answer)

    def _answered(self, exchange: int, *, registered: bool, reason: str = "") -> None:
        if self._stopped or exchange != self._exchange or not self._sending:
            return
        self._sending = False
        if self._retry is not None:
            self._retry.cancel()
        self._note(registered=registered, reason=reason)
        # What was refused will be said with the next refresh, not in a loop.
        again, self._again = self._again and registered, False
        if again:
            self._send_in(0)

    def _note(self, *, registered: bool, reason: str) -> None:
        if not self._stopped and registered is not self._registered:
            self._registered = registered
            self._chronicle.domain("registered" if registered else "unregistered", reason)

    def _obey(self, answer: UpdateDomainResponse) -> None:
        if self._stopped or not answer.reset:
            return
        if answer.epoch and answer.epoch == self._epoch:
            # Done before; the echo was lost.
            return
        self._chronicle.domain("reset", f"epoch {answer.epoch}")
        self._epoch = answer.epoch
        self._request = None
        self._on_reset()
        self._send_in(0)

    def _current_request(self) -> UpdateDomainRequest:
        """What there is to say; the same object, hence the same bytes, while nothing changes."""
        state = self._state
        versions = (state.version, state.totals_version)
        if self._request is None or versions != self._versions:
            self._counter += 1
            self._versions = versions
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
