"""The functions that misbehave do it exactly when they are told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import wasmtime

if TYPE_CHECKING:
    from tests.functions.conftest import Loader


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("trap", wasmtime.TrapCode.UNREACHABLE),
        ("div", wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO),
    ],
)
def test_trap_traps_in_cast_and_in_call(
    load: Loader, message: str, code: wasmtime.TrapCode
) -> None:
    for event in ("cast", "call"):
        guest = load("trap")
        guest.init("no")
        with pytest.raises(wasmtime.Trap) as caught:
            getattr(guest, event)(message)
        assert caught.value.trap_code == code


@pytest.mark.parametrize("event", ["cast", "call"])
def test_trap_hands_the_host_a_pointer_outside_its_memory(load: Loader, event: str) -> None:
    guest = load("trap")
    guest.init()
    with pytest.raises(IndexError, match="4294967280 \\+ 4096 is outside"):
        getattr(guest, event)("oob")


def test_trap_traps_in_init_when_its_payload_says_so(load: Loader) -> None:
    with pytest.raises(wasmtime.Trap):
        load("trap").init("trap")


def test_spin_does_not_return_before_its_fuel_is_gone(load: Loader) -> None:
    for event in ("cast", "call"):
        guest = load("spin")
        guest.init("spin")
        guest.store.set_fuel(100_000)
        with pytest.raises(wasmtime.Trap, match="fuel"):
            getattr(guest, event)("spin")


@pytest.mark.parametrize("name", ["trap", "spin"])
def test_other_messages_are_echoed_to_out_and_to_the_caller(load: Loader, name: str) -> None:
    guest = load(name)
    guest.init()
    assert guest.cast("trapping") == [("cast", "out", "trapping")]
    assert guest.call("spinning") == (1, "spinning")
    assert guest.outputs == [("cast", "out", "spinning")]
