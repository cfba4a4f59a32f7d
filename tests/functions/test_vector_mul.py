"""vector_mul: transactions, the numbers as texts, and products."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
import wasmtime

if TYPE_CHECKING:
    from tests.functions.conftest import Loader

TRACE = 5


def single(value: float) -> float:
    """*value* rounded to 32 bits."""
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


def shortest(value: float) -> str:
    """The fewest digits that are *value* in 32 bits, without an exponent (an oracle)."""
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    text = next(text for text in texts if single(float(text)) == value)
    return f"{float(text):.12f}".rstrip("0").rstrip(".")


@pytest.mark.function("vector_mul")
def test_the_client_begins_by_itself_and_the_others_wait(load: Loader) -> None:
    begun = load("vector_mul").init("seed=42,is_client=TRUE,input_size=2")
    assert begun == [("delayed_cast", 1000, "self", "")]
    assert load("vector_mul").init("seed=42,input_size=2") == []


@pytest.mark.function("vector_mul")
def test_the_client_ends_one_transaction_and_begins_the_next(load: Loader) -> None:
    guest = load("vector_mul")
    guest.init("seed=42,is_client=true,input_size=2")
    assert guest.cast("") == [
        ("log", TRACE, "tbegin", "1"),
        ("cast", "out", "1,0.5823076,0.5198187"),
    ]
    assert guest.cast("anything")[:2] == [
        ("log", TRACE, "tend", "1"),
        ("log", TRACE, "tbegin", "2"),
    ]
    assert guest.call("") == (0, "")


@pytest.mark.function("vector_mul")
def test_numbers_have_the_fewest_digits_that_read_back(load: Loader) -> None:
    guest = load("vector_mul")
    guest.init("seed=7,is_client=true,input_size=3000")
    message = str(guest.cast("")[1][2])
    dice = 7
    expected = []
    for _ in range(3000):
        dice = (1103515245 * dice + 12345) % 2**31
        expected.append(shortest(single(single(dice) / 2**31)))
    assert message.split(",")[1:] == expected


@pytest.mark.function("vector_mul")
def test_a_vector_is_multiplied_by_the_matrix_of_the_seed(load: Loader) -> None:
    # The first four numbers of seed 42 are the rows (a, b) and (c, d).
    client = load("vector_mul")
    client.init("seed=42,is_client=true,input_size=4")
    a, b, c, d = (float(text) for text in str(client.cast("")[1][2]).split(",")[1:])
    guest = load("vector_mul")
    guest.init("seed=42,input_size=2")
    assert guest.cast("9,1,0") == [
        ("cast", "out", f"9,{shortest(single(a))},{shortest(single(c))}")
    ]
    assert guest.cast("10,0,-2") == [
        ("cast", "out", f"10,-{shortest(2 * single(b))},-{shortest(2 * single(d))}")
    ]


@pytest.mark.function("vector_mul")
@pytest.mark.parametrize(
    ("number", "text"),
    [("0", "0"), ("x", "0"), ("", "0"), ("+8", "4")],
)
def test_what_is_not_a_number_counts_as_zero(load: Loader, number: str, text: str) -> None:
    guest = load("vector_mul")
    # This seed makes the only element of the matrix exactly one half.
    guest.init("seed=1014474371,input_size=1")
    assert guest.cast(f"1,{number},")[0][2] == f"1,{text}"


def test_in_c_an_exponent_is_not_understood(load: Loader) -> None:
    guest = load("vector_mul")
    guest.init("seed=1014474371,input_size=1")
    assert guest.cast("1,1e3") == [("cast", "out", "1,0")]


@pytest.mark.function("vector_mul")
@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("2", "1"),
        ("680000000000000000000000000000000000000", "inf"),
        ("340000000000000000000", "170000000000000000000"),
        ("0.00000025", "0.000000125"),
        ("33554436", "16777218"),
    ],
)
def test_numbers_never_have_an_exponent(load: Loader, number: str, text: str) -> None:
    guest = load("vector_mul")
    guest.init("seed=1014474371,input_size=1")
    assert guest.cast(f"1,{number}")[0][2] == f"1,{text}"


@pytest.mark.function("vector_mul")
@pytest.mark.parametrize("message", ["1,1", "1,1,1,1", "1", ""])
def test_a_vector_of_another_size_traps(load: Loader, message: str) -> None:
    guest = load("vector_mul")
    guest.init("seed=1,input_size=2")
    with pytest.raises(wasmtime.Trap):
        guest.cast(message)


@pytest.mark.function("vector_mul")
def test_a_matrix_that_cannot_be_addressed_traps_in_init(load: Loader) -> None:
    with pytest.raises(wasmtime.Trap):
        load("vector_mul").init("input_size=32768")
