"""What the author of a PYTHON function sees: a base class, and the platform as an object.

::

    class Doubler(PythonFunction):
        service = "u(1;3)"                       # one event takes between 1 and 3 ms

        def handle_cast(self, source, message):
            self.edgeless.cast("result", str(2 * int(message)))

A handler that calls somebody and waits is a coroutine, or a generator that yields the call; there
is nothing else to wait for::

        async def handle_cast(self, source, message):
            answer = await self.edgeless.call("oracle", message)
            if answer.kind == CallReturnKind.REPLY:
                self.edgeless.cast("result", answer.payload)

Not here: how it is driven (`python`). A function takes no time but its declared one, must draw
from ``self.dice`` and must not look at a clock, or its runs cannot be repeated. Nothing can
interrupt a handler that does not end.
"""

from collections.abc import Coroutine, Generator
from random import Random
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.names import text_fault
from edgeless_sim.runtimes.base import (
    ALIAS_BYTES_MAX,
    LOG_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    STATE_BYTES_MAX,
    Call,
    CallRaw,
    Cast,
    CastRaw,
    DelayedCast,
    Log,
    LogLevel,
    Output,
    Refused,
    Sync,
)

__all__ = [
    "NOT_YIELDED",
    "OUTPUTS_MAX",
    "CallError",
    "Edgeless",
    "Handling",
    "PythonFunction",
    "Replying",
]

#: Most outputs of one event up to its end or its next call; more is taken for a runaway loop.
OUTPUTS_MAX: Final = 10_000
NOT_YIELDED: Final = "a call was not awaited; write: answer = await self.edgeless.call(…)"
_DELAY_MS_MAX: Final = 2**64 - 1
_KEY_BYTES: Final = 32
_CallT = TypeVar("_CallT", Call, CallRaw)

#: What a handler returns: nothing, or what Python makes of one that awaits or yields calls.
Handling: TypeAlias = Generator[Call | CallRaw, CallReturn, None] | Coroutine[Any, Any, None] | None
#: What ``handle_call`` returns: the reply, None for no reply, or something that ends so.
Replying: TypeAlias = (
    str | Generator[Call | CallRaw, CallReturn, str | None] | Coroutine[Any, Any, str | None] | None
)


class CallError(Exception):
    """Raised in ``handle_call``: the caller gets Err, and the function lives on."""


