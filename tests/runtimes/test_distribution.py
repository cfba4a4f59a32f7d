"""Durations as people write them (case C113, and decimals)."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeless_sim.runtimes.distribution import (
    Constant,
    Exponential,
    Uniform,
    parse_distribution,
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("c(0)", Constant(0)),
        (" c(0)", Constant(0)),
        ("  c(0)\t", Constant(0)),
        (" c(0)\n\n", Constant(0)),
        ("c(999)", Constant(999_000_000)),
        ("c(0.5)", Constant(500_000)),
        ("c(0.000001)", Constant(1)),
        ("c(1000000000)", Constant(10**15)),
        ("u(0;1)", Uniform(0, 1_000_000)),
        ("u(1;999)", Uniform(1_000_000, 999_000_000)),
        ("u(0.1;0.2)", Uniform(100_000, 200_000)),
        ("e(0)", Exponential(0)),
        ("e(999)", Exponential(999_000_000)),
    ],
)
def test_a_well_formed_duration_is_read_exactly(
    text: str, meant: Constant | Uniform | Exponential
) -> None:
    assert parse_distribution(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("", "invalid", "c", "c()", "c(A)", "c(1,2)", "c(1;2)", "c(-1)", "c(+1)", "c(1e3)"),
        *("u()", "u(A)", "u(1)", "u(1;2;3)", "u(1;1)", "u(2;1)", "u(1,2)", "u(;1)"),
        *("e()", "e(A)", "e(A,B)", "e(1,2)", "e(1;2)", "E(1)", "c( 1)", "c(1) c(2)", "xc(1)"),
        *("c(.5)", "c(5.)", "c(0.0000001)", "c(1_0)", "c(٣)", "c(¹)", "c(nan)", "\u00a0c(1)"),
        *("c(1000000000.000001)", "c(1000000001)", "c(99999999999)", " " * 65 + "c(1)"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|less than"):
        parse_distribution(text)


def test_a_refusal_says_how_to_write_it() -> None:
    with pytest.raises(ValueError, match=r"'5ms' is not a duration: write c\(5\) for always 5 ms"):
        parse_distribution("5ms")


@settings(deadline=None)
@given(st.text(max_size=80))
def test_no_text_does_anything_but_parse_or_raise_value_error(text: str) -> None:
    try:
        parsed = parse_distribution(text)
    except ValueError:
        return
    assert parsed.draw_ns(Random(1)) >= 0


def test_a_constant_draws_nothing() -> None:
    dice = Random(7)
    assert Constant(42).draw_ns(dice) == 42
    assert dice.random() == Random(7).random()


@settings(deadline=None)
@given(st.integers(0, 10**15 - 1), st.integers(0, 10**15), st.integers(0, 2**32))
def test_a_uniform_draw_is_within_its_bounds(low: int, width: int, seed: int) -> None:
    high = min(low + width, 10**15)
    assert low <= Uniform(low, high).draw_ns(Random(seed)) <= high


class Extreme(Random):
    """Dice that always show their largest number."""

    def random(self) -> float:
        return 1 - 2**-53


@settings(deadline=None)
@given(st.integers(0, 10**15))
def test_even_the_largest_number_of_the_dice_stays_within(high: int) -> None:
    assert Uniform(0, high).draw_ns(Extreme()) <= high
    assert Exponential(high).draw_ns(Extreme()) <= 37 * high


def test_both_ends_of_a_uniform_duration_occur() -> None:
    dice = Random(1)
    assert {Uniform(3, 5).draw_ns(dice) for _ in range(100)} == {3, 4, 5}


def test_the_mean_of_many_exponential_draws_is_near_the_mean() -> None:
    dice = Random(1)
    draws = [Exponential(1_000_000).draw_ns(dice) for _ in range(20_000)]
    assert 970_000 < sum(draws) / len(draws) < 1_030_000
    # A memoryless duration: about 37 % of all draws are longer than the mean.
    assert 0.35 < sum(draw > 1_000_000 for draw in draws) / len(draws) < 0.39


def test_the_same_dice_give_the_same_durations() -> None:
    service = parse_distribution("e(5)")
    one, other = Random(3), Random(3)
    assert [service.draw_ns(one) for _ in range(10)] == [service.draw_ns(other) for _ in range(10)]
