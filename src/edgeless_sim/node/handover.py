"""What migrates from and to one node; serves `HandoverApi` (this node is the old one there)."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from edgeless_sim.api.handover import (
    HANDOVER_REFUSED,
    Collect,
    Collected,
    GiveBack,
    HandedState,
    TakeOver,
)
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.function import Predecessor
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.recent import Recent
from edgeless_sim.node.arrival import Arrival, Clients
from edgeless_sim.node.departure import Departure
from edgeless_sim.node.hosting import HostingContext
from edgeless_sim.node.movable import MovableFunction
from edgeless_sim.node.phase import Phase

__all__ = ["REMEMBERED_MAX", "Handovers"]

#: Most successors that are remembered.
REMEMBERED_MAX: Final = 1024


class Handovers:
    """The migrations of one node. *functions* are the agent's."""

    def __init__(
        self,
        functions: Mapping[InstanceId, MovableFunction],
        context: HostingContext,
        clients: Clients,
    ) -> None:
        self._functions = functions
        self._context = context
        self._clients = clients
        self._departures: dict[InstanceId, Departure] = {}
        self._arrivals: dict[InstanceId, Arrival] = {}
        self._asked: Recent[InstanceId] = Recent(REMEMBERED_MAX)

    def __len__(self) -> int:
        """How many migrations are not over yet."""
        return len(self._departures) + len(self._arrivals)

    # -- from here ------------------------------------------------------------------------------

    async def take_over(self, request: TakeOver) -> HandedState:
        """See `HandoverApi.take_over`. The same successor may ask twice, but not later again."""
        departure = self._departures.get(request.instance)
        if departure is None:
            departure = self._depart(request)
        elif departure.successor != request.successor:
            raise RejectedError(HANDOVER_REFUSED, f"it goes to {departure.successor}")
        return await departure.state()

    async def collect(self, request: Collect) -> Collected:
        """See `HandoverApi.collect`."""
        departure = self._departure(request.instance, request.successor)
        if not departure.committed:
            departure.commit()
            arrival = self._arrivals.get(request.instance)
            if arrival is not None and arrival.gate is not None:
                # It came from elsewhere a moment ago: what still comes from there goes on, too.
                arrival.gate.inner = arrival.gate.further = departure
            else:
                plane, key = self._context.plane, request.instance.key
                plane.attach(key, departure)
                plane.marks[key] = departure.mark
        return await departure.collect(request.received, begun=request.begun)

    async def give_back(self, request: GiveBack) -> None:
        """See `HandoverApi.give_back`."""
        self._departure(request.instance, request.successor).give_back(request.answers)

    def _depart(self, request: TakeOver) -> Departure:
        hosted = self._functions.get(request.instance)
        if hosted is None or hosted.stopping or hosted.phase is Phase.GONE:
            raise RejectedError(HANDOVER_REFUSED, f"{request.instance} does not run here")
        if request.successor in self._asked:
            # A copy, or a late one: that successor has given up (reliability F44).
            raise RejectedError(HANDOVER_REFUSED, "it was asked for before")
        self._asked.add(request.successor)
        departure = Departure(hosted, request.successor, self._context, self._stays)
        self._departures[request.instance] = departure
        hosted.leave(departure)
        return departure

    def _departure(self, instance: InstanceId, successor: InstanceId) -> Departure:
        departure = self._departures.get(instance)
        if departure is None or departure.successor != successor:
            raise RejectedError(HANDOVER_REFUSED, f"{instance} does not go to {successor}")
        return departure

    def _stays(self, departure: Departure) -> None:
        if self._departures.get(departure.hosted.pid) is departure:
            del self._departures[departure.hosted.pid]

    # -- to here --------------------------------------------------------------------------------

    async def arrive(self, hosted: MovableFunction, predecessor: Predecessor) -> Arrival:
        """Fetch what *hosted* takes over; raise `RejectedError` if the old instance goes on."""
        arrival = Arrival(
            hosted, predecessor, self._context, self._clients, self._arrived, self.reclaim
        )
        self._arrivals[hosted.pid] = arrival
        try:
            await arrival.prepare()
        except BaseException:
            self._arrived(arrival)
            raise
        return arrival

    def cancel(self, pid: InstanceId) -> bool:
        """Do not let *pid* arrive; False if it is not about to."""
        arrival = self._arrivals.get(pid)
        if arrival is None or arrival.gate is not None:
            return False
        arrival.cancelled = True
        return True

    def cancel_all(self) -> None:
        """Let nothing arrive."""
        for pid in list(self._arrivals):
            self.cancel(pid)

    def close(self) -> None:
        """The node stops: let nothing arrive, and what has left not wait for answers."""
        self.cancel_all()
        for departure in self._departures.values():
            departure.hurry()

    def reclaim(self, state_id: UUID) -> None:
        """The state with that id belongs to an instance here: no departure may remove it."""
        for departure in self._departures.values():
            if departure.hosted.request.state_specification.state_id == state_id:
                departure.state_reclaimed = True

    def gone(self, pid: InstanceId) -> None:
        """An instance has ended."""
        self._departures.pop(pid, None)
        arrival = self._arrivals.get(pid)
        if arrival is not None:
            # Else its predecessor would wait for ever on a node that seems to have a live instance.
            arrival.deserted = True

    def crash(self, cause: str) -> None:
        """The node is gone. Departures hear of it from their instances."""
        for arrival in list(self._arrivals.values()):
            arrival.crash(cause)
        self._arrivals.clear()
        self._departures.clear()

    def _arrived(self, arrival: Arrival) -> None:
        if self._arrivals.get(arrival.hosted.pid) is arrival:
            del self._arrivals[arrival.hosted.pid]
