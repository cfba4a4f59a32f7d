"""What every transport must do, as plain coroutines: usable with and without a test framework.

``check_transport(subject)`` runs all of `CHECKS`; a test framework can run them one by one. A check
that fails raises `AssertionError` with a sentence. Nothing here looks at a clock but the loop's, so
the suite runs in virtual time too. It checks one process with itself; what two hosts do to each
other when one dies is out of its reach.
"""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeAlias

import anyio

from edgeless_transports._expectations import (
    Subject,
    all_of,
    echo,
    end_of,
    error_of,
    expect,
    expect_equal,
    expect_kind,
    fail,
    later,
    never,
    note_only,
    refuse_later,
    until,
)
from edgeless_transports._tasks import background_tasks
from edgeless_transports.base import (
    METHOD_CHARS_MAX,
    Incoming,
)
from edgeless_transports.errors import (
    AddressError,
    CallTimeout,
    ConnectError,
    ConnectionLost,
    RemoteError,
    TransportError,
)

__all__ = [
    "CHECKS",
    "Check",
    "Subject",
    "a_cancelled_call_harms_no_other",
    "a_connection_outlives_its_listener",
    "a_handlers_error_reaches_its_caller",
    "an_address_serves_one_listener",
    "callbacks_answer_exactly_once",
    "calls_are_answered",
    "casts_go_to_on_cast",
    "casts_keep_their_order",
    "check_transport",
    "closing_a_connection_ends_its_calls",
    "closing_a_listener_ends_its_calls",
    "concurrent_calls_do_not_mix",
    "deadlines_are_honoured",
    "exceptions_leave_bare",
    "methods_are_printable_text",
    "nobody_listens",
    "payloads_arrive_unchanged",
]

_CALLS: Final = 1000
_SHORT_S: Final = 0.05


Check: TypeAlias = Callable[[Subject], Coroutine[Any, Any, None]]


async def check_transport(subject: Subject) -> None:
    """Run all checks; raise `AssertionError` at the first that fails."""
    for check in CHECKS:
        await check(subject)


async def calls_are_answered(subject: Subject) -> None:
    """At once or later, and the handler learns method, payload, caller and deadline."""
    seen: list[Incoming] = []

    def handler(incoming: Incoming) -> bytes | Awaitable[bytes]:
        seen.append(incoming)
        return b"now " + incoming.payload if incoming.method == "now" else later(incoming)

    async with subject.serving(handler) as connection:
        expect_equal(await connection.call("now", b"a", timeout_s=subject.timeout_s), b"now a")
        expect_equal(await connection.call("later", b"b", timeout_s=subject.timeout_s), b"b")
    expect_equal([(one.method, one.payload) for one in seen], [("now", b"a"), ("later", b"b")])
    expect(all(one.peer for one in seen), "a call names its peer")
    expect(all(one.deadline_ns is not None for one in seen), "a call carries its deadline")


async def concurrent_calls_do_not_mix(subject: Subject) -> None:
    """1,000 calls wait at once, every other one for a handler that takes its time."""

    def handler(incoming: Incoming) -> bytes | Awaitable[bytes]:
        return later(incoming) if incoming.payload[-1] % 2 else incoming.payload

    payloads = [number.to_bytes(4, "big") for number in range(_CALLS)]
    async with subject.serving(handler) as connection:
        calls = [
            partial(connection.call, "echo", payload, timeout_s=subject.timeout_s)
            for payload in payloads
        ]
        ends = await all_of(calls, subject.timeout_s)
    expect_equal(ends, payloads)


async def casts_keep_their_order(subject: Subject) -> None:
    """Also when both kinds of casts and calls alternate on one connection."""
    seen: list[int] = []

    def note(incoming: Incoming) -> bytes:
        seen.append(int.from_bytes(incoming.payload, "big"))
        return b""

    async with subject.serving(note, on_cast=note_only(note)) as connection:
        for number in range(_CALLS):
            payload = number.to_bytes(4, "big")
            if number % 100 == 50:
                await connection.cast("note", payload)
            elif number % 100 == 99:
                await connection.call("note", payload, timeout_s=subject.timeout_s)
            else:
                expect(connection.cast_nowait("note", payload), "a cast is accepted")
        await until(lambda: len(seen) == _CALLS, "all casts arrive", subject.timeout_s)
    expect_equal(seen, list(range(_CALLS)))


async def casts_go_to_on_cast(subject: Subject) -> None:
    """And to the handler if there is none; calls always go to the handler."""
    calls: list[str] = []
    casts: list[Incoming] = []

    def handler(incoming: Incoming) -> bytes:
        calls.append(incoming.method)
        return b""

    async with subject.serving(handler, on_cast=casts.append) as connection:
        await connection.cast("cast", b"")
        await connection.call("call", b"", timeout_s=subject.timeout_s)
        await until(lambda: bool(casts), "the cast arrives", subject.timeout_s)
    expect_equal((calls, [cast.method for cast in casts]), (["call"], ["cast"]))
    expect(casts[0].deadline_ns is None, "a cast has no deadline")
    async with subject.serving(handler) as connection:
        await connection.cast("cast", b"")
        await until(lambda: calls == ["call", "cast"], "the handler has it", subject.timeout_s)


