"""DomainLink: what the ε-CON has with one domain: its ledger, and the steps on their way to it.

Every step is one request with a deadline. Repairs run in one task per domain, and only while there
are any: a domain that hangs delays no other. Not here: which steps are needed (`ledger`,
`deployment`).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edgeless_sim.api.clients import ComponentClient, DomainMirrorClient
from edgeless_sim.api.wires import OUR_WIRES, Wires
from edgeless_sim.controller.deployment import ComponentKind, Patch, Start, Step, Stop, logical
from edgeless_sim.controller.ledger import DomainLedger, retry_delay_ns
from edgeless_sim.controller.register import DomainEntry
from edgeless_sim.controller.tasks import OwnedTasks
from edgeless_sim.errors import EdgelessError, RejectedError, UnreachableError
from edgeless_sim.kernel.scheduler import Scheduler, Timer
from edgeless_sim.model.decision import Decision
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import LogicalId
from edgeless_sim.model.resource import ResourceInstanceSpecification

__all__ = ["REQUESTS_MAX", "Connect", "DomainLink", "Outcome"]

#: Requests of one deployment, or of the repairs of one domain, that wait for an answer together.
REQUESTS_MAX: Final = 16

#: From a URL to a connection of the transport, whose type only `api` may name. Nobody need listen
#: there yet; ValueError for a URL that is none.
Connect = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one step."""

    step: Step
    lid: LogicalId
    """The logical id under which the component runs."""
    error: EdgelessError | None = None

    @property
    def may_run(self) -> bool:
        """Whether the domain may have carried the step out: it did, or did not answer."""
        return not isinstance(self.error, RejectedError)


