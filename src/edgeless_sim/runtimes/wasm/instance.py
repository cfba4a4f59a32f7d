"""One guest: its handlers, its fuel, what it asks for, how it fails.

An event is one entry into module B, which ends or, on a fiber, waits. Either way the exchange is
emptied at once, because the next guest uses the same. A guest is never entered while it waits:
that, like any other misuse by the driver, is an assertion.
"""

import ctypes
from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, CallReturnKind
from edgeless_sim.runtimes.base import (
    PAYLOAD_BYTES_MAX,
    STATE_BYTES_MAX,
    Blocked,
    Call,
    CallRaw,
    Done,
    Failed,
    GuestEvent,
    GuestEventKind,
    Output,
    Refused,
    Step,
)
from edgeless_sim.runtimes.wasm.binding import TRAP_OUT_OF_FUEL
from edgeless_sim.runtimes.wasm.exchange import (
    ABSENT,
    FAULT_OFFSET,
    INPUT_OFFSET,
    LENGTH_OFFSET,
    OUTPUT_OFFSET,
    REPLY_CODE_OFFSET,
    STATE_LENGTH_OFFSET,
    read_records,
)
from edgeless_sim.runtimes.wasm.machine import FUNC_BYTES, Machine, Sandbox
from edgeless_sim.runtimes.wasm.trampoline import B_ENTRIES, FAULTS

__all__ = ["Limits", "WasmInstance"]

#: End of the records, result of handle_call_asm, deliberate trap, fuel burnt by the trampoline.
_HEADER: Final = Struct("<IIIxxxxQ")
_U32: Final = Struct("<I")

_INIT: Final = GuestEventKind.INIT
_CAST: Final = GuestEventKind.CAST
_CALL: Final = GuestEventKind.CALL
_START_ENTRY: Final = B_ENTRIES.index("start")

_IDLE: Final = 0
_WAITING: Final = 1
_OVER: Final = 2
"""Failed or discarded."""

_TOO_LARGE: Final = "the payload is larger than 1 MiB"


class Limits(NamedTuple):
    """Fuel that a guest may burn, the trampoline's share included."""

    event: int
    init: int