class Edgeless:
    """What a function may ask of the platform; ``self.edgeless`` in its handlers.

    What is sent leaves when the handler ends or waits for a call. A text that cannot be carried
    (too long, or half a surrogate pair) is dropped and counted, and a call with one gets Err.
    Arguments of the wrong type raise TypeError or ValueError, which ends the instance.
    """

    __slots__ = ("_called", "_log_target", "_outputs", "instance")

    def __init__(self, instance: bytes, log_target: str) -> None:
        #: The 32-byte key of this instance, as others get it in ``source``.
        self.instance = instance
        self._log_target = log_target
        self._outputs: list[Output] = []
        self._called: Call | CallRaw | None = None

    def cast(self, alias: str, message: str) -> None:
        """Send *message* to the output channel *alias*, or to ``self``."""
        if self._carries("cast", message, PAYLOAD_BYTES_MAX):
            self._add(Cast(_checked_alias(alias), message))

    def cast_raw(self, target: bytes, message: str) -> None:
        """Send *message* to the instance with the 32-byte key *target*, e.g. a ``source``."""
        if self._carries("cast_raw", message, PAYLOAD_BYTES_MAX):
            self._add(CastRaw(_checked_key(target), message))

    def delayed_cast(self, delay_ms: int, alias: str, message: str) -> None:
        """Send *message* to *alias* when *delay_ms* whole milliseconds have passed."""
        if not isinstance(delay_ms, int):
            raise TypeError(f"delay_ms is a whole number, not {type(delay_ms).__name__}")
        if not 0 <= delay_ms <= _DELAY_MS_MAX:
            raise ValueError(f"delay_ms is between 0 and {_DELAY_MS_MAX}, not {delay_ms}")
        if self._carries("delayed_cast", message, PAYLOAD_BYTES_MAX):
            self._add(DelayedCast(int(delay_ms), _checked_alias(alias), message))

    def log(self, message: str, level: str = "info", target: str | None = None) -> None:
        """Write to the function's log, at most 8 KiB; *target* is the class unless given.

        *level* is ``error``, ``warn``, ``info``, ``debug`` or ``trace``; ValueError for others.
        """
        try:
            number = LogLevel[level.upper()]
        except KeyError:
            known = ", ".join(each.name.lower() for each in LogLevel)
            raise ValueError(f"unknown log level {level!r}; known: {known}") from None
        place = self._log_target if target is None else _shortened(target, ALIAS_BYTES_MAX)
        self._add(Log(number, place, _shortened(message, LOG_BYTES_MAX)))

    def sync(self, state: str) -> None:
        """Store *state*; the next ``handle_init`` gets it."""
        if self._carries("sync", state, STATE_BYTES_MAX):
            self._add(Sync(state))

    def call(self, alias: str, message: str) -> Call:
        """Ask *alias*; write ``answer = await self.edgeless.call(…)`` to get the `CallReturn`."""
        return self._asked(Call(_checked_alias(alias), _checked_text(message)))

    def call_raw(self, target: bytes, message: str) -> CallRaw:
        """Ask the instance with the 32-byte key *target*; to be awaited as `call`."""
        return self._asked(CallRaw(_checked_key(target), _checked_text(message)))

    def begin_segment(self) -> list[Output]:
        """For the run-time: the list that takes the outputs from here on."""
        self._outputs = []
        return self._outputs

    def take_call(self) -> Call | CallRaw | None:
        """For the run-time: the call that was made and not taken yet."""
        called, self._called = self._called, None
        return called

    def refused(self, call: Call | CallRaw) -> bool:
        """For the run-time: whether *call* cannot be carried; if so, that is an output."""
        operation = "call" if isinstance(call, Call) else "call_raw"
        return not self._carries(operation, call.payload, PAYLOAD_BYTES_MAX)

    def refuse(self, operation: str, cause: str) -> None:
        """For the run-time: report that *operation* was dropped because of *cause*."""
        self._add(Refused(operation, cause))

    def _carries(self, operation: str, text: str, bytes_max: int) -> bool:
        fault = text_fault(_checked_text(text), bytes_max)
        if fault is not None:
            self.refuse(operation, fault)
        return fault is None

    def _add(self, output: Output) -> None:
        if len(self._outputs) >= OUTPUTS_MAX:
            raise RuntimeError(f"more than {OUTPUTS_MAX} outputs of one event")
        self._outputs.append(output)

    def _asked(self, call: _CallT) -> _CallT:
        if self._called is not None:
            raise RuntimeError(NOT_YIELDED)
        self._called = call
        return call


class PythonFunction:
    """The base of every PYTHON function. Override what you need; the rest does nothing.

    The class is called without arguments; ``edgeless`` and ``dice`` are set after that, so use
    them from ``handle_init`` on. *source* is the sender's 32-byte key.
    """

    #: How long one event takes; see `edgeless_sim.runtimes.distribution`.
    service: ClassVar[str] = "c(0.1)"
    edgeless: Edgeless
    #: Belongs to this instance alone and depends only on the seed and its name.
    dice: Random

    def handle_init(self, payload: str | None, state: str | None) -> Handling:
        """Begin. *payload* is the annotation ``init-payload``, *state* what was synced last."""

    def handle_cast(self, source: bytes, message: str) -> Handling:
        """Take a *message* that wants no reply."""

    def handle_call(self, source: bytes, message: str) -> Replying:
        """Return the reply to *message*, or None for no reply; raise `CallError` for Err."""

    def handle_stop(self) -> Handling:
        """End; nothing comes afterwards."""


def _checked_text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a message is a str, not {type(text).__name__}")
    return text


def _checked_alias(alias: str) -> str:
    if not isinstance(alias, str):
        raise TypeError(f"an alias is a str, not {type(alias).__name__}")
    fault = text_fault(alias, ALIAS_BYTES_MAX)
    if fault is not None:
        raise ValueError(f"an alias cannot be carried: {fault}")
    return alias


def _checked_key(key: bytes) -> bytes:
    if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
        raise TypeError(f"a target is the {_KEY_BYTES}-byte key of an instance, such as a source")
    return key


def _shortened(text: str, bytes_max: int) -> str:
    """*text* with at most *bytes_max* bytes, always encodable: a log entry is never refused."""
    encoded = _checked_text(text).encode(errors="backslashreplace")[:bytes_max]
    return encoded.decode(errors="ignore")
