"""One resource instance on its node: its events go to its provider, its own leave by its handle."""

import asyncio
from collections.abc import Callable

from edgeless_sim.dataplane.handle import DataplaneHandle
from edgeless_sim.model.event import ERR, CallReturn, Event, EventType
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.node.hosting import HostingContext
from edgeless_sim.resources.base import ResourceProvider

__all__ = ["HostedResource"]


class HostedResource:
    """An instance of a resource. It is the `EventSink` that its provider sends with."""

    __slots__ = ("_context", "_open", "gone", "handle", "pid", "provider", "specification")

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
        self._open: dict[int, Event] = {}
        self.handle = DataplaneHandle(pid.key, context.plane, context.actor.journal)

    async def start(self) -> None:
        """Raise `RejectedError` if the provider does not accept the configuration."""
        if self.specification.output_mapping is not None:
            self.handle.patch(self.specification.output_mapping, self.specification.generation)
        await self.provider.start(self.pid, self.specification, self)
        self.handle.attach(self)

    async def stop(self) -> None:
        """Take no further event and free what the provider holds."""
        if not self.gone:
            self._detach("the instance was stopped")
            self._context.actor.journal.record("stop", self.handle.number, "stopped")
            await self.provider.stop(self.pid)

    def crash(self, cause: str) -> None:
        """Vanish with the node."""
        if not self.gone:
            for event in self._open.values():
                self._context.plane.drop(event, cause)
            self._open.clear()
            self._detach(cause)

    # -- events in ------------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """See `Inbox.deliver`. Handling takes no simulated time; the outside world is not ours."""
        journal = self._context.actor.journal
        number = self.handle.number
        journal.record("recv", event.serial, number)
        waited_ns = self._context.actor.scheduler.now_ns() - event.created_ns
        handler = 2 if event.kind == EventType.CALL else 1
        journal.record("begin", event.serial, number, handler, waited_ns)
        self._open[event.serial] = event
        self.provider.handle(event, self._answerer(event))

    def _answerer(self, event: Event) -> Callable[[CallReturn], None]:
        begun_ns = self._context.actor.scheduler.now_ns()

        def answer(result: CallReturn) -> None:
            if self._open.pop(event.serial, None) is None:
                return
            duration_ns = self._context.actor.scheduler.now_ns() - begun_ns
            self._context.actor.journal.record(
                "end", event.serial, self.handle.number, 0, duration_ns, "ok"
            )
            self._context.plane.answer(event, result)

        return answer

    # -- events out (EventSink) -----------------------------------------------------------------

    def cast(self, channel: str, payload: str) -> None:
        """See `EventSink.cast`."""
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
        stream = 0

        def finish(result: CallReturn) -> None:
            deadline.cancel()
            answer(result)

        def expire() -> None:
            self.handle.abort(stream)

        deadline = scheduler.timer_at(scheduler.now_ns() + round(timeout_s * 1e9), expire)
        stream = self.handle.call_nowait(channel, payload, finish)

    def _detach(self, cause: str) -> None:
        self.gone = True
        for event in list(self._open.values()):
            self._context.plane.drop(event, cause)
            self._context.plane.answer(event, ERR)
        self._open.clear()
        self.handle.detach()
