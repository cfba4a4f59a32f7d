"""A run whose virtual time stands still for ever ends with an error, and says when."""

import pytest

from edgeless_sim.errors import LivelockError
from edgeless_sim.kernel import current_scheduler, run
from edgeless_sim.kernel.clock import LoopClock


def test_timers_that_set_one_another_at_once_for_ever_end_the_run() -> None:
    async def main() -> None:
        scheduler = current_scheduler()

        def again() -> None:
            scheduler.call_at(scheduler.now_ns(), again)

        scheduler.call_at(3_000_000_000, again)
        await LoopClock.running().sleep(10)

    with pytest.raises(LivelockError, match=r"stands still at 3\.000000000 s"):
        run(main)


def test_many_timers_at_one_moment_are_no_standstill() -> None:
    fired: list[int] = []

    async def main() -> None:
        scheduler = current_scheduler()
        for number in range(200_000):
            scheduler.call_at(1_000_000_000, fired.append, number)
        await LoopClock.running().sleep(2)

    run(main)

    assert len(fired) == 200_000
