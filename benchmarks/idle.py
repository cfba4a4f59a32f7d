"""A cluster in which nothing happens: every node refreshes its registration every two seconds.

There is no baseline but time itself: how many virtual seconds pass per CPU second.
"""

from typing import Final

from measure import Figure, Figures, Sample, cpu, in_child, main
from nodes import topology

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.kernel import run

HOUR_S: Final = 3600.0
HOUR_FLOOR_S: Final = 5.0
SPEED_FLOOR: Final = 2.0


def pass_time(nodes: int, virtual_s: float, repeats: int) -> list[float]:
    """CPU seconds that *virtual_s* seconds of an idle cluster cost, several times."""

    async def measured() -> list[float]:
        async with open_topology(topology(nodes)) as cluster:
            # The first refreshes after the registration still change things.
            await cluster.clock.sleep(10)
            values = []
            for _ in range(repeats):
                with cpu() as watch:
                    await cluster.clock.sleep(virtual_s)
                values.append(watch.seconds)
            return values

    return run(measured)


def figures(quick: bool) -> Figures:
    """An hour of 100 nodes; the speed of 100, 1,000 and 10,000."""
    repeats = 3 if quick else 5
    part = 0.1 if quick else 1.0
    taken = in_child("idle", "pass_time", 100, HOUR_S * part, repeats)
    hour = Sample(tuple(value / part for value in taken), lower_is_better=True)
    yield Figure("100 idle nodes, one virtual hour", "CPU s", hour, HOUR_FLOOR_S)
    for nodes, floor in ((1_000, None), (10_000, SPEED_FLOOR)):
        virtual_s = 40_000 / nodes * (1 if quick else 10)
        taken = in_child("idle", "pass_time", nodes, virtual_s, repeats)
        speed = Sample(tuple(virtual_s / value for value in taken))
        yield Figure(f"{nodes:,} idle nodes, speed", "x real time", speed, floor)


if __name__ == "__main__":
    main(figures)