async def a_handlers_error_reaches_its_caller(subject: Subject) -> None:
    """With code and message if it is a `RemoteError`, as ``internal`` otherwise; the peer lives."""

    def handler(incoming: Incoming) -> bytes | Awaitable[bytes]:
        if incoming.method == "refuse":
            raise RemoteError("no-room", "alles voll: ε")
        if incoming.method == "fail":
            raise KeyError(incoming.method)
        return refuse_later() if incoming.method == "refuse-later" else incoming.payload

    async with subject.serving(handler) as connection:
        for method, code, text in (
            ("refuse", "no-room", "alles voll: ε"),
            ("refuse-later", "later", "too late"),
            ("fail", "internal", "KeyError"),
        ):
            error = await error_of(connection.call(method, b"", timeout_s=subject.timeout_s))
            expect(isinstance(error, RemoteError), f"{method} ends in RemoteError, not {error!r}")
            assert isinstance(error, RemoteError)
            expect_equal(error.code, code)
            expect(text in error.message, f"the message {error.message!r} says {text!r}")
        expect_equal(await connection.call("echo", b"on", timeout_s=subject.timeout_s), b"on")


async def nobody_listens(subject: Subject) -> None:
    """Connecting fails, or else the first call, within its deadline."""
    async with subject.server.listen(subject.new_address(), echo) as address:
        pass
    began = anyio.current_time()
    try:
        async with subject.client.connect(address) as connection:
            error = await error_of(connection.call("echo", b"", timeout_s=_SHORT_S))
    except ConnectError as refused:
        error = refused
    expect_kind(error, ConnectError, ConnectionLost, CallTimeout)
    expect(anyio.current_time() - began < subject.timeout_s, "nobody keeps a caller waiting")


async def an_address_serves_one_listener(subject: Subject) -> None:
    """A second one is refused, and the first goes on."""
    async with subject.server.listen(subject.new_address(), echo) as address:
        try:
            async with subject.server.listen(address, echo):
                fail("an address that is taken must be refused")
        except AddressError:
            pass
        async with subject.client.connect(address) as connection:
            expect_equal(await connection.call("echo", b"1", timeout_s=subject.timeout_s), b"1")


async def a_connection_outlives_its_listener(subject: Subject) -> None:
    """When somebody listens again, calls are answered again, without a new connection."""
    async with (
        subject.stoppable_listener(echo) as (address, stop),
        subject.client.connect(address) as connection,
    ):
        await stop()
        await error_of(connection.call("echo", b"1", timeout_s=_SHORT_S))
        async with subject.server.listen(address, echo):
            end: bytes | TransportError = b""
            with anyio.move_on_after(subject.timeout_s):
                while end != b"2":
                    end = await end_of(connection.call("echo", b"2", timeout_s=_SHORT_S))
            expect_equal(end, b"2")


async def deadlines_are_honoured(subject: Subject) -> None:
    """A call without answer ends with `CallTimeout`: not before its deadline, and soon after."""
    async with subject.serving(never) as connection:
        began = anyio.current_time()
        error = await error_of(connection.call("wait", b"", timeout_s=_SHORT_S))
        took_s = anyio.current_time() - began
        expect_kind(error, CallTimeout)
        # Clocks of transport and loop may differ by their resolution.
        expect(_SHORT_S * 0.98 <= took_s < subject.timeout_s, f"it took {took_s:g} s")


async def a_cancelled_call_harms_no_other(subject: Subject) -> None:
    """Its answer, if it comes, goes nowhere."""
    async with subject.serving(later) as connection:
        ends: list[bytes] = []
        async with background_tasks() as group:

            async def keep() -> None:
                ends.append(await connection.call("echo", b"keep", timeout_s=subject.timeout_s))

            group.start_soon(keep)
            with anyio.move_on_after(0):
                await connection.call("echo", b"cancelled", timeout_s=subject.timeout_s)
            await until(lambda: bool(ends), "the other call is answered", subject.timeout_s)
        expect_equal(ends, [b"keep"])
        expect_equal(await connection.call("echo", b"3", timeout_s=subject.timeout_s), b"3")


