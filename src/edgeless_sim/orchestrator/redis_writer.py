"""Commands to a Redis, many at once, each batch with a deadline. Not here: which ones."""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeAlias

import anyio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from edgeless_sim.kernel.clock import Clock
from edgeless_sim.orchestrator.redis_schema import INTENT_PREFIX, INTENTS_KEY
from edgeless_sim.resources.redis_connection import open_client

__all__ = ["REDIS_ERRORS", "Command", "RedisWriter", "WrongTypeError", "connected"]

#: What everything here may raise, when the server fails or cannot be reached.
REDIS_ERRORS: Final = (RedisError, OSError, TimeoutError)

#: Name, key, and what else belongs to it.
Command: TypeAlias = tuple[str | bytes, ...]

#: Packing and reading them keeps the loop from anything else for a millisecond or two.
_BATCH_MAX: Final = 100
_SCAN_COUNT: Final = 500
_CONNECT_S: Final = 2.0
#: For one batch and its answers.
_BATCH_S: Final = 5.0
_CLOSE_S: Final = 1.0
_SHOWN: Final = 64

_log = logging.getLogger(__name__)


class WrongTypeError(Exception):
    """A key has another type than what stands there should have."""


@asynccontextmanager
async def connected(url: str, clock: Clock) -> AsyncGenerator[Redis]:
    """A client that has reached the server; it has one connection and tries nothing twice."""
    client = open_client(
        url,
        socket_timeout=_BATCH_S,
        socket_connect_timeout=_CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
    )
    try:
        with _asking(clock):
            await client.ping()
        yield client
    finally:
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await client.aclose()


class RedisWriter:
    """Writes over one connection. Raises one of `REDIS_ERRORS`."""

    def __init__(self, client: Redis, clock: Clock, counters: Counter[str]) -> None:
        self._client = client
        self._clock = clock
        self._counters = counters

    async def read(self, key: str) -> bytes | None:
        """The text at *key*; None if there is none, or no text."""
        with _asking(self._clock):
            try:
                return _value(await self._client.get(key))
            except ResponseError as error:
                if not _is_wrong_type(error):
                    raise
                return None

    async def write(self, commands: Sequence[Command]) -> None:
        """Carry out *commands*; what is of another type than a command wants is removed first."""
        for start in range(0, len(commands), _BATCH_MAX):
            batch = commands[start : start + _BATCH_MAX]
            again = await self._sent(batch)
            if again:
                self._counters["replaced"] += len(again)
                keys = dict.fromkeys(command[1] for command in again)
                await self._sent([("DEL", key) for key in keys])
                await self._sent(again)

    async def flush_database(self) -> None:
        """Remove all keys of all owners."""
        with _asking(self._clock):
            await self._client.flushdb()

    async def scan(self, pattern: str) -> AsyncGenerator[list[bytes]]:
        """The keys that match, a few at a time."""
        cursor: int = 0
        while True:
            with _asking(self._clock):
                cursor, keys = await self._client.scan(cursor, match=pattern, count=_SCAN_COUNT)
            yield [key for key in keys if isinstance(key, bytes)]
            if not cursor:
                return

    async def take_intents(self, most: int) -> list[tuple[bytes, bytes | None]]:
        """Remove up to *most* entries of the list of intents, and return their keys and values.

        The list and the values go together, so that none is obeyed twice. What stands at no
        intent's key is not touched; it has no value here. Raise `WrongTypeError` if it is no list.
        """
        with _asking(self._clock):
            try:
                listed = await self._client.lrange(INTENTS_KEY, 0, most - 1)
            except ResponseError as error:
                if not _is_wrong_type(error):
                    raise
                raise WrongTypeError(INTENTS_KEY) from None
            keys = [key for key in dict.fromkeys(listed) if isinstance(key, bytes)]
        if not keys:
            return []
        ours = [key for key in keys if key.startswith(INTENT_PREFIX.encode())]
        commands: list[Command] = [("LTRIM", INTENTS_KEY, str(len(listed)), "-1")]
        for key in ours:
            commands += [("GET", key), ("DEL", key)]
        try:
            answers = await self._executed(commands, transaction=True)
        except REDIS_ERRORS:
            self._counters["intents perhaps lost"] += len(keys)
            _log.warning("%d intents are perhaps lost, such as %r", len(keys), keys[0][:_SHOWN])
            raise
        if isinstance(answers[0], Exception):
            raise answers[0]
        values = dict(zip(ours, answers[1::2], strict=True))
        return [(key, _value(values.get(key))) for key in keys]

    async def _sent(self, batch: Sequence[Command]) -> list[Command]:
        """Carry out *batch*; return what met a key of another type."""
        if not batch:
            return []
        answers = await self._executed(batch, transaction=False)
        self._counters["commands"] += len(batch)
        refused: list[Command] = []
        for command, answer in zip(batch, answers, strict=True):
            if isinstance(answer, ResponseError) and _is_wrong_type(answer):
                refused.append(command)
            elif isinstance(answer, Exception):
                raise answer
        return refused

    async def _executed(self, batch: Sequence[Command], *, transaction: bool) -> list[Any]:
        with _asking(self._clock):
            async with self._client.pipeline(transaction=transaction) as pipeline:
                for command in batch:
                    pipeline.execute_command(*command)
                answers: list[Any] = await pipeline.execute(raise_on_error=False)
                if len(answers) != len(batch):
                    raise RedisError(f"{len(answers)} answers to {len(batch)} commands")
                return answers


@contextmanager
def _asking(clock: Clock) -> Iterator[None]:
    """For one batch and its answers, which need not be those of a Redis."""
    with clock.fail_after(_BATCH_S):
        try:
            yield
        except (ValueError, TypeError, LookupError, AttributeError, EOFError) as error:
            # What the library makes of bytes that it did not expect.
            raise RedisError(f"it does not answer as a Redis does: {error!r}") from error


def _is_wrong_type(error: ResponseError) -> bool:
    # With its code in front or, as some versions of the library have it, without.
    return "WRONGTYPE" in str(error) or "wrong kind of value" in str(error)


def _value(answer: object) -> bytes | None:
    return answer if isinstance(answer, bytes) else None
