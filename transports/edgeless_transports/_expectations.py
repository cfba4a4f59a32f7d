"""What the conformance suite is written in: its subject, expectations, handlers to serve."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

import anyio
from anyio.abc import TaskStatus

from edgeless_transports._tasks import background_tasks
from edgeless_transports.base import Address, CastReceiver, Connection, Handler, Incoming, Transport
from edgeless_transports.errors import RemoteError, TransportError

__all__ = [
    "Subject",
    "all_of",
    "echo",
    "end_of",
    "error_of",
    "expect",
    "expect_equal",
    "expect_kind",
    "fail",
    "later",
    "never",
    "note_only",
    "refuse_later",
    "until",
]

_POLL_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Subject:
    """The transport to check, as seen by a server and by a client, which may be the same object."""

    server: Transport
    client: Transport
    #: An address at which nobody listens and somebody can, e.g. with port 0.
    new_address: Callable[[], Address]
    #: Seconds within which anything that ends at all must end.
    timeout_s: float = 5.0

    @asynccontextmanager
    async def serving(
        self, handler: Handler, *, on_cast: CastReceiver | None = None
    ) -> AsyncGenerator[Connection]:
        """A connection to *handler*."""
        async with (
            self.server.listen(self.new_address(), handler, on_cast=on_cast) as address,
            self.client.connect(address) as connection,
        ):
            yield connection

    @asynccontextmanager
    async def stoppable_listener(
        self, handler: Handler
    ) -> AsyncGenerator[tuple[Address, Callable[[], Awaitable[None]]]]:
        """An address and what stops listening there, before the contexts inside it have ended."""
        # In a task of its own: a transport's contexts need not be left out of order.
        stopping, stopped = anyio.Event(), anyio.Event()

        async def serve(*, task_status: TaskStatus[Address]) -> None:
            async with self.server.listen(self.new_address(), handler) as address:
                task_status.started(address)
                await stopping.wait()
            stopped.set()

        async def stop() -> None:
            stopping.set()
            await stopped.wait()

        async with background_tasks() as group:
            yield await group.start(serve), stop


def echo(incoming: Incoming) -> bytes:
    """Answer at once with the payload."""
    return incoming.payload


async def later(incoming: Incoming) -> bytes:
    """Answer with the payload after a millisecond."""
    await anyio.sleep(0.001)
    return incoming.payload


async def never(incoming: Incoming) -> bytes:
    """Answer in an hour, which no check waits for."""
    await anyio.sleep(3600)
    return incoming.payload


async def refuse_later() -> bytes:
    """Refuse with the code ``later`` after a millisecond."""
    await anyio.sleep(0.001)
    raise RemoteError("later", "too late")


def note_only(handler: Callable[[Incoming], bytes]) -> CastReceiver:
    """*handler* as a receiver of casts."""

    def on_cast(incoming: Incoming) -> None:
        handler(incoming)

    return on_cast


async def all_of(calls: Sequence[Callable[[], Awaitable[bytes]]], timeout_s: float) -> list[bytes]:
    """Run *calls* at once; return their results in the order of the list."""
    ends: dict[int, bytes] = {}

    async def run(number: int) -> None:
        ends[number] = await calls[number]()

    async with background_tasks() as group:
        for number in range(len(calls)):
            group.start_soon(run, number)
        await until(lambda: len(ends) == len(calls), "all calls end", timeout_s)
    return [ends[number] for number in range(len(calls))]


async def until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Return when *condition* holds; fail with *what* if it does not within *timeout_s*."""
    with anyio.move_on_after(timeout_s):
        while not condition():  # noqa: ASYNC110 - polls, because a receiver of casts cannot wait
            await anyio.sleep(_POLL_S)
    expect(condition(), what)


async def end_of(call: Awaitable[bytes]) -> bytes | TransportError:
    """How *call* ended: its answer or its error."""
    try:
        return await call
    except TransportError as error:
        return error


async def error_of(call: Awaitable[bytes]) -> TransportError:
    """The error of *call*; fail if it was answered."""
    end = await end_of(call)
    if isinstance(end, bytes):
        fail(f"the call must fail, but it was answered with {end[:64]!r}")
    return end


def expect(fulfilled: bool, what: str) -> None:
    """Fail with the sentence *what* unless it is *fulfilled*."""
    if not fulfilled:
        fail(f"does not hold: {what}")


def expect_equal(found: object, wanted: object) -> None:
    """Fail unless *found* equals *wanted*."""
    if found != wanted:
        fail(f"does not hold: {str(found)[:500]} equals {str(wanted)[:500]}")


def expect_kind(found: object, *kinds: type[TransportError]) -> None:
    """Fail unless *found* is one of *kinds*."""
    names = " or ".join(kind.__name__ for kind in kinds)
    expect(isinstance(found, kinds), f"{found!r} is a {names}")


def fail(what: str) -> NoReturn:
    """Raise `AssertionError`. Not by an assert statement: the suite must work under python -O."""
    raise AssertionError(what)
