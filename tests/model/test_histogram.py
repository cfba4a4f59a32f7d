"""Quantiles in little memory are near the exact ones."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from edgeless_sim.model.histogram import Histogram


def filled(*values: int) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def test_an_empty_histogram_is_all_zeroes() -> None:
    empty = Histogram()
    assert (empty.quantile_ns(0.5), empty.mean_ns, empty.maximum_ns) == (0, 0, 0)


def test_small_values_are_exact() -> None:
    histogram = filled(*range(1, 101))
    assert histogram.quantile_ns(0.5) == 50
    assert histogram.quantile_ns(0.99) == 99
    assert histogram.quantile_ns(1.0) == 100
    assert histogram.mean_ns == 50


def test_extremes_are_exact() -> None:
    histogram = filled(1_000_003, 2_000_000_033)
    assert histogram.quantile_ns(1.0) <= histogram.maximum_ns == 2_000_000_033
    assert histogram.quantile_ns(0.01) >= histogram.minimum_ns == 1_000_003


def test_a_negative_duration_counts_as_none() -> None:
    assert filled(-5).quantile_ns(0.5) == 0


@given(
    st.lists(st.integers(0, 10**18), min_size=1, max_size=200),
    st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]),
)
def test_a_quantile_is_within_one_percent(values: list[int], share: float) -> None:
    exact = sorted(values)[ceil(share * len(values)) - 1]
    assert abs(filled(*values).quantile_ns(share) - exact) <= exact / 100


@given(st.lists(st.integers(0, 10**18), min_size=2))
def test_the_order_does_not_matter(values: list[int]) -> None:
    forth, back = filled(*values), filled(*reversed(values))
    assert [forth.quantile_ns(s) for s in (0.1, 0.5, 0.9)] == [
        back.quantile_ns(s) for s in (0.1, 0.5, 0.9)
    ]


@given(st.lists(st.integers(0, 10**18)), st.lists(st.integers(0, 10**18)))
def test_two_of_them_together_are_as_one_that_has_counted_all(
    some: list[int], others: list[int]
) -> None:
    together, whole = filled(*some), filled(*some, *others)
    together.merge(filled(*others))
    facts = [
        (x.total, x.total_ns, x.minimum_ns, x.maximum_ns, *map(x.quantile_ns, (0.1, 0.5, 0.95)))
        for x in (together, whole)
    ]
    assert facts[0] == facts[1]
