"""Mirrors a domain to a Redis and brings intents from there (spec 7.1, 7.2; defects U21, 57-61).

The ε-ORC only leaves word of what has changed; a task of its own writes it, with deadlines. What a
value is, is asked when it is written, so that the last one wins and nothing queues up. After every
connection the whole mirror is written, as Redis may have forgotten it, and what is left there of an
earlier life is removed. Not here: what is written (`redis_rows`, `redis_schema`, `redis_writer`).
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from itertools import chain, islice
from typing import Final, TypeVar

import anyio

from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import InstanceId, LogicalId, NodeId
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.mirror import MirroredHealth, Point
from edgeless_sim.model.names import clipped
from edgeless_sim.orchestrator import redis_schema as schema
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.proxy import INTENTS_PER_TICK_MAX, DomainSource
from edgeless_sim.orchestrator.records import Changes
from edgeless_sim.orchestrator.redis_rows import RedisRows
from edgeless_sim.orchestrator.redis_writer import (
    REDIS_ERRORS,
    RedisWriter,
    WrongTypeError,
    connected,
)
from edgeless_sim.orchestrator.series import SeriesKey
from edgeless_sim.orchestrator.settings import RedisMirrorSettings

__all__ = ["RedisProxy"]

_PAUSE_MIN_S: Final = 0.25
_PAUSE_MAX_S: Final = 8.0
#: What waits to be written; more is left out and counted.
_POINTS_MAX: Final = 50_000
_HEALTHS_PER_NODE_MAX: Final = 8
#: Rows that are made at once; after them others may go on.
_ROWS_MAX: Final = 100
_COMPLAINTS_MAX: Final = 100
#: Of each kind, in a second.
_AGAIN_MAX: Final = 20

_RowT = TypeVar("_RowT")

_log = logging.getLogger(__name__)


class RedisProxy:
    """See `Proxy`."""

    kind = "redis"

    def __init__(self, context: ActorContext, settings: RedisMirrorSettings) -> None:
        self._context = context
        self._settings = settings
        self.counters: Counter[str] = Counter()
        self._scope: anyio.CancelScope | None = None
        self._wake = anyio.Event()
        #: Whether there is a connection over which changes are written.
        self.up = False
        self.rounds_total = 0
        """How often what had changed was written."""
        self._told_up = False
        self._flushed = not settings.flush
        self._ended = False
        self._forget_waiting()
        self._complained: set[str] = set()
        self._lap_nodes: list[NodeId] = []
        self._lap_components: list[LogicalId] = []

    # --- what the ε-ORC says, see `Proxy`

    def begin(self, domain: DomainSource, obey: Callable[[Iterable[Intent]], None]) -> None:
        """See `Proxy.begin`."""
        self._domain = domain
        self._rows = RedisRows(domain, gc_period_s=self._settings.gc_period_s)
        self._obey = obey
        self._chronicle = Chronicle(self._context.journal, domain.domain_id)
        self._context.spawn(self._run(), f"{self._context.name} redis mirror")

    def tick(self, changes: Changes) -> None:
        """See `Proxy.tick`."""
        if self.up:
            self._changes.nodes.update(changes.nodes)
            self._changes.instances.update(changes.instances)
            self._changes.dependencies.update(changes.dependencies)
        self._wake.set()

    def health(self, node_id: NodeId, sample: MirroredHealth) -> None:
        """See `Proxy.health`."""
        if self.up:
            waiting = self._healths.setdefault(node_id, [])
            if waiting and waiting[-1].health == sample.health:
                waiting.pop()
            if len(waiting) >= _HEALTHS_PER_NODE_MAX:
                del waiting[0]
                self.counters["dropped"] += 1
            waiting.append(sample)

    def points(self, instance: InstanceId, name: str, points: list[Point]) -> None:
        """See `Proxy.points`."""
        if self.up:
            room = max(0, _POINTS_MAX - len(self._points))
            self.counters["dropped"] += max(0, len(points) - room)
            key = schema.series_key(instance.function_id, name)
            self._points += [(key, point) for point in points[:room]]

    def end(self) -> None:
        """See `Proxy.end`."""
        self._ended = True
        if self._scope is not None:
            self._scope.cancel()

    # --- the task

    async def _run(self) -> None:
        failures = 0
        with anyio.CancelScope() as self._scope:
            while not self._ended:
                try:
                    async with connected(self._settings.url, self._context.clock) as client:
                        await self._serve(RedisWriter(client, self._context.clock, self.counters))
                except REDIS_ERRORS as error:
                    failures = 1 if self._told_up else failures + 1
                    self._went(error, news=failures == 1)
                pause_s = min(_PAUSE_MAX_S, _PAUSE_MIN_S * 2 ** min(failures, 8))
                await self._context.clock.sleep(pause_s)

    async def _serve(self, writer: RedisWriter) -> None:
        """Until the connection fails."""
        while True:
            await self._write_all(writer)
            if not self._told_up:
                self._came()
            while await self._round(writer):
                await self._next_tick()
            self.counters["emptied"] += 1
            self._chronicle.domain("unmirrored", "its Redis was emptied")

    async def _next_tick(self) -> None:
        await self._wake.wait()
        self._wake = anyio.Event()

    def _came(self) -> None:
        self._told_up = True
        self.counters["connections"] += 1
        self._chronicle.domain("mirrored", f"to {self._settings.shown_url}")
        _log.info("the domain is mirrored to %s", self._settings.shown_url)

    def _went(self, error: Exception, *, news: bool) -> None:
        self.up = self._told_up = False
        self._forget_waiting()
        self.counters["failures"] += 1
        if news:
            reason = clipped(f"{type(error).__name__}: {error}")
            self._chronicle.domain("unmirrored", reason)
            _log.warning("no mirror at %s for now: %s", self._settings.shown_url, reason)

    def _forget_waiting(self) -> None:
        self._changes = Changes()
        self._healths: dict[NodeId, list[MirroredHealth]] = {}
        self._points: list[tuple[str, Point]] = []

    # --- the whole mirror

    async def _write_all(self, writer: RedisWriter) -> None:
        if not self._flushed:
            await writer.flush_database()
            self._flushed = True
        domain, rows = self._domain, self._rows
        rows.begin()
        self._forget_waiting()
        # From here on what changes is written in the rounds that follow.
        self.up = True
        nodes, components = list(domain.nodes()), dict.fromkeys(domain.components())
        await self._write_changes(writer, Changes(dict.fromkeys(nodes), components, components))
        for some in _chunks(nodes):
            commands = (rows.past_health(each) for each in some)
            await writer.write(list(chain.from_iterable(commands)))
        await self._write_series(writer)
        await writer.write([("SET", schema.DOMAIN_KEY, domain.domain_id)])
        self.counters["rebuilds"] += 1
        await self._remove_stale(writer)
        rows.settle()

    async def _write_changes(self, writer: RedisWriter, changes: Changes) -> None:
        await self._write_rows(writer, changes)
        await writer.write(self._rows.updates(changes))

    async def _write_rows(self, writer: RedisWriter, changes: Changes) -> None:
        rows = self._rows
        for nodes in _chunks(changes.nodes):
            await writer.write(list(chain.from_iterable(rows.node(each) for each in nodes)))
        for some in _chunks(changes.instances):
            await writer.write([rows.instance(each) for each in some])
        for some in _chunks(changes.dependencies):
            await writer.write([rows.dependency(each) for each in some])

    def _some_again(self) -> Changes:
        """Rows to be written once more, since Redis may have evicted their keys; all in turn."""
        if not self._lap_nodes and not self._lap_components:
            self._lap_nodes = list(self._domain.nodes())
            self._lap_components = list(self._domain.components())
        nodes, self._lap_nodes = _split(self._lap_nodes)
        components, self._lap_components = _split(self._lap_components)
        return Changes(nodes, components, components)

    async def _write_series(self, writer: RedisWriter) -> None:
        after: SeriesKey | None = None
        while series := list(islice(self._domain.series(after), _ROWS_MAX)):
            for points in _chunks(
                (schema.series_key(each.instance.function_id, each.name), point)
                for each in series
                for point in each.points
            ):
                await writer.write([self._rows.point(key, point) for key, point in points])
            last = series[-1]
            after = (last.instance.node_id.int, last.instance.function_id.int, last.name)

    async def _remove_stale(self, writer: RedisWriter) -> None:
        """Remove what is left of an earlier life; go on with the rest meanwhile."""
        for pattern in schema.PATTERNS:
            async with aclosing(writer.scan(pattern)) as steps:
                async for found in steps:
                    stale = [key for key in found if not self._rows.is_wanted(key)]
                    self.counters["removed"] += len(stale)
                    await writer.write([("DEL", key) for key in stale])
                    if self._wake.is_set():
                        await self._next_tick()
                        if not await self._round(writer):
                            return

    # --- a second's changes

    async def _round(self, writer: RedisWriter) -> bool:
        """Write what has changed and take what is asked for; False if the mirror is not there."""
        known = await writer.read(schema.DOMAIN_KEY)
        if known is None:
            return False
        if known != self._domain.domain_id.encode():
            self._complain(f"another domain is mirrored to the same database: {known[:64]!r}")
        rows = self._rows
        changes, healths, points = self._changes, self._healths, self._points
        self._forget_waiting()
        await self._write_rows(writer, self._some_again())
        await self._write_changes(writer, changes)
        for some in _chunks(healths):
            commands = (rows.health(node_id, healths[node_id]) for node_id in some)
            await writer.write(list(chain.from_iterable(commands)))
        for measured in _chunks(points):
            await writer.write([rows.point(key, point) for key, point in measured])
        await writer.write(rows.outdated())
        await self._take_intents(writer)
        self.rounds_total += 1
        return True

    # --- intents

    async def _take_intents(self, writer: RedisWriter) -> None:
        try:
            found = await writer.take_intents(INTENTS_PER_TICK_MAX)
        except WrongTypeError:
            self._complain(f"{schema.INTENTS_KEY} is no list: nobody can leave an intent; DEL it")
            return
        names: dict[str, NodeId] = {}

        def find(name: str) -> NodeId | None:
            if not names:
                names.update(self._domain.names())
            return names.get(name)

        intents: list[Intent] = []
        for key, value in found:
            try:
                intents.append(schema.parse_intent(key, value, find))
            except RejectedError as error:
                self.counters["intents refused"] += 1
                self._chronicle.domain("declined", str(error))
                _log.warning("%s", clipped(str(error)))
        self.counters["intents"] += len(intents)
        self._obey(intents)

    def _complain(self, message: str) -> None:
        """Say it once: it may be so for long."""
        self.counters["complaints"] += 1
        if message not in self._complained and len(self._complained) < _COMPLAINTS_MAX:
            self._complained.add(message)
            _log.warning("%s: %s", self._settings.shown_url, message)


def _split(rows: list[_RowT]) -> tuple[dict[_RowT, None], list[_RowT]]:
    return dict.fromkeys(rows[:_AGAIN_MAX]), rows[_AGAIN_MAX:]


def _chunks(rows: Iterable[_RowT]) -> Iterator[list[_RowT]]:
    iterator = iter(rows)
    while some := list(islice(iterator, _ROWS_MAX)):
        yield some
