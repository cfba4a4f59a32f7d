"""What one instance sends with: output channels, calls, delayed casts (spec 1.4, 5.3)."""

from collections.abc import Callable, Mapping
from typing import Final

from edgeless_sim.dataplane.links import HoldingLink, Inbox, Route
from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import ERR, METADATA_ROOT, CallReturn, Event, EventType, Target
from edgeless_sim.model.ids import FUNCTION_ID_NONE, NODE_ID_NONE, InstanceId

__all__ = ["CALLS_MAX", "SELF", "TIMERS_MAX", "UNPLACED", "DataplaneHandle"]

#: The reserved alias of the calling instance; it cannot be patched away (case D26).
SELF: Final = "self"
CALLS_MAX: Final = 16
TIMERS_MAX: Final = 1024
#: A patch's word for "this channel is mapped, but its target has no instance at present".
UNPLACED: Final = InstanceId(NODE_ID_NONE, FUNCTION_ID_NONE)

_CAST: Final = int(EventType.CAST)
_CALL: Final = int(EventType.CALL)


class DataplaneHandle:
    """The sending side of one instance. Calls never wait; their answers come by callback."""

    __slots__ = (
        "_calls",
        "_journal",
        "_plane",
        "_routes",
        "_self_route",
        "_timers",
        "generation",
        "key",
        "number",
    )

    def __init__(self, key: bytes, plane: Dataplane, journal: Journal) -> None:
        self.key = key
        self.number = plane.number(key)
        #: Generation of the last patch; -1 before the first.
        self.generation = -1
        self._plane = plane
        self._journal = journal
        route = plane.route_to(key)
        assert route is not None, "an instance can always reach itself"
        self._self_route = route
        self._routes: dict[str, Route] = {SELF: route}
        self._calls: dict[int, None] = {}
        self._timers: dict[int, Timer] = {}

    def attach(self, inbox: Inbox) -> None:
        """Take events for this instance from now on."""
        self._plane.local[self.key] = inbox

    def detach(self) -> None:
        """Take no further event; cancel delayed casts; give up what waits for a target."""
        self._plane.local.pop(self.key, None)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for route in self._routes.values():
            if isinstance(route.link, HoldingLink):
                route.link.give_up("the sender has stopped")
        if self._calls:
            self._plane.calls.forget_of(self.key)
            self._calls.clear()

    @property
    def channels(self) -> tuple[str, ...]:
        """The mapped output channels, sorted."""
        return tuple(sorted(name for name in self._routes if name != SELF))

    @property
    def targets(self) -> dict[str, bytes]:
        """Target key by output channel, for checkers."""
        return {name: self._routes[name].target for name in self.channels}

    def patch(self, mapping: Mapping[str, Target], generation: int) -> bool:
        """Replace all outputs; False if *generation* is older than the present one (F44)."""
        if generation < self.generation:
            return False
        self.generation = generation
        old, self._routes = self._routes, {SELF: self._self_route}
        for channel in sorted(mapping):
            if channel != SELF:
                self._routes[channel] = self._route(mapping[channel])
        for channel, route in old.items():
            if isinstance(route.link, HoldingLink):
                self._release(route.link, self._routes.get(channel))
        return True

    # -- sending --------------------------------------------------------------------------------

    def cast(self, alias: str, payload: str, metadata: bytes = METADATA_ROOT) -> None:
        """Send to an alias; an unmapped one is ignored and counted (spec 1.4)."""
        route = self._routes.get(alias)
        if route is None:
            self._plane.counters["cast to an unmapped channel"] += 1
        else:
            self._send(route, _CAST, 0, payload, metadata)

    def cast_raw(self, target: bytes, payload: str, metadata: bytes = METADATA_ROOT) -> None:
        """Send to the instance with the key *target*; an unknown node is counted."""
        route = self._plane.route_to(target)
        if route is None:
            self._plane.counters["raw cast to an unknown node"] += 1
        else:
            self._send(route, _CAST, 0, payload, metadata)

    def delayed_cast(
        self, delay_ms: int, alias: str, payload: str, metadata: bytes = METADATA_ROOT
    ) -> None:
        """Send to *alias* after *delay_ms*. The alias is resolved then; a stop cancels it (U15)."""
        if alias not in self._routes:
            self._plane.counters["delayed cast to an unmapped channel"] += 1
        elif len(self._timers) >= TIMERS_MAX:
            self._plane.counters["too many delayed casts"] += 1
        else:
            scheduler = self._plane.scheduler
            ticket = self._journal.serial()
            self._timers[ticket] = scheduler.timer_at(
                scheduler.now_ns() + delay_ms * 1_000_000,
                self._fire,
                ticket,
                alias,
                payload,
                metadata,
            )

    def call_nowait(
        self,
        alias: str,
        payload: str,
        answer: Callable[[CallReturn], None],
        metadata: bytes = METADATA_ROOT,
    ) -> int:
        """Call an alias; *answer* gets the return. Gives the call's number, 0 if it failed at once.

        An unmapped alias, a call to oneself and a seventeenth open call are answered with Err, in
        a later callback and never within this one.
        """
        route = self._routes.get(alias)
        if route is None:
            self._plane.counters["call to an unmapped channel"] += 1
        return self._call(route, payload, answer, metadata)

    def call_raw_nowait(
        self,
        target: bytes,
        payload: str,
        answer: Callable[[CallReturn], None],
        metadata: bytes = METADATA_ROOT,
    ) -> int:
        """As `call_nowait`, to the instance with the key *target*."""
        return self._call(self._plane.route_to(target), payload, answer, metadata)

    def abort(self, stream: int) -> None:
        """End the open call *stream* with Err."""
        self._plane.calls.abort(stream)

    def _call(
        self,
        route: Route | None,
        payload: str,
        answer: Callable[[CallReturn], None],
        metadata: bytes,
    ) -> int:
        if route is None or route.target == self.key or len(self._calls) >= CALLS_MAX:
            self._plane.scheduler.call_soon(answer, ERR)
            return 0

        def finish(result: CallReturn) -> None:
            self._calls.pop(stream, None)
            answer(result)

        stream = self._plane.calls.open(self.key, route.target, finish)
        self._calls[stream] = None
        self._send(route, _CALL, stream, payload, metadata)
        return stream

    def _send(self, route: Route, kind: int, stream: int, payload: str, metadata: bytes) -> None:
        plane = self._plane
        journal = self._journal
        serial = journal.serial()
        target = route.target
        journal.record("send", serial, self.number, route.number, kind, len(payload))
        route.link.send(
            Event(
                kind, target, self.key, stream, payload, plane.scheduler.now_ns(), metadata, serial
            )
        )

    def _fire(self, ticket: int, alias: str, payload: str, metadata: bytes) -> None:
        del self._timers[ticket]
        self.cast(alias, payload, metadata)

    # -- routes ---------------------------------------------------------------------------------

    def _route(self, target: Target) -> Route:
        plane = self._plane
        if target.instance != UNPLACED:
            route = plane.route_to(target.instance.key, target.invocation_url)
            if route is not None:
                return route
        return Route(UNPLACED.key, plane.number(UNPLACED.key), HoldingLink(plane.refuse))

    def _release(self, link: HoldingLink, route: Route | None) -> None:
        """Send on what waited for a target, or give it up if the channel is gone."""
        if route is None:
            link.give_up("the channel is no longer mapped")
        elif isinstance(route.link, HoldingLink):
            route.link.held.extend(link.held)
        else:
            while link.held:
                event = link.held.popleft()
                event.target = route.target
                if event.kind == _CALL:
                    self._plane.calls.retarget(event.stream, route.target)
                route.link.send(event)
