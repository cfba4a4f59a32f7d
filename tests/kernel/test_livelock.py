"""A run whose virtual time stands still for ever ends with an error, and says when."""

import asyncio

import pytest

from edgeless_sim.errors import LivelockError, SimulationError
from edgeless_sim.kernel import VirtualTimeLoop, current_scheduler, run
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


def test_a_run_past_its_ceiling_ends() -> None:
    async def main() -> None:
        scheduler = current_scheduler()

        def tick() -> None:
            scheduler.background_at(scheduler.now_ns() + 1_000_000_000, tick)

        tick()
        await asyncio.get_running_loop().create_future()

    with (
        asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(ceiling_s=100_000)) as runner,
        pytest.raises(SimulationError, match="more than 100000 s"),
    ):
        runner.run(main())


def test_a_thread_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(SimulationError, match="threads"):
            await asyncio.to_thread(int)

    run(main)
