"""One resource instance on its node: its events go to its provider, its own leave by its handle."""

import asyncio
from collections.abc import Callable
from typing import Final

from edgeless_sim.dataplane.handle import DataplaneHandle
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import (
    ERR,
    NO_REPLY,
    CallReturn,
    CallReturnKind,
    Event,
    EventType,
    event_bytes,
)
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.node.hosting import HostingContext
from edgeless_sim.node.telemetry import TelemetryKind
from edgeless_sim.resources.base import ResourceProvider

__all__ = ["CALLS_MAX", "OPEN_BYTES_MAX", "OPEN_EVENTS_MAX", "HostedResource"]

#: Events that the provider has not answered yet: the resource's queue.
OPEN_EVENTS_MAX: Final = 1024
OPEN_BYTES_MAX: Final = 16 << 20
#: Calls that a resource may have open: it speaks for many clients, and is no guest.
CALLS_MAX: Final = 1024


class HostedResource:
    """An instance of a resource. It is the `ForwardingSink` that its provider sends with."""

    __slots__ = (
        "_context",
        "_deadlines",
        "_open",
        "_open_bytes",
        "_tickets",
        "gone",
        "handle",
        "pid",
        "provider",
        "specification",
    )

    def __init__(
        self,
        pid: InstanceId,
        specification: ResourceInstanceSpecification,
        provider: ResourceProvider,
        context: HostingContext,
    ) -> None:
        self.pid = pid
        self.specification = specification
        self.provider = provider
        self.gone = False
        self._context = context
        #: Events in the provider's hands, by our own numbers: peers choose their serials.
        self._open: dict[int, Event] = {}
        self._open_bytes = 0
        self._tickets = 0
        #: Deadlines of the provider's own calls.
        self._deadlines: dict[int, Timer] = {}
        self.handle = DataplaneHandle(
            pid.key, context.plane, context.actor.journal, calls_max=CALLS_MAX
        )

    async def start(self) -> None:
        """Raise `RejectedError` if the provider does not accept the configuration, or if the
        instance was stopped meanwhile; nothing is left then."""
        if self.specification.output_mapping is not None:
            self.handle.patch(self.specification.output_mapping, self.specification.generation)
        try:
            await self.provider.start(self.pid, self.specification, self)
        except BaseException:
            self._detach("the resource did not start")
            raise
        if self.gone:
            # Again: the provider may have begun after it was told to stop.
            await self.provider.stop(self.pid)
            raise RejectedError("Error when creating a resource", "stopped while it was starting")
        self.handle.attach(self)

    async def stop(self) -> None:
        """Take no further event and free what the provider holds."""
        if not self.gone:
            self._detach("the instance was stopped")
            self._context.actor.journal.record("stop", self.handle.number, "stopped")
            await self.provider.stop(self.pid)

    def crash(self, cause: str) -> None:
        """Vanish with the node: nobody is told, not even the provider."""
        if self.gone:
            return
        self.gone = True
        for event in self._open.values():
            self._context.plane.drop(event, cause)
        self._release_open()
        for deadline in self._deadlines.values():
            deadline.cancel()
        self._deadlines.clear()
        self.handle.detach(cause)

    # -- events in ------------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """See `Inbox.deliver`. Handling takes no simulated time; the outside world is not ours."""
        context = self._context
        size = event_bytes(event)
        if len(self._open) >= OPEN_EVENTS_MAX or self._open_bytes + size > OPEN_BYTES_MAX:
            context.plane.refuse(event, "queue full")
            return
        journal = context.actor.journal
        number = self.handle.number
        journal.record("recv", event.serial, number)
        waited_ns = max(0, context.actor.scheduler.now_ns() - event.created_ns)
        handler = 2 if event.kind == EventType.CALL else 1
        journal.record("begin", event.serial, number, handler, waited_ns)
        if context.telemetry.enabled:
            context.telemetry.report(TelemetryKind.TRANSFER, self.pid, waited_ns)
        self._tickets += 1
        self._open[self._tickets] = event
        # The world may take its time; nothing is settled until it has answered.
        context.actor.scheduler.hold()
        self._open_bytes += size
        self.provider.handle(event, self._answerer(self._tickets))

    def _answerer(self, ticket: int) -> Callable[[CallReturn], None]:
        begun_ns = self._context.actor.scheduler.now_ns()

        def answer(result: CallReturn) -> None:
            event = self._open.pop(ticket, None)
            if event is not None:
                self._open_bytes -= event_bytes(event)
                self._context.actor.scheduler.release()
                self._answered(event, result, begun_ns)

        return answer

    def _answered(self, event: Event, result: CallReturn, begun_ns: int) -> None:
        context = self._context
        duration_ns = context.actor.scheduler.now_ns() - begun_ns
        failed = result.kind is CallReturnKind.ERR
        context.actor.journal.record(
            "end",
            event.serial,
            self.handle.number,
            0,
            duration_ns,
            "the provider failed" if failed else "ok",
        )
        if context.telemetry.enabled and not failed:
            tag = "CALL" if event.kind == EventType.CALL else "CAST"
            context.telemetry.report(TelemetryKind.COMPLETED, self.pid, duration_ns, tag)
        context.plane.answer(event, result)

    # -- events out (ForwardingSink) ------------------------------------------------------------

    def cast(self, channel: str, payload: str) -> None:
        """See `EventSink.cast`. What comes after the stop is counted."""
        if self.gone:
            self._context.plane.counters["cast by a stopped resource"] += 1
        else:
            self.handle.cast(channel, payload)

    async def call(self, channel: str, payload: str, *, timeout_s: float) -> CallReturn:
        """See `EventSink.call`."""
        reply: asyncio.Future[CallReturn] = asyncio.get_running_loop().create_future()

        def answer(result: CallReturn) -> None:
            if not reply.done():
                reply.set_result(result)

        self.call_nowait(channel, payload, answer, timeout_s=timeout_s)
        return await reply

    def call_nowait(
        self,
        channel: str,
        payload: str,
        answer: Callable[[CallReturn], None],
        *,
        timeout_s: float,
    ) -> None:
        """See `EventSink.call_nowait`. The earlier of *timeout_s* and T_call ends it with Err."""
        scheduler = self._context.actor.scheduler
        if self.gone:
            scheduler.call_soon(answer, ERR)
            return
        timeout_ns = round(timeout_s * 1e9)
        if timeout_ns >= self._context.plane.calls.timeout_ns:
            # The data plane ends it in time; a timer of our own costs a tenth of a call.
            self.handle.call_nowait(channel, payload, answer)
            return
        self._tickets += 1
        ticket = self._tickets
        stream = 0

        def finish(result: CallReturn) -> None:
            deadline = self._deadlines.pop(ticket, None)
            if deadline is not None:
                deadline.cancel()
                answer(result)

        def expire() -> None:
            self.handle.abort(stream)

        self._deadlines[ticket] = scheduler.timer_at(scheduler.now_ns() + timeout_ns, expire)
        stream = self.handle.call_nowait(channel, payload, finish)

    def forward(self, channel: str, event: Event, answer: Callable[[CallReturn], None]) -> None:
        """See `ForwardingSink.forward`."""
        if self.gone:
            self._context.plane.counters["cast by a stopped resource"] += 1
            self._context.actor.scheduler.call_soon(answer, ERR)
        elif event.kind == EventType.CALL:
            self.handle.call_nowait(channel, event.payload, answer, event.metadata)
        else:
            self.handle.cast(channel, event.payload, event.metadata)
            answer(NO_REPLY)

    def refuse(self, event: Event, cause: str) -> None:
        """See `ForwardingSink.refuse`."""
        for ticket, held in self._open.items():
            if held is event:
                del self._open[ticket]
                self._open_bytes -= event_bytes(event)
                self._context.actor.scheduler.release()
                self._context.plane.refuse(event, cause)
                return

    def _detach(self, cause: str) -> None:
        """Give back what is in hand: Err to those who called, and to the provider's own calls."""
        self.gone = True
        for event in self._open.values():
            self._context.plane.refuse(event, cause)
        self._release_open()
        self.handle.abort_calls()
        self.handle.detach("the sender has stopped")

    def _release_open(self) -> None:
        for _ in self._open:
            self._context.actor.scheduler.release()
        self._open.clear()
        self._open_bytes = 0