class WasmInstance:
    """A guest, as `FunctionInstance` has it."""

    __slots__ = (
        "_context",
        "_entries",
        "_fiber",
        "_future",
        "_kind",
        "_left",
        "_limits",
        "_machine",
        "_on_discard",
        "_pending",
        "_sandbox",
        "_start_due",
        "_state",
    )

    def __init__(
        self,
        machine: Machine,
        sandbox: Sandbox,
        *,
        limits: Limits,
        fiber: bool,
        start: bool,
        on_discard: Callable[["WasmInstance"], None],
    ) -> None:
        self._machine = machine
        self._sandbox = sandbox
        self._context = sandbox.context
        self._entries = ctypes.addressof(sandbox.entries)
        self._limits = limits
        self._fiber = fiber
        self._start_due = start
        self._on_discard: Callable[[WasmInstance], None] | None = on_discard
        self._state = _IDLE
        self._kind: int = _INIT
        self._left = 0
        self._future: int | None = None
        self._pending: GuestEvent | None = None

    def dispatch(self, event: GuestEvent) -> Step:
        """Run one handler until it ends, waits or fails."""
        assert self._state == _IDLE, "the guest waits in a call, failed, or was discarded"
        if self._start_due:
            return self._after_start(self._run_start(), event)
        machine = self._machine
        limit = self._limits.init if event.kind == _INIT else self._limits.event
        machine.set_fuel(self._context, limit)
        self._left = limit
        return self._enter(event)

    def resume(self, reply: CallReturn) -> Step:
        """Let the guest go on with the end of the call that it waits for."""
        assert self._state == _WAITING, "the guest does not wait for a call"
        self._state = _IDLE
        self._answer(reply)
        step = self._poll()
        return step if self._pending is None else self._after_start(step, self._pending)

    def try_start(self) -> str | None:
        """Run the start function, if there is one; return why it failed, or None.

        A start function that waits for a call counts as good. The instance is only to be
        discarded afterwards.
        """
        if not self._start_due:
            return None
        step = self._run_start()
        return step.reason if isinstance(step, Failed) else None

    def discard(self) -> None:
        """Free the guest, also while it waits. Idempotent."""
        if self._on_discard is None:
            return
        self._state = _OVER
        self._machine.discard(self._sandbox.store, self._future)
        on_discard, self._on_discard = self._on_discard, None
        self._future = None
        on_discard(self)

    # ---- entering ----------------------------------------------------------------------------

    def _enter(self, event: GuestEvent) -> Step:
        kind = self._kind = event.kind
        exchange = self._machine.exchange
        if kind in (_CAST, _CALL):
            payload = (event.payload or "").encode()
            size = len(payload)
            if size > PAYLOAD_BYTES_MAX:
                return self._refused_event(kind)
            assert len(event.source) == 32, "the source of an event is a 32-byte key"
            # One assignment: length, ids and payload lie next to each other.
            message = size.to_bytes(4, "little") + event.source + payload
            exchange[LENGTH_OFFSET : INPUT_OFFSET + 32 + size] = message
        elif kind == _INIT and not self._stage_init(event):
            return self._fail("the init payload or the state is larger than 1 MiB", [], 0)
        return self._run(kind)

    def _run(self, entry: int) -> Step:
        machine = self._machine
        at = self._entries + entry * FUNC_BYTES
        if self._fiber:
            self._future = machine.call_async(
                self._context, at, None, 0, None, 0, machine.trap_address, machine.error_address
            )
            return self._poll()
        if entry in (_CAST, _CALL):
            error = machine.call(self._context, at, None, 0, machine.trap_address)
        else:
            error = self._call_shielded(at)
        if error or machine.trap_view[0]:
            return self._failed(error, [], 0)
        outputs, _call, reply, fuel = self._collect()
        return Done(outputs, reply, fuel, 0)

    def _call_shielded(self, at: int) -> int | None:
        # Memories grow when guests set up their heap; casts and calls go without the shield,
        # which would take a quarter of their time.
        machine = self._machine
        try:
            machine.shield_up()
            error: int | None = machine.call(self._context, at, None, 0, machine.trap_address)
        finally:
            machine.shield_down()
        return error

    def _stage_init(self, event: GuestEvent) -> bool:
        payload = None if event.payload is None else event.payload.encode()
        state = None if event.state is None else event.state.encode()
        content = (payload or b"") + (state or b"")
        if len(payload or b"") > PAYLOAD_BYTES_MAX or len(state or b"") > STATE_BYTES_MAX:
            return False
        exchange = self._machine.exchange
        _U32.pack_into(exchange, LENGTH_OFFSET, ABSENT if payload is None else len(payload))
        _U32.pack_into(exchange, STATE_LENGTH_OFFSET, ABSENT if state is None else len(state))
        exchange[INPUT_OFFSET : INPUT_OFFSET + len(content)] = content
        return True

    def _refused_event(self, kind: int) -> Step:
        reply = ERR if kind == _CALL else None
        return Done([Refused("event", _TOO_LARGE)], reply, 0, 0)

    # ---- the start function, before the first event ------------------------------------------

    def _run_start(self) -> Step:
        # Its fuel and the first event's come out of one limit.
        self._start_due = False
        self._left = self._limits.init
        self._machine.set_fuel(self._context, self._left)
        self._kind = _INIT
        return self._run(_START_ENTRY)

    def _after_start(self, step: Step, event: GuestEvent) -> Step:
        self._pending = event if isinstance(step, Blocked) else None
        if not isinstance(step, Done):
            return step
        following = self._enter(event)
        following.outputs[:0] = step.outputs
        following.fuel += step.fuel
        return following

    # ---- waiting -----------------------------------------------------------------------------

    def _answer(self, reply: CallReturn) -> None:
        """Lay *reply* out for the fiber that is polled next."""
        kind, payload = int(reply.kind), b""
        if kind == CallReturnKind.REPLY:
            payload = reply.payload.encode()
            if len(payload) > PAYLOAD_BYTES_MAX:
                kind, payload = int(CallReturnKind.ERR), b""
        machine = self._machine
        _U32.pack_into(machine.exchange, REPLY_CODE_OFFSET, kind)
        message = len(payload).to_bytes(4, "little") + payload
        machine.exchange[LENGTH_OFFSET : LENGTH_OFFSET + len(message)] = message
        machine.fibers.flag[0] = 1

    def _poll(self) -> Step:
        """Let the fiber run until it ends or waits for a call that the driver can make."""
        outputs: list[Output] = []
        fuel = 0
        while True:
            ended = self._poll_once()
            machine = self._machine
            if ended and (machine.trap_view[0] or machine.error_view[0]):
                return self._failed(None, outputs, fuel)
            made, call, reply, burnt = self._collect()
            outputs += made
            fuel += burnt
            if ended:
                return Done(outputs, reply, fuel, 0)
            if call is not None:
                self._state = _WAITING
                return Blocked(outputs, call, fuel, 0)
            # The alias or the payload was no text: the guest learns it at once.
            self._answer(ERR)

    def _poll_once(self) -> bool:
        machine = self._machine
        try:
            machine.shield_up()
            ended: bool = machine.poll(self._future)
            if ended:
                machine.delete_future(self._future)
                self._future = None
        finally:
            machine.shield_down()
        return ended

    # ---- what came of it ---------------------------------------------------------------------

    def _collect(self) -> tuple[list[Output], Call | CallRaw | None, CallReturn | None, int]:
        """Empty the exchange: outputs, call, reply, and the fuel the guest's own code burnt."""
        machine = self._machine
        machine.get_fuel(self._context, machine.fuel_address)
        left = machine.fuel_view[0]
        end, status, _fault, share = _HEADER.unpack_from(machine.exchange, 0)
        fuel = self._left - left - share
        self._left = left
        outputs, call, text = read_records(bytes(machine.exchange[OUTPUT_OFFSET:end]))
        if self._kind != _CALL:
            return outputs, call, None, fuel
        if status == CallReturnKind.NO_REPLY:
            return outputs, call, NO_REPLY, fuel
        if status == CallReturnKind.REPLY and text is not None:
            return outputs, call, CallReturn.reply(text), fuel
        return outputs, call, ERR, fuel

    def _failed(self, error: int | None, outputs: list[Output], fuel: int) -> Failed:
        machine = self._machine
        left_before = self._left
        made, _call, _reply, burnt = self._collect()
        code, reason = machine.take_failure(error)
        fault = _HEADER.unpack_from(machine.exchange, 0)[2]
        if fault:
            _U32.pack_into(machine.exchange, FAULT_OFFSET, 0)
            reason = f"trap: {FAULTS[fault]}"
        if code == TRAP_OUT_OF_FUEL:
            what, limit = "event", self._limits.event
            if self._kind == _INIT:
                what, limit = "init", self._limits.init
            reason = f"out of fuel: {limit} per {what}"
            burnt = left_before
        # What the guest asked for before it failed has happened.
        return self._fail(reason, outputs + made, fuel + max(0, burnt))

    def _fail(self, reason: str, outputs: list[Output], fuel: int) -> Failed:
        self._state = _OVER
        return Failed(reason, outputs, fuel, 0)
