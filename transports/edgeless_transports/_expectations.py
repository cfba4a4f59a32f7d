"""What the conformance suite says things with: expectations, and handlers to serve them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn

import anyio

from edgeless_transports._tasks import background_tasks
from edgeless_transports.base import CastReceiver, Incoming
from edgeless_transports.errors import RemoteError, TransportError

__all__ = [
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
