"""What a cluster needs of its network: addresses, listeners, connections, faults.

`NetworkHandle` is the simulated one, `WireNetwork` the one of real sockets.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.cluster.capture import Recorder
from edgeless_sim.cluster.faults import Faults
from edgeless_sim.model.ids import NodeId
from edgeless_transports import CastReceiver, Handler

__all__ = ["Crash", "Network"]

#: Ends a listener as silently as the network allows. Idempotent.
Crash: TypeAlias = Callable[[], None]


class Network(Faults):
    """One network, with everybody on it known by a location such as ``orc/edge``."""

    #: Records what is sent, from its setting on; None = nobody asked for that.
    recorder: Recorder | None = None

    @abstractmethod
    def url(self, location: str) -> str:
        """The URL of whoever listens at *location*, now or later."""

    @abstractmethod
    async def attach(
        self, location: str, handler: Handler, on_cast: CastReceiver | None = None
    ) -> Crash:
        """Listen at *location*, until what is returned is called."""

    def connection(self, here: str, url: str) -> Any:
        """A connection from the location *here*; it works whenever somebody listens at *url*."""
        connection = self._connection(here, url)
        if self.recorder is None:
            return connection
        return self.recorder.wrapped(connection, here, url)

    @abstractmethod
    def location(self, url: str) -> str:
        """The location whose URL is *url*; *url* itself if nobody of ours listens there."""

    @abstractmethod
    def wires(self, role: Role, home: NodeId | None = None) -> Wires:
        """The wires of a component; *home* is the id of a node."""

    @abstractmethod
    def lost_by_cause(self) -> Counter[str]:
        """How many frames were lost, as far as the network knows."""

    @abstractmethod
    def effects(self) -> Counter[str]:
        """What faults have done to what was not lost."""

    @abstractmethod
    def _connection(self, here: str, url: str) -> Any:
        """See `connection`."""

    async def introduce(self, here: str, *locations: str) -> None:
        """See to it that *here* can reach *locations*. Once per pair, before the first frame."""

    async def close(self) -> None:
        """Close what is open."""
