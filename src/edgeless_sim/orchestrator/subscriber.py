"""Keeps a domain registered with the ε-CON, and tells it what the domain can do and what runs.

One request is on its way at a time. A separate actor, so that no two actors wait for each other:
the ε-CON calls down, the news go up from here. Not here: what is said (`announcement`).
"""

from typing import Final

from edgeless_sim.api.clients import DomainRegistrationClient
from edgeless_sim.api.messages import UpdateDomainResponse
from edgeless_sim.errors import RejectedError, UnreachableError
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.orchestrator.announcement import DomainAnnouncement
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.domain_state import DomainState

__all__ = ["DomainSubscriber"]

_GAP_NS: Final = 10_000_000
#: How often an update is said again within an interval while nobody answers.
_ATTEMPTS_PER_INTERVAL: Final = 4
#: News of components wait this long for company, and longer for an ε-CON to which all components
#: have to be listed each time.
_NEWS_DELAY_NS: Final = 50_000_000
_NEWS_DELAY_PER_COMPONENT_NS: Final = 50_000


class DomainSubscriber:
    """Registers one domain, and refreshes that for ever."""

    def __init__(
        self,
        context: ActorContext,
        state: DomainState,
        client: DomainRegistrationClient,
        announcement: DomainAnnouncement,
        *,
        interval_s: float,
        chronicle: Chronicle,
    ) -> None:
        self._context = context
        self._scheduler = context.scheduler
        self._state = state
        self._client = client
        self._announcement = announcement
        self._chronicle = chronicle
        self._interval_ns = round(interval_s * 1e9)
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

    @property
    def registered(self) -> bool:
        """Whether the ε-CON has taken the last registration."""
        return bool(self._registered)

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
        if not self._announcement.totals_told:
            self._send_in(0)
        elif not self._announcement.all_told:
            delay_ns = _NEWS_DELAY_PER_COMPONENT_NS * self._announcement.listed
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
            answer = await self._client.update_domain(self._announcement.current())
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
        if not self._stopped and self._announcement.obey(answer):
            self._send_in(0)
