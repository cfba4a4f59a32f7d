"""Back-ends in simulation: one state per address, and what an attempt at one comes to."""

from collections import Counter
from collections.abc import Callable

import pytest

from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel import current_scheduler, run
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.resources.simulated.backends import Backends, Reach, backend_address

WEB = "http://web:80"


def attempts(prepare: Callable[[Backends], None], timeout_s: float = 1.0) -> tuple[Reach, float]:
    """What came of an attempt at `WEB`, and when, in seconds."""
    found: list[tuple[Reach, float]] = []

    async def main() -> None:
        clock = LoopClock.running()
        backends = Backends(current_scheduler())
        prepare(backends)
        backends.reach(
            WEB, lambda reach: found.append((reach, clock.now_ns() / 1e9)), timeout_s=timeout_s
        )
        assert found == [], "it answers later, never at once"
        await clock.sleep(60)

    run(main)
    (one,) = found
    return one


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://user:secret@Cache/3", "redis://cache:6379"),
        ("redis://cache:7000", "redis://cache:7000"),
        ("http://web/a?b#c", "http://web:80"),
        ("https://web", "https://web:443"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("sqlite://file.db", "sqlite://file.db"),
        ("sqlite:///file.db", "sqlite:///file.db"),
    ],
)
def test_an_address_is_where_a_url_leads(url: str, address: str) -> None:
    assert backend_address(url) == address


@pytest.mark.parametrize("url", ["", "web", "http://web:port", "http://[::1"])
def test_what_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        backend_address(url)


def test_a_back_end_that_nobody_spoke_of_is_well_and_takes_no_time() -> None:
    assert attempts(lambda backends: None) == (Reach.REACHED, 0.0)


def test_one_that_is_down_refuses_at_once() -> None:
    def down(backends: Backends) -> None:
        backends.state(WEB).down = True
        backends.state(WEB).delay_ns = 500_000_000

    assert attempts(down) == (Reach.REFUSED, 0.0)


def test_a_slow_one_takes_its_time_or_is_late() -> None:
    def slow(backends: Backends) -> None:
        backends.state(WEB).delay_ns = 700_000_000

    assert attempts(slow) == (Reach.REACHED, 0.7)
    assert attempts(slow, timeout_s=0.2) == (Reach.LATE, 0.2)


def test_a_wrong_one_answers_nonsense() -> None:
    def wrong(backends: Backends) -> None:
        backends.state(WEB).wrong = True

    assert attempts(wrong) == (Reach.WRONG, 0.0)


def test_one_that_goes_down_on_the_way_does_not_answer() -> None:
    def going(backends: Backends) -> None:
        backends.state(WEB).delay_ns = 700_000_000
        current_scheduler().call_at(300_000_000, setattr, backends.state(WEB), "down", True)

    assert attempts(going) == (Reach.REFUSED, 0.7)


def test_what_is_held_is_made_once_per_address_and_kind() -> None:
    async def main() -> None:
        backends = Backends(current_scheduler())
        backends.of(Counter[str], "a")["key"] = 7
        assert backends.of(Counter[str], "a")["key"] == 7
        assert backends.of(Counter[str], "b") == {}
        assert backends.of(list[str], "a") == []
        assert list(backends.all(Counter[str])) == ["a", "b"]

    run(main)
