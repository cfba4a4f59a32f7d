"""DomainPoller: asks an ε-ORC of the static list for its domain, again and again (decision 3).

What it hears is a registration like any other. Not here: what a registration changes (`register`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from edgeless_sim.api.clients import DomainPollClient
from edgeless_sim.api.messages import UpdateDomainRequest, UpdateDomainResponse
from edgeless_sim.controller.tasks import OwnedTasks
from edgeless_sim.errors import RejectedError, UnreachableError
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.scheduler import Scheduler, Timer
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.names import clipped, quoted

__all__ = ["POLL_INTERVAL_S", "POLL_TTL_S", "DomainPoller", "StaticDomain"]

#: How often a domain is asked, and the longest pause between attempts at one that does not answer.
POLL_INTERVAL_S: Final = 1.0
#: The domain is lost when it has not answered for so long.
POLL_TTL_S: Final = 5.0
#: Deadline of one question.
POLL_TIMEOUT_S: Final = 1.0
_PAUSE_S_MIN: Final = 0.1
#: After an order to reset, which the domain confirms in its next answer.
_CONFIRM_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class StaticDomain:
    """An ε-ORC that the ε-CON was told of."""

    domain_id: DomainId
    url: str
    """Where its ε-ORC listens; an announced URL does not replace it."""


class DomainPoller:
    """One domain of the list, for as long as the ε-CON lives."""

    def __init__(
        self,
        domain: StaticDomain,
        client: DomainPollClient,
        take: Callable[[UpdateDomainRequest], UpdateDomainResponse],
        *,
        scheduler: Scheduler,
        tasks: OwnedTasks,
        journal: Journal,
    ) -> None:
        """*take* registers the domain, or raises `RejectedError`."""
        self._domain = domain
        self._client = client
        self._take = take
        self._scheduler = scheduler
        self._tasks = tasks
        self._journal = journal
        self._answer = UpdateDomainResponse(reset=False)
        self._pause_s = _PAUSE_S_MIN
        self._reason = ""
        self._timer: Timer | None = None

    def start(self) -> None:
        """Ask for the first time, at once."""
        # Foreground, so that `settled` waits for the first answer.
        self._scheduler.foreground_soon(self._ask)

    def stop(self) -> None:
        """Ask no more; the tasks' owner ends what is under way."""
        if self._timer is not None:
            self._timer.cancel()

    def _ask(self) -> None:
        self._tasks.spawn(f"ask domain {self._domain.domain_id}", self._poll)

    def _ask_in(self, delay_s: float) -> None:
        when_ns = self._scheduler.now_ns() + round(delay_s * 1e9)
        self._timer = self._scheduler.background_at(when_ns, self._ask)

    async def _poll(self) -> None:
        try:
            request = self._checked(await self._client.poll(self._answer))
            self._answer = self._take(request)
        except (RejectedError, UnreachableError) as error:
            self._note(clipped(str(error)))
            self._ask_in(self._pause_s)
            self._pause_s = min(2 * self._pause_s, POLL_INTERVAL_S)
            return
        self._note("")
        self._pause_s = _PAUSE_S_MIN
        self._ask_in(_CONFIRM_S if self._answer.reset or request.more else POLL_INTERVAL_S)

    def _checked(self, request: UpdateDomainRequest) -> UpdateDomainRequest:
        domain = self._domain
        if request.domain_id != domain.domain_id:
            raise RejectedError(
                "Another domain",
                f"{domain.url} is the ε-ORC of {quoted(request.domain_id)}; "
                f"orchestrators has {quoted(domain.domain_id)} there",
            )
        return replace(request, orchestrator_url=domain.url, ttl_s=POLL_TTL_S)

    def _note(self, reason: str) -> None:
        """Write down why it cannot be had, once."""
        if reason and reason != self._reason:
            number = self._journal.intern("domain", self._domain.domain_id)
            self._journal.record("state", number, "unavailable", reason)
        self._reason = reason
