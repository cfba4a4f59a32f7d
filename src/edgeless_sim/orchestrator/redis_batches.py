"""Looks at many keys of a Redis in bounded batches, and skips what is not as expected.

Not here: which keys are asked for (`redis_mirror`), and what a value means (`redis_values`).
"""

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.orchestrator.redis_values import read_text

__all__ = ["KEYS_MAX", "POINTS_MAX", "Members", "RedisBatches"]

K = TypeVar("K")
T = TypeVar("T")
#: Of a sorted set, with their scores.
Members: TypeAlias = list[tuple[bytes, float]]

#: Keys with one beginning.
KEYS_MAX: Final = 1_000_000
#: Measurements and lines of logs that are read at once.
POINTS_MAX: Final = 1_000_000
_VALUE_BYTES_MAX: Final = 1 << 22
_SCAN_COUNT: Final = 2_000
_BATCH_KEYS: Final = 500
_BATCH_POINTS: Final = 50_000
#: Of times: any but infinity.
_END: Final = "(+inf"
#: Stands where elsewhere an id stands, in keys of another kind.
_LAST_UPDATE: Final = "last_update"


class RedisBatches:
    """One look at a Redis.

    What is damaged is skipped; in the end `tell` gives *warn* one line about all of it. Keys are
    given with what they stand for, which is what results are sorted by.
    """

    def __init__(self, client: Redis, warn: Callable[[str], None]) -> None:
        # What it answers depends on how it was made: here, always bytes.
        self._client: Any = client
        self._warn = warn
        self._skipped = 0
        self._first = ""

    async def keys(self, prefix: str, read: Callable[[str], K]) -> dict[str, K]:
        """The keys that begin with *prefix*, sorted, and what *read* makes of the rest of each."""
        found: dict[bytes, None] = {}
        cursor = 0
        while True:
            cursor, some = await self._client.scan(cursor, match=f"{prefix}*", count=_SCAN_COUNT)
            found.update(dict.fromkeys(some))
            if len(found) > KEYS_MAX:
                raise RejectedError("too many keys", f"more than {KEYS_MAX} begin with {prefix}")
            if int(cursor) == 0:
                break
        named: dict[str, K] = {}
        for raw in sorted(found):
            with self.skipping(raw.decode(errors="replace")):
                key = read_text(raw)
                rest = key.removeprefix(prefix)
                if rest != _LAST_UPDATE:
                    named[key] = read(rest)
        return named

    async def strings(self, keys: Mapping[str, K], read: Callable[[K, bytes], T]) -> dict[K, T]:
        """What *read* makes of the values that are there."""
        found: dict[K, T] = {}
        absent: list[str] = []
        for batch in _batches(list(keys)):
            for key, value in zip(batch, await self._client.mget(batch), strict=True):
                if value is None:
                    absent.append(key)
                    continue
                with self.skipping(key):
                    if len(value) > _VALUE_BYTES_MAX:
                        raise ValueError(f"it has more than {_VALUE_BYTES_MAX} bytes")
                    found[keys[key]] = read(keys[key], value)
        for key, kind in await self._each(absent, lambda pipe, key: pipe.type(key)):
            # What went meanwhile is no surprise.
            if self._is_answer(key, kind) and kind not in (b"none", b"string"):
                self.skip(key, f"it is a {kind.decode()}")
        return found

    async def newest(
        self, keys: Mapping[str, K], since_s: float, most: int
    ) -> AsyncGenerator[tuple[K, Members]]:
        """The last members of sorted sets, *most* of each, in their order."""

        def ask(pipe: Any, key: str) -> None:
            pipe.zrevrangebyscore(key, _END, since_s, start=0, num=most, withscores=True)

        for key, answer in await self._each(list(keys), ask):
            yield keys[key], self._members(key, answer)[::-1]

    async def ranges(
        self, keys: Mapping[str, K], since_s: float
    ) -> AsyncGenerator[tuple[K, Members]]:
        """All members of sorted sets since then; raise `RejectedError` beyond `POINTS_MAX`."""
        counted = await self._each(list(keys), lambda pipe, key: pipe.zcount(key, since_s, _END))
        sizes = [(key, size) for key, size in counted if self._is_answer(key, size) and size]
        total = sum(size for _, size in sizes)
        if total > POINTS_MAX:
            detail = f"{total} since then, at most {POINTS_MAX}: ask for a shorter time (--last)"
            raise RejectedError("too many measurements", detail)

        def ask(pipe: Any, key: str) -> None:
            # It may grow meanwhile.
            pipe.zrangebyscore(key, since_s, _END, start=0, num=POINTS_MAX, withscores=True)

        for batch in _batches_of(sizes):
            for key, answer in await self._each(batch, ask):
                yield keys[key], self._members(key, answer)

    @contextmanager
    def skipping(self, what: str) -> Generator[None]:
        """Skip *what* if reading it raises ValueError."""
        try:
            yield
        except ValueError as error:
            self.skip(what, str(error))

    def skip(self, what: str, reason: str) -> None:
        """Count *what*; the first one is told."""
        self._skipped += 1
        if self._skipped == 1:
            self._first = f"{quoted(what)}: {reason}"

    def tell(self) -> None:
        """Warn, if something was skipped."""
        if self._skipped:
            more = f" (and {self._skipped - 1} more)" if self._skipped > 1 else ""
            self._warn(clipped(f"skipped in the Redis: {self._first}{more}"))

    async def _each(
        self, keys: Sequence[str], ask: Callable[[Any, str], object]
    ) -> list[tuple[str, Any]]:
        """The answers to one command for each of *keys*; an error is an answer."""
        answered: list[tuple[str, Any]] = []
        for batch in _batches(keys):
            pipe = self._client.pipeline(transaction=False)
            for key in batch:
                ask(pipe, key)
            answered += zip(batch, await pipe.execute(raise_on_error=False), strict=True)
        return answered

    def _members(self, key: str, answer: Any) -> Members:
        return answer if self._is_answer(key, answer) else []

    def _is_answer(self, key: str, answer: Any) -> bool:
        if isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE"):
            self.skip(key, "it is no sorted set")
            return False
        if isinstance(answer, Exception):
            raise answer
        return True


def _batches(items: Sequence[T]) -> Generator[Sequence[T]]:
    for begin in range(0, len(items), _BATCH_KEYS):
        yield items[begin : begin + _BATCH_KEYS]


def _batches_of(sizes: Iterable[tuple[str, int]]) -> Generator[list[str]]:
    """Keys in groups of a bounded size together, or a single one that is larger."""
    batch: list[str] = []
    points = 0
    for key, size in sizes:
        if batch and (points + size > _BATCH_POINTS or len(batch) >= _BATCH_KEYS):
            yield batch
            batch, points = [], 0
        batch.append(key)
        points += size
    if batch:
        yield batch
