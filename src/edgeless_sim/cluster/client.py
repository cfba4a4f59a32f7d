"""The experimenter: sends events into a cluster from outside, and waits for answers."""

import asyncio
from collections.abc import Callable, Hashable
from random import Random
from typing import Final

from edgeless_sim.api.wires import Role
from edgeless_sim.cluster.addresses import CLIENT
from edgeless_sim.cluster.network_base import Crash, Network
from edgeless_sim.dataplane.handle import DataplaneHandle
from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.entropy import uuid4_from
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId
from edgeless_transports import Incoming

__all__ = ["CALLS_MAX", "EventClient"]

#: Most calls from outside that wait for their answers.
CALLS_MAX: Final = 100_000
#: Most components whose last instance is remembered.
_COMPONENTS_MAX: Final = 10_000


class EventClient:
    """An endpoint of the data plane that belongs to no node."""

    def __init__(
        self, scheduler: Scheduler, journal: Journal, dice: Random, network: Network
    ) -> None:
        node_id = NodeId(uuid4_from(dice))
        self._network = network
        wires = network.wires(Role.CLIENT)
        self._plane = Dataplane(
            node_id,
            scheduler,
            journal,
            lambda: dice,
            lambda url: network.connection(CLIENT, url),
            wires=wires,
            wire=wires.serving(network.url(CLIENT)),
        )
        key = InstanceId(node_id, FunctionId(uuid4_from(dice))).key
        self._handle = DataplaneHandle(key, self._plane, journal, calls_max=CALLS_MAX)
        self._crash: Crash | None = None
        self._last: dict[Hashable, InstanceId] = {}

    async def listen(self) -> None:
        """Take answers from now on."""
        self._crash = await self._network.attach(CLIENT, _refuse, self._plane.receive)

    def found(self, component: Hashable, instance: InstanceId, url: str) -> None:
        """*component*, whatever that is called, has that instance now.

        If it was another one before, events to both stay in order while it migrates.
        """
        before = self._last.get(component)
        if before == instance:
            return
        if len(self._last) >= _COMPONENTS_MAX:
            self._last.clear()
        self._last[component] = instance
        if before is not None:
            self._plane.add_peer(instance.node_id.bytes, url)
            self._handle.moved(before.key, instance.key)

    def cast(self, target: InstanceId, url: str, payload: str) -> None:
        """Send *payload* to an instance whose node takes events at *url*."""
        self._plane.add_peer(target.node_id.bytes, url)
        self._handle.cast_raw(target.key, payload)

    async def call(
        self, target: InstanceId, url: str, payload: str, *, timeout_s: float
    ) -> CallReturn:
        """Call an instance and return how the call ended."""
        reply: asyncio.Future[CallReturn] = asyncio.get_running_loop().create_future()

        def answer(result: CallReturn) -> None:
            if not reply.done():
                reply.set_result(result)

        stream = self.call_nowait(target, url, payload, answer)
        scheduler = self._plane.scheduler
        deadline = scheduler.timer_at(
            scheduler.now_ns() + round(timeout_s * 1e9), self._handle.abort, stream
        )
        try:
            return await reply
        finally:
            deadline.cancel()

    def call_nowait(
        self, target: InstanceId, url: str, payload: str, answer: Callable[[CallReturn], None]
    ) -> int:
        """Call an instance; *answer* gets how the call ended, later. The number of the call."""
        self._plane.add_peer(target.node_id.bytes, url)
        return self._handle.call_raw_nowait(target.key, payload, answer)

    def abort(self, stream: int) -> None:
        """End the call with that number with Err; nothing if it is not open."""
        self._handle.abort(stream)

    def close(self) -> None:
        """Take no further answer."""
        if self._crash is not None:
            self._crash()
        self._plane.calls.forget_all()


def _refuse(incoming: Incoming) -> bytes:
    raise RejectedError("the client serves nothing", incoming.method)