class DomainLink:
    """One domain from the time it joins until its deadline passes."""

    def __init__(
        self,
        entry: DomainEntry,
        connect: Connect,
        *,
        scheduler: Scheduler,
        tasks: OwnedTasks,
        rpc_timeout_s: float,
        wires: Wires = OUR_WIRES,
    ) -> None:
        self.entry: Final = entry
        self.ledger: Final = DomainLedger()
        #: Grows when the domain loses its memory; what was under way then has not happened.
        self.incarnation = 0
        self._connect = connect
        self._scheduler = scheduler
        self._tasks = tasks
        self._rpc_timeout_s = rpc_timeout_s
        self._wires = wires
        self._url = ""
        self._client: ComponentClient | None = None
        self._failures = 0
        self._quiet_until_ns = 0
        self._repairing: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the domain is gone."""
        return self._closed

    def forget_all(self) -> None:
        """The domain has lost its memory, or is told to."""
        self.incarnation += 1
        self.ledger.clear()
        self._answered()

    def close(self) -> None:
        """The domain is gone: repair nothing more."""
        self._closed = True
        self.entry.accepted = b""
        self.forget_all()
        self._set_timer(None)

    async def perform(self, step: Step) -> Outcome:
        """Send *step* and book its outcome. Raises nothing that the world is to blame for."""
        incarnation = self.incarnation
        try:
            lid = await self._send(step)
        except UnreachableError as error:
            if incarnation == self.incarnation:
                self._silent()
            return Outcome(step, step.lid, error)
        except EdgelessError as error:
            self._answered()
            return Outcome(step, step.lid, error)
        self._answered()
        # If the domain was reset meanwhile, its ledger has forgotten the step and ignores this.
        self._book(step, lid)
        return Outcome(step, lid)

    async def perform_all(self, steps: Sequence[Step]) -> list[Outcome]:
        """Send *steps* in order, several at a time, until one fails; the outcomes, in order.

        Those that were not sent have no outcome.
        """
        if len(steps) == 1:
            return [await self.perform(steps[0])]
        outcomes: dict[int, Outcome] = {}
        pending = iter(enumerate(steps))
        workers = min(REQUESTS_MAX, len(steps))
        await asyncio.gather(*(self._work(pending, outcomes) for _ in range(workers)))
        return [outcomes[place] for place in sorted(outcomes)]

    async def _work(
        self, pending: Iterator[tuple[int, Step]], outcomes: dict[int, Outcome]
    ) -> None:
        for place, step in pending:
            outcome = outcomes[place] = await self.perform(step)
            if outcome.error is not None:
                # Nobody takes another step; those under way end.
                for _ in pending:
                    pass

    def kick(self) -> "asyncio.Future[None] | None":
        """See to the repairs that are due; the future ends with the present pass over them.

        None if nothing can be done now; a timer is set then.
        """
        if self._closed:
            return None
        if self._repairing is None:
            if not self.ledger.repairs(self._scheduler.now_ns()) or self._resting():
                self._set_timer(self.ledger.next_repair_ns())
                return None
            self._repairing = asyncio.get_running_loop().create_future()
            self._tasks.spawn(f"repair {self.entry.domain_id}", self._repair, self._repairing)
        return self._repairing

    async def _repair(self, ended: "asyncio.Future[None]") -> None:
        while not (self._closed or self._resting()):
            steps = self.ledger.repairs(self._scheduler.now_ns())
            if not steps:
                break
            for outcome in await self._repair_all(steps):
                step = outcome.step
                if outcome.error is not None and not isinstance(step, Patch):
                    now_ns = self._scheduler.now_ns()
                    self.ledger.failed(step, now_ns, str(outcome.error)[:200])
        self._repairing = None
        if not ended.done():
            ended.set_result(None)
        if not self._closed:
            self._set_timer(self.ledger.next_repair_ns())

    async def _repair_all(self, steps: Sequence[Start | Stop]) -> list[Outcome]:
        """As `perform_all`, but a refusal does not keep the others from being sent."""
        outcomes: list[Outcome] = []
        while len(outcomes) < len(steps) and not self._resting():
            outcomes += await self.perform_all(steps[len(outcomes) :])
        return outcomes

    async def explain(self, lids: tuple[LogicalId, ...]) -> tuple[Decision, ...]:
        """The domain's decisions about its components; raise `EdgelessError` if it tells none."""
        url = self.entry.url
        wire = self._wires.calling(url)
        client = DomainMirrorClient(self._connect(url), wire, timeout_s=self._rpc_timeout_s)
        return await client.explain(lids)

    async def _send(self, step: Step) -> LogicalId:
        client = self._connected()
        function = step.kind is ComponentKind.FUNCTION
        match step:
            case Start(message=SpawnFunctionRequest() as message):
                return LogicalId((await client.start_function(message)).instance_id.function_id)
            case Start(message=ResourceInstanceSpecification() as message):
                return LogicalId((await client.start_resource(message)).instance_id.function_id)
            case Patch():
                patch = client.patch_function if function else client.patch_resource
                await patch(step.message)
            case Stop(kind=None):
                await self._stop_either(client, step.lid)
            case Stop():
                stop = client.stop_function if function else client.stop_resource
                await stop(logical(step.lid))
        return step.lid

    async def _stop_either(self, client: ComponentClient, lid: LogicalId) -> None:
        """Stop a component of unknown kind: a domain refuses the wrong one (defect U30)."""
        try:
            await client.stop_function(logical(lid))
        except RejectedError:
            await client.stop_resource(logical(lid))

    def _connected(self) -> ComponentClient:
        if self._client is None or self._url != self.entry.url:
            self._url = self.entry.url
            try:
                connection = self._connect(self._url)
            except ValueError as error:
                self._url = ""
                raise UnreachableError(f"{self.entry.url}: {error}") from error
            wire = self._wires.calling(self._url)
            self._client = ComponentClient(connection, wire, timeout_s=self._rpc_timeout_s)
        return self._client

    def _book(self, step: Step, lid: LogicalId) -> None:
        if isinstance(step, Start):
            self.ledger.succeeded(step)
            if lid != step.lid:
                self.ledger.rename(step.lid, lid)
        elif isinstance(step, Stop):
            self.ledger.succeeded(step)

    def _resting(self) -> bool:
        return self._quiet_until_ns > self._scheduler.now_ns()

    def _silent(self) -> None:
        self._failures += 1
        self._quiet_until_ns = self._scheduler.now_ns() + retry_delay_ns(self._failures)
        self.entry.mark(silent=True)

    def _answered(self) -> None:
        if self._failures:
            self._failures = 0
            self._quiet_until_ns = 0
            self.entry.mark(silent=False)

    def _set_timer(self, when_ns: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when_ns is not None:
            when_ns = max(when_ns, self._quiet_until_ns)
            self._timer = self._scheduler.background_at(when_ns, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.kick_soon()

    def kick_soon(self) -> None:
        """`kick`, as foreground work of its own: `settled` must not overtake repairs."""
        self._scheduler.foreground_soon(self._wake)

    def _wake(self) -> None:
        self.kick()
