"""What one instance sends with: output channels, calls, delayed casts (spec 1.4, 5.3)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from edgeless_sim.dataplane.links import HoldingLink, Inbox, Route
from edgeless_sim.dataplane.marks import mark
from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.event import (
    ERR,
    METADATA_ROOT,
    UNPLACED,
    CallReturn,
    Event,
    EventType,
    Target,
)

__all__ = ["CALLS_MAX", "EARLY_CHANNELS_MAX", "SELF", "TIMERS_MAX", "DataplaneHandle"]

#: The reserved alias of the calling instance; it cannot be patched away (case D26).
SELF: Final = "self"
CALLS_MAX: Final = 16
TIMERS_MAX: Final = 1024
#: Most channels whose events are held before the first patch says where they lead.
EARLY_CHANNELS_MAX: Final = 64

# Of all that never called, or asked for no delayed cast: never changed.
_NO_CALLS: Final[dict[int, None]] = {}
_NO_TIMERS: Final[dict[int, Timer]] = {}

_CAST: Final = int(EventType.CAST)
_CALL: Final = int(EventType.CALL)


class DataplaneHandle:
    """The sending side of one instance. Calls never wait; their answers come by callback."""

    __slots__ = (
        "_calls",
        "_calls_max",
        "_journal",
        "_plane",
        "_routes",
        "_self_route",
        "_timers",
        "_timers_max",
        "generation",
        "key",
        "number",
    )

    def __init__(
        self, key: bytes, plane: Dataplane, journal: Journal, *, calls_max: int = CALLS_MAX
    ) -> None:
        """*calls_max* is how many calls may be open: of a guest 16."""
        self.key = key
        self._calls_max = calls_max
        self.number = plane.number(key)
        #: Generation of the last patch; -1 before the first.
        self.generation = -1
        self._plane = plane
        self._journal = journal
        route = plane.route_to(key)
        assert route is not None, "an instance can always reach itself"
        self._self_route = route
        self._routes: dict[str, Route] = {SELF: route}
        self._calls = _NO_CALLS
        self._timers = _NO_TIMERS
        self._timers_max = TIMERS_MAX

    def attach(self, inbox: Inbox) -> None:
        """Take events for this instance from now on."""
        self._plane.attach(self.key, inbox)

    def detach(self, cause: str = "the sender has stopped") -> None:
        """Take no further event and send none: what waits here is dropped with *cause*.

        Open calls end without an answer; use `abort_calls` before where somebody waits.
        """
        plane = self._plane
        plane.detach(self.key)
        self.cancel_timers()
        plane.calls.forget(self._calls)
        self._calls.clear()
        for route in self._routes.values():
            if isinstance(route.link, HoldingLink):
                for event in route.link.take():
                    plane.drop(event, cause)

    @property
    def channels(self) -> tuple[str, ...]:
        """The mapped output channels, sorted; none before the first patch."""
        if self.generation < 0:
            return ()
        return tuple(sorted(name for name in self._routes if name != SELF))

    @property
    def targets(self) -> dict[str, bytes]:
        """Target key by output channel, for checkers: of several, the next one's."""
        return {name: self._routes[name].target for name in self.channels}

    @property
    def all_targets(self) -> dict[str, tuple[bytes, ...]]:
        """Target keys by output channel, sorted, for checkers."""
        return {
            name: tuple(sorted(route.target for route in self._routes[name].round()))
            for name in self.channels
        }

    def patch(self, mapping: Mapping[str, Target], generation: int) -> bool:
        """Replace all outputs; False if *generation* is older than the present one (F44).

        A channel without an instance now says that the one it led to has gone: open calls to that
        end with Err. One that leads elsewhere does not: what migrates may still answer.
        """
        if generation < self.generation:
            return False
        self.generation = generation
        old, self._routes = self._routes, {SELF: self._self_route}
        for channel in sorted(mapping):
            if channel != SELF:
                self._routes[channel] = self._route(mapping[channel])
        self._mark_moves(old)
        held = [
            (event.serial, event, channel)
            for channel, route in old.items()
            if isinstance(route.link, HoldingLink)
            for event in route.link.take()
        ]
        # Two channels may lead to one target, which gets its events in the order of sending.
        for _, event, channel in sorted(held):
            self._release(event, self._routes.get(channel))
        if self._calls:
            self._lose_calls(old)
        return True

    def moved(self, before: bytes, after: bytes) -> None:
        """What was sent to the instance *before*, by its key, will be sent to *after*.

        For who sends by keys; a patch does that by itself. Both nodes have to be known.
        """
        old, new = self._plane.route_to(before), self._plane.route_to(after)
        if old is not None and new is not None:
            self._mark_move(old, new)

    # -- sending --------------------------------------------------------------------------------

    def cast(self, alias: str, payload: str, metadata: bytes = METADATA_ROOT) -> None:
        """Send to an alias; an unmapped one is ignored and counted (spec 1.4)."""
        route = self._routes.get(alias) or self._early(alias)
        if route is None:
            self._plane.counters["cast to an unmapped channel"] += 1
        else:
            if route.after is not None:
                self._routes[alias] = route.after
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
        if alias not in self._routes and self._early(alias) is None:
            self._plane.counters["delayed cast to an unmapped channel"] += 1
        elif len(self._timers) >= self._timers_max:
            cause = "too many delayed casts" if self._timers_max else "delayed cast cancelled"
            self._plane.counters[cause] += 1
        else:
            scheduler = self._plane.scheduler
            ticket = self._journal.serial()
            if self._timers is _NO_TIMERS:
                self._timers = {}
            self._timers[ticket] = scheduler.timer_at(
                scheduler.now_ns() + delay_ms * 1_000_000,
                self._fire,
                ticket,
                alias,
                payload,
                metadata,
            )

    def cancel_timers(self) -> None:
        """Forget all delayed casts: whoever asked for them is gone."""
        if self._timers:
            self._plane.counters["delayed cast cancelled"] += len(self._timers)
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    def end_timers(self) -> None:
        """Forget all delayed casts and take no more: the instance is about to stop."""
        self._timers_max = 0
        self.cancel_timers()

    def call_nowait(
        self,
        alias: str,
        payload: str,
        answer: Callable[[CallReturn], None],
        metadata: bytes = METADATA_ROOT,
    ) -> int:
        """Call an alias; *answer* gets the return. Gives the call's number, 0 if it failed at once.

        An unmapped alias, a call to oneself and a seventeenth open call are answered with Err.
        *answer* is never called within this one.
        """
        route = self._routes.get(alias) or self._early(alias)
        if route is None:
            return self._fail("call to an unmapped channel", answer)
        if route.after is not None:
            self._routes[alias] = route.after
        return self._call(route, payload, answer, metadata)

    def call_raw_nowait(
        self,
        target: bytes,
        payload: str,
        answer: Callable[[CallReturn], None],
        metadata: bytes = METADATA_ROOT,
    ) -> int:
        """As `call_nowait`, to the instance with the key *target*."""
        route = self._plane.route_to(target)
        if route is None:
            return self._fail("raw call to an unknown node", answer)
        return self._call(route, payload, answer, metadata)

    def abort(self, stream: int) -> None:
        """End the open call *stream* of this instance with Err; nothing if it is not open."""
        if stream in self._calls:
            self._plane.calls.abort(stream)

    def abort_calls(self) -> None:
        """End all open calls of this instance with Err."""
        for stream in list(self._calls):
            self.abort(stream)

    def _call(
        self,
        route: Route,
        payload: str,
        answer: Callable[[CallReturn], None],
        metadata: bytes,
    ) -> int:
        if route.target == self.key:
            return self._fail("call to oneself", answer)
        if len(self._calls) >= self._calls_max:
            return self._fail("too many open calls", answer)
        scheduler = self._plane.scheduler
        sent = False

        def finish(result: CallReturn) -> None:
            self._calls.pop(stream, None)
            if sent:
                answer(result)
            else:
                # Refused on the spot; the caller does not expect that yet.
                scheduler.call_soon(answer, result)

        stream = self._plane.calls.open(self.key, route.target, finish)
        if self._calls is _NO_CALLS:
            self._calls = {}
        self._calls[stream] = None
        self._send(route, _CALL, stream, payload, metadata)
        sent = True
        return stream

    def _fail(self, cause: str, answer: Callable[[CallReturn], None]) -> int:
        self._plane.counters[cause] += 1
        self._plane.scheduler.call_soon(answer, ERR)
        return 0

    def _send(self, route: Route, kind: int, stream: int, payload: str, metadata: bytes) -> None:
        journal = self._journal
        serial = journal.serial()
        size = len(payload) if payload.isascii() else len(payload.encode())
        journal.record("send", serial, self.number, route.number, kind, size)
        now_ns = self._plane.scheduler.now_ns()
        route.link.send(
            Event(kind, route.target, self.key, stream, payload, now_ns, metadata, serial)
        )

    def _fire(self, ticket: int, alias: str, payload: str, metadata: bytes) -> None:
        del self._timers[ticket]
        self.cast(alias, payload, metadata)

    # -- routes ---------------------------------------------------------------------------------

    def _route(self, target: Target) -> Route:
        if target.instance == UNPLACED:
            return self._holding()
        places = [(target.instance, target.invocation_url)]
        places += [(other.instance, other.invocation_url) for other in target.further]
        found = [
            route
            for instance, url in places
            if (route := self._plane.route_to(instance.key, url)) is not None
        ]
        if not found:
            return self._holding()
        if len(found) > 1:
            for route, after in zip(found, (*found[1:], found[0]), strict=True):
                route.after = after
        return found[0]

    def _mark_moves(self, old: Mapping[str, Route]) -> None:
        """Tell the targets of *old* that have moved, and their successors."""
        moves = {
            (before.target, after.target): (before, after)
            for channel, route in old.items()
            if (now := self._routes.get(channel)) is not None
            for before, after in _moved(route, now)
        }
        for before, after in moves.values():
            self._mark_move(before, after)

    def _mark_move(self, before: Route, after: Route) -> None:
        before.link.send(mark(self.key, before.target, after.target))
        after.link.send(mark(self.key, after.target, after.target))

    def _early(self, alias: str) -> Route | None:
        """Hold what is sent before the first patch (design, decision 27); None after it."""
        if self.generation >= 0 or len(self._routes) > EARLY_CHANNELS_MAX:
            return None
        route = self._routes[alias] = self._holding()
        return route

    def _lose_calls(self, old: Mapping[str, Route]) -> None:
        """End the calls to instances that have gone, as far as the channels of *old* tell.

        They do if a channel leads to no instance any more, or to fewer and no new one.
        """
        streams = tuple(self._calls)
        for channel, route in old.items():
            now = self._routes.get(channel)
            if now is None:
                continue
            before = [each.target for each in route.round() if each.target != UNPLACED.key]
            after = [each.target for each in now.round() if each.target != UNPLACED.key]
            if len(after) < len(before) and all(target in before for target in after):
                for target in before:
                    if target not in after:
                        self._plane.calls.lose(target, streams)

    def _holding(self) -> Route:
        plane = self._plane
        return Route(UNPLACED.key, plane.number(UNPLACED.key), HoldingLink(plane.refuse))

    def _release(self, event: Event, route: Route | None) -> None:
        """Send on what waited for its target, or say why not."""
        plane = self._plane
        if route is None:
            plane.refuse(event, "the channel is not mapped")
        elif event.kind == _CALL and not plane.calls.retarget(event.stream, route.target):
            plane.drop(event, "the caller has given up")
        else:
            event.target = route.target
            route.link.send(event)


def _moved(old: Route, new: Route) -> list[tuple[Route, Route]]:
    """Whose place among several targets another one has taken, and which; in the order of turns.

    None if there are more or fewer than before: then it is not a migration.
    """
    if old.after is None and new.after is None:
        return [(old, new)] if old.target != new.target and _placed((old, new)) else []
    before, after = old.round(), new.round()
    here, there = ({route.target for route in ring} for ring in (before, after))
    if here == there:
        return []
    stays = next((route.target for route in after if route.target in here), None)
    gone = [route for route in _turned(before, stays) if route.target not in there]
    come = [route for route in _turned(after, stays) if route.target not in here]
    same = len(gone) == len(come) and _placed((*gone, *come))
    return list(zip(gone, come, strict=True)) if same else []


def _turned(ring: list[Route], first: bytes | None) -> list[Route]:
    """*ring*, beginning with the target *first* if there is one: whose turn it is says nothing."""
    begin = next((at for at, route in enumerate(ring) if route.target == first), 0)
    return ring[begin:] + ring[:begin]


def _placed(routes: Iterable[Route]) -> bool:
    return all(route.target != UNPLACED.key for route in routes)
