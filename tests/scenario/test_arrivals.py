"""Models of arrival: literal times, and what holds for every plan and every seed."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.scenario.arrivals import MODELS, Arrival, ArrivalPlan, arrivals, parse_trace

S = 1_000_000_000
TRACE = (Arrival(0, S), Arrival(0, 3 * S), Arrival(2 * S, 90 * S), Arrival(50 * S, 60 * S))

plans = st.builds(
    ArrivalPlan,
    model=st.sampled_from(sorted(MODELS)),
    duration_ns=st.integers(1, 100 * S),
    interarrival_ns=st.integers(S // 10, 10 * S),
    lifetime_ns=st.integers(0, 10 * S),
    warmup_ns=st.integers(0, 200 * S),
    count_max=st.integers(1, 500),
    burst=st.integers(1, 50),
    period_ns=st.integers(S, 100 * S),
    amplitude=st.floats(0, 1),
    trace=st.just(TRACE),
)


def times(plan: ArrivalPlan, seed: int = 1) -> list[tuple[float, float]]:
    found = arrivals(plan, Entropy(seed).stream("test"))
    return [(each.at_ns / S, each.end_ns / S) for each in found]


@given(plans, st.integers(0, 1 << 32))
def test_arrivals_are_in_order_within_their_time_and_bounded(plan: ArrivalPlan, seed: int) -> None:
    found = list(arrivals(plan, Random(seed)))
    assert len(found) <= plan.count_max
    assert all(0 <= each.at_ns < plan.duration_ns for each in found)
    assert all(each.end_ns >= each.at_ns for each in found)
    assert all(later.at_ns >= earlier.at_ns for earlier, later in pairwise(found))


@given(plans, st.integers(0, 1 << 32))
def test_the_same_dice_give_the_same_arrivals(plan: ArrivalPlan, seed: int) -> None:
    assert list(arrivals(plan, Random(seed))) == list(arrivals(plan, Random(seed)))


@pytest.mark.parametrize("model", ["poisson", "diurnal"])
@pytest.mark.parametrize("seed", range(5))
def test_the_mean_is_what_was_asked_for(model: str, seed: int) -> None:
    # 100 whole periods. Five standard deviations of 10,000 arrivals are 5 %.
    plan = ArrivalPlan(model, 10_000 * S, S, 4 * S, period_ns=100 * S, amplitude=0.8)
    found = times(plan, seed)
    assert len(found) == pytest.approx(10_000, rel=0.05)
    stays = [end - at for at, end in found]
    assert sum(stays) / len(stays) == pytest.approx(4, rel=0.05)


def test_a_day_has_a_night_and_a_noon() -> None:
    plan = ArrivalPlan("diurnal", 10_000 * S, S, period_ns=100 * S, amplitude=1.0)
    phases = [at % 100 for at, _ in times(plan)]
    night = sum(phase < 10 or phase >= 90 for phase in phases)
    noon = sum(40 <= phase < 60 for phase in phases)
    assert noon > 10 * night


@pytest.mark.parametrize("model", ["constant", "incremental"])
def test_what_arrives_regularly(model: str) -> None:
    plan = ArrivalPlan(model, 10 * S, 4 * S, 5 * S)
    assert times(plan) == [(0, 5), (4, 9), (8, 13)]


def test_incremental_and_keep_adds_until_the_warmup_is_over_and_keeps_to_the_end() -> None:
    plan = ArrivalPlan("incremental-and-keep", 30 * S, 2 * S, 5 * S, warmup_ns=6 * S)
    assert times(plan) == [(0, 30.000001), (2, 30.000001), (4, 30.000001)]


def test_a_single_one_stays_to_the_end() -> None:
    assert times(ArrivalPlan("single", 30 * S)) == [(0, 30.000001)]


def test_bursts() -> None:
    plan = ArrivalPlan("burst", 5 * S, 2 * S, S, burst=2)
    assert times(plan) == [(0, 1), (0, 1), (2, 3), (2, 3), (4, 5), (4, 5)]


def test_a_trace_is_taken_as_it_is_and_ends_with_the_workload() -> None:
    assert times(ArrivalPlan("trace", 50 * S, trace=TRACE)) == [(0, 1), (0, 3), (2, 90)]


def test_a_first_poisson_arrival_is_not_at_once() -> None:
    firsts = {times(ArrivalPlan("poisson", 100 * S, S), seed)[0] for seed in range(10)}
    assert len(firsts) == 10
    assert (0, 0) not in firsts


def test_a_bound_cuts_the_rest_off() -> None:
    assert len(times(ArrivalPlan("constant", 10 * S, S, count_max=3))) == 3


def test_a_trace_is_read() -> None:
    assert parse_trace("0,1\n0.25, 3.5\n1e1,10.000000001\n") == (
        Arrival(0, S),
        Arrival(S // 4, 7 * S // 2),
        Arrival(10 * S, 10 * S + 1),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "at least one line"),
        ("0,1\n1", "line 2: expected 'arrival,end'"),
        ("0,1,2", "line 1: expected"),
        ("0,1\n\n2,3", "line 2: expected"),
        ("a,1", "line 1: 'a' is no number"),
        ("-1,1", "line 1: '-1' is not between"),
        ("nan,1", "line 1: 'nan' is not between"),
        ("0,1e99", "line 1: '1e99' is not between"),
        ("2,2", "line 1: the end is not after the arrival"),
        ("2,3\n1,4", "line 2: it arrives before"),
    ],
)
def test_a_bad_trace_says_in_which_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_trace(text)


def test_what_would_never_end_is_refused() -> None:
    with pytest.raises(SettingsError, match="poisson needs an interarrival time above 0"):
        ArrivalPlan("poisson", S)
    with pytest.raises(SettingsError, match="unknown model 'fractal'; known: burst"):
        ArrivalPlan("fractal", S, S)
