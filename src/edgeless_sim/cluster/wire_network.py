"""The network of a cluster in real time: sockets on loopback, and relays in the path for faults.

Everybody listens at a port of his own. Where the topology has delays, or faults are to be made,
each pair that talks does so through a `Relay`, which delays, blocks or lets pass the bytes of one
direction. TCP repairs what a network loses: a loss makes frames late here, not lost, and what a
partition held back arrives when it heals.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, NoReturn

from edgeless_sim.api.services import HANDLE
from edgeless_sim.api.wire import EventError
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.cluster.endpoint import Endpoint
from edgeless_sim.cluster.faults import Match, Member, link_between
from edgeless_sim.cluster.network_base import Crash, Network
from edgeless_sim.cluster.ports import LOOPBACK, ReservedPorts
from edgeless_sim.cluster.topology import LinkTopology
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.model.ids import NodeId
from edgeless_transports import CastReceiver, Handler
from edgeless_transports.relay import Conditions, Relay

__all__ = ["SCHEMES", "WireNetwork"]

#: Scheme by world.
SCHEMES: Final = {"tcp": "tcp", "grpc": "http"}


@dataclass(frozen=True, slots=True)
class _Hindrance:
    """What one fault, or the topology, does to whom."""

    match: Match
    conditions: Conditions


class WireNetwork(Network):
    """See `Network`. *in_path*: each pair that talks has a relay between, so that there can be
    faults."""

    def __init__(
        self,
        world: str,
        clock: LoopClock,
        spawn: Spawn,
        journal: Journal,
        dice: Random,
        links: Sequence[LinkTopology],
        *,
        in_path: bool,
    ) -> None:
        super().__init__(journal)
        self._scheme = SCHEMES[world]
        self._clock = clock
        self._spawn = spawn
        self._dice = dice
        self._links = links
        self._in_path = in_path
        self._lost: Counter[str] = Counter()
        self._wire = self.wires(Role.CLIENT).calling(f"{self._scheme}://")
        self._reserved: ReservedPorts | None = None
        self._ports: dict[str, int] = {}
        self._locations: dict[str, str] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._relays: dict[tuple[str, str], tuple[Relay, int]] = {}
        self._hindrances: dict[_Hindrance, None] = {}

    # -- who is where ---------------------------------------------------------------------------

    def assign(self, locations: Sequence[str], ports: Mapping[str, int] | None = None) -> None:
        """Give each of *locations* its port of *ports*, which others hold; without them choose
        ports, and raise `SettingsError` if there are not so many."""
        if ports is None:
            self._reserved = ReservedPorts(len(locations))
            ports = dict(zip(locations, self._reserved.ports, strict=True))
        for location in locations:
            self._ports[location] = ports[location]
            self._locations[self.url(location)] = location

    def url(self, location: str) -> str:
        """See `Network.url`; the location must have been assigned."""
        return f"{self._scheme}://{LOOPBACK}:{self._ports[location]}"

    def wires(self, role: Role, home: NodeId | None = None) -> Wires:
        """See `Network.wires`."""
        now_ns = self._clock.scheduler.now_ns
        return Wires(role, epoch_ns=self._clock.epoch_ns, now_ns=now_ns, home=home)

    async def introduce(self, here: str, *locations: str) -> None:
        """See `Network.introduce`."""
        if not self._in_path:
            return
        for there in locations:
            if (here, there) not in self._relays:
                relay = Relay(LOOPBACK, self._ports[there], self._dice)
                port = await relay.start()
                self._relays[here, there] = relay, port
                self._apply(here, there)

    def route(self, here: str, url: str) -> str:
        """Where *here* really connects to reach *url*."""
        there = self._locations.get(url, "")
        found = self._relays.get((here, there))
        return url if found is None else f"{self._scheme}://{LOOPBACK}:{found[1]}"

    def routes(self, here: str) -> dict[str, str]:
        """All that `route` answers to *here*, where it is not the URL itself."""
        return {
            self.url(there): self.route(here, self.url(there))
            for source, there in self._relays
            if source == here
        }

    def names(self) -> dict[str, str]:
        """All locations by their URLs."""
        return dict(self._locations)

    # -- listening and connecting ---------------------------------------------------------------

    async def attach(
        self, location: str, handler: Handler, on_cast: CastReceiver | None = None
    ) -> Crash:
        """See `Network.attach`."""
        endpoint = self._endpoint(location)
        await endpoint.listen(self.url(location), handler, on_cast)
        return endpoint.crash

    def location(self, url: str) -> str:
        """See `Network.location`."""
        return self._locations.get(url, url)

    def lost_by_cause(self) -> Counter[str]:
        """See `Network.lost_by_cause`. What dies with a connection is not known here."""
        return Counter(self._lost)

    def effects(self) -> Counter[str]:
        """See `Network.effects`: what met a bandwidth, the topology's included."""
        narrowed = sum(
            direction.pieces_narrowed
            for relay, _ in self._relays.values()
            for direction in (relay.forward, relay.backward)
        )
        return Counter({"pieces slowed by bandwidth": narrowed} if narrowed else {})

    async def close(self) -> None:
        """See `Network.close`."""
        for endpoint in self._endpoints.values():
            endpoint.crash()
        for endpoint in self._endpoints.values():
            await endpoint.ended()
        for relay, _ in self._relays.values():
            await relay.close()
        if self._reserved is not None:
            self._reserved.close()

    def _connection(self, here: str, url: str) -> Any:
        """See `Network.connection`; ValueError for a text that is no URL."""
        return self._endpoint(here).connection(url)

    def _endpoint(self, location: str) -> Endpoint:
        endpoint = self._endpoints.get(location)
        if endpoint is None:
            endpoint = self._endpoints[location] = Endpoint(
                self._clock.scheduler,
                self._spawn,
                announced=self.url(location),
                route=partial(self.route, location),
                on_cast_lost=self._cast_lost,
            )
        return endpoint

    def _cast_lost(self, method: str, payload: bytes, cause: str) -> None:
        self._lost[cause] += 1
        if method != HANDLE:
            return
        try:
            event = self._wire.decode_event(payload)
        except EventError:
            return
        number = self._journal.intern("instance", event.target.hex())
        self._journal.record("drop", event.serial, number, cause)

    # -- faults ---------------------------------------------------------------------------------

    def _cut(self, here: Member, there: Member, *, both_ways: bool) -> Callable[[], None]:
        def match(source: str, destination: str) -> bool:
            return (here(source) and there(destination)) or (
                both_ways and there(source) and here(destination)
            )

        return self._hinder(_Hindrance(match, Conditions(blocked=True)))

    def _lose(self, probability: float, match: Match) -> Callable[[], None]:
        return self._hinder(_Hindrance(match, Conditions(loss=probability)))

    def _slow(self, latency_ns: int, jitter_ns: int, match: Match) -> Callable[[], None]:
        conditions = Conditions(latency_ns=latency_ns, jitter_ns=jitter_ns)
        return self._hinder(_Hindrance(match, conditions))

    def _narrow(self, bytes_per_s: int, match: Match) -> Callable[[], None]:
        conditions = Conditions(bandwidth_bytes_per_s=bytes_per_s)
        return self._hinder(_Hindrance(match, conditions))

    def _double(self, *_: object) -> NoReturn:
        _refuse("doubled")

    def _shuffle(self, *_: object) -> NoReturn:
        _refuse("reordered")

    def _swallow(self, *_: object) -> NoReturn:
        _refuse("lost one by one")

    def _retard(self, *_: object) -> NoReturn:
        _refuse("delayed one by one")

    def _hinder(self, hindrance: _Hindrance) -> Callable[[], None]:
        def undo() -> None:
            self._hindrances.pop(hindrance, None)
            self._apply_all()

        self._hindrances[hindrance] = None
        self._apply_all()
        return undo

    def _apply_all(self) -> None:
        for here, there in self._relays:
            self._apply(here, there)

    def _apply(self, here: str, there: str) -> None:
        relay, _ = self._relays[here, there]
        relay.set(self._conditions(here, there), self._conditions(there, here))

    def _conditions(self, source: str, destination: str) -> Conditions:
        """What bytes meet on their way: the topology's link, and all faults on top of it."""
        base, *special = self._links
        link = base
        for each in special:
            if link_between([each.side_a], [each.side_b])(source, destination):
                link = each
        blocked, passing = False, 1.0 - link.loss
        latency_ns, jitter_ns = link.latency_ns, link.jitter_ns
        bandwidths = [link.bandwidth_bytes_per_s]
        for hindrance in self._hindrances:
            if hindrance.match(source, destination):
                conditions = hindrance.conditions
                blocked = blocked or conditions.blocked
                passing *= 1.0 - conditions.loss
                latency_ns += conditions.latency_ns
                jitter_ns += conditions.jitter_ns
                bandwidths.append(conditions.bandwidth_bytes_per_s)
        narrowest = min((each for each in bandwidths if each is not None), default=None)
        return Conditions(blocked, latency_ns, jitter_ns, 1.0 - passing, narrowest)


def _refuse(what: str) -> NoReturn:
    detail = f"frames of a stream of bytes cannot be {what}; only the world sim can do that"
    raise RejectedError("no such fault in this world", detail)
