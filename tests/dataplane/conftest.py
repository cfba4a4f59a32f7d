"""Data planes on the virtual loop and the real memory network, without nodes.

``play`` runs a story: a coroutine function that gets a `Wire`.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import pytest

from edgeless_sim.api.codec import encode_event
from edgeless_sim.api.services import HANDLE
from edgeless_sim.cluster.network import NetworkHandle
from edgeless_sim.cluster.topology import LinkTopology
from edgeless_sim.dataplane import Dataplane, DataplaneHandle
from edgeless_sim.kernel import Entropy, Journal, LoopClock, run
from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.event import CallReturn, Event, Target
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId
from edgeless_transports import Address, MemoryTransport

Story = Callable[["Wire"], Awaitable[None]]
TRACE: Final = bytes(range(24))


class End:
    """One instance: remembers what comes, and the answers to its calls."""

    def __init__(self, wire: "Wire", plane: Dataplane, number: int) -> None:
        node_id = NodeId(UUID(bytes=plane.node_bytes))
        self.instance = InstanceId(node_id, FunctionId(UUID(int=0xE0 + number)))
        self.key = self.instance.key
        self.plane = plane
        self.handle = DataplaneHandle(self.key, plane, wire.journal)
        self.handle.attach(self)
        self.received: list[Event] = []
        self.answers: list[CallReturn] = []
        #: What calls get at once; None = the test answers them.
        self.reply: CallReturn | None = None

    @property
    def payloads(self) -> list[str]:
        return [event.payload for event in self.received]

    def deliver(self, event: Event) -> None:
        self.received.append(event)
        if self.reply is not None:
            self.plane.answer(event, self.reply)

    def call(self, alias: str, payload: str) -> int:
        return self.handle.call_nowait(alias, payload, self.answers.append, TRACE)


class Wire:
    """Data planes ``a``, ``b``, ``c`` … 1 ms apart, and what was recorded."""

    def __init__(self, planes: int) -> None:
        self.clock = LoopClock.running()
        self.scheduler = self.clock.scheduler
        self.records: list[Record] = []
        self.journal = Journal(self.scheduler)
        self.journal.subscribe(self.records.extend)
        self.entropy = Entropy(1)
        self.network = NetworkHandle(
            self.scheduler,
            self.journal,
            self.entropy.stream("network"),
            [LinkTopology(latency_ns=1_000_000)],
        )
        self.planes = [self._plane(number) for number in range(planes)]
        self._ends = 0

    def _plane(self, number: int) -> Dataplane:
        location = f"node/{number}"
        plane = Dataplane(
            NodeId(UUID(int=0xA0 + number)),
            self.scheduler,
            self.journal,
            lambda: self.entropy.stream(location),
            lambda url: self.network.connection(location, url),
        )
        MemoryTransport(self.scheduler, self.network.memory, location).attach(
            Address.parse(f"memory://{location}"), lambda _: b"", on_cast=plane.receive
        )
        return plane

    def end(self, plane: int = 0) -> End:
        self._ends += 1
        return End(self, self.planes[plane], self._ends)

    def target(self, end: End) -> Target:
        return Target(end.instance, f"memory://node/{self.planes.index(end.plane)}")

    def wire(self, end: End, generation: int = 0, **outputs: End) -> None:
        mapping = {channel: self.target(to) for channel, to in outputs.items()}
        assert end.handle.patch(mapping, generation)

    def inject(self, event: Any, *, to: int = 0, location: str = "node/9") -> None:
        """Send a frame that no data plane of ours would send."""
        payload = event if isinstance(event, bytes) else encode_event(event)
        self.network.connection(location, f"memory://node/{to}").cast_nowait(HANDLE, payload)

    async def after(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    def told(self, kind: str) -> list[tuple[Any, ...]]:
        self.journal.flush()
        return [record[2:] for record in self.records if record[1] == kind]


@pytest.fixture
def play() -> Callable[..., None]:
    """Run a story with some data planes in virtual time."""

    def run_story(story: Story, planes: int = 2) -> None:
        async def main() -> None:
            await story(Wire(planes))

        run(main)

    return run_story