async def closing_a_listener_ends_its_calls(subject: Subject) -> None:
    """Callers that wait for a handler get `ConnectionLost` when the listener is left in order."""
    ends: list[bytes | TransportError] = []
    served: list[str] = []

    def handler(incoming: Incoming) -> Awaitable[bytes]:
        served.append(incoming.method)
        return never(incoming)

    async with (
        subject.stoppable_listener(handler) as (address, stop),
        subject.client.connect(address) as connection,
    ):
        for _ in range(3):
            connection.call_nowait("wait", b"", ends.append, timeout_s=2 * subject.timeout_s)
        await until(lambda: len(served) == 3, "three calls are being served", subject.timeout_s)
        await stop()
        await until(lambda: len(ends) == 3, "each caller ends", subject.timeout_s)
    for end in ends:
        expect_kind(end, ConnectionLost)


async def closing_a_connection_ends_its_calls(subject: Subject) -> None:
    """Callers get `ConnectionLost`; afterwards the connection refuses, without raising at once."""
    ends: list[bytes | TransportError] = []
    async with subject.serving(never) as connection:
        for _ in range(3):
            connection.call_nowait("wait", b"", ends.append, timeout_s=subject.timeout_s)
    await until(lambda: len(ends) == 3, "each caller ends", subject.timeout_s)
    error = await error_of(connection.call("wait", b"", timeout_s=subject.timeout_s))
    expect(not connection.cast_nowait("wait", b""), "a closed connection takes no casts")
    for end in (*ends, error):
        expect_kind(end, ConnectionLost)


async def payloads_arrive_unchanged(subject: Subject) -> None:
    """Nothing, every byte value, and 1 MiB."""
    async with subject.serving(echo) as connection:
        for payload in (b"", bytes(range(256)), bytes(range(256)) * 4096):
            reply = await connection.call("echo", payload, timeout_s=subject.timeout_s)
            expect(reply == payload, f"{len(payload)} bytes come back as they went")


async def methods_are_printable_text(subject: Subject) -> None:
    """Up to 255 characters; anything else is refused before it is sent."""
    seen: list[str] = []

    def handler(incoming: Incoming) -> bytes:
        seen.append(incoming.method)
        return b""

    longest = "m" * METHOD_CHARS_MAX
    async with subject.serving(handler) as connection:
        for method in ("", "a b", "a\0b", "\x80", "ε", longest + "m"):
            try:
                connection.cast_nowait(method, b"")
            except ValueError:
                continue
            fail(f"the method {method[:8]!r} must be refused")
        for method in ("/edgeless_api.Node/Start", longest):
            await connection.call(method, b"", timeout_s=subject.timeout_s)
    expect_equal(seen, ["/edgeless_api.Node/Start", longest])


async def exceptions_leave_bare(subject: Subject) -> None:
    """The contexts neither wrap the caller's own exception nor swallow a cancellation."""
    marker = LookupError("the caller's own")
    try:
        async with subject.serving(never) as connection:
            connection.call_nowait("wait", b"", lambda _: None, timeout_s=_SHORT_S)
            raise marker
    except (LookupError, BaseExceptionGroup) as error:
        expect(error is marker, f"the exception arrives bare, not as {error!r}")
    with anyio.move_on_after(_SHORT_S) as scope:
        async with subject.serving(never) as connection:
            await connection.call("wait", b"", timeout_s=2 * subject.timeout_s)
    expect(scope.cancelled_caught, "a cancellation passes through")


async def callbacks_answer_exactly_once(subject: Subject) -> None:
    """Reply, refusal or deadline, and never before `call_nowait` has returned."""

    def handler(incoming: Incoming) -> bytes | Awaitable[bytes]:
        if incoming.method == "refuse":
            raise RemoteError("no")
        return never(incoming) if incoming.method == "wait" else incoming.payload

    ends: dict[str, list[bytes | TransportError]] = {"echo": [], "refuse": [], "wait": []}
    async with subject.serving(handler) as connection:
        for method, answers in ends.items():
            connection.call_nowait(method, b"x", answers.append, timeout_s=_SHORT_S)
            expect(not answers, f"{method} is not answered inside call_nowait")
        await until(lambda: all(ends.values()), "all three end", subject.timeout_s)
        # Time for a second answer that must not come.
        await anyio.sleep(2 * _SHORT_S)
    expect_equal([len(answers) for answers in ends.values()], [1, 1, 1])
    expect_equal(ends["echo"], [b"x"])
    expect_kind(ends["refuse"][0], RemoteError)
    expect_kind(ends["wait"][0], CallTimeout)


CHECKS: Final[tuple[Check, ...]] = (
    calls_are_answered,
    concurrent_calls_do_not_mix,
    casts_keep_their_order,
    casts_go_to_on_cast,
    a_handlers_error_reaches_its_caller,
    nobody_listens,
    an_address_serves_one_listener,
    a_connection_outlives_its_listener,
    deadlines_are_honoured,
    a_cancelled_call_harms_no_other,
    closing_a_listener_ends_its_calls,
    closing_a_connection_ends_its_calls,
    payloads_arrive_unchanged,
    methods_are_printable_text,
    exceptions_leave_bare,
    callbacks_answer_exactly_once,
)
