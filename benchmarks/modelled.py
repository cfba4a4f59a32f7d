"""Modelled events with the network: a ring of MODELLED functions, beside the same in SimPy.

An event arrives after 5 ms of link, queues at its function, is served for an exponential time of
1 ms in the mean, and is sent on. As many events are in flight as there are functions. Both sides
note each event's latency: the product in its journal's records where that is on, SimPy in a list.
"""

from collections.abc import Generator
from random import Random
from typing import Any, Final

import simpy
from measure import Baseline, Figure, Figures, Sample, cpu, main, repeat
from rigs import LATENCY_NS, MODELLED, open_ring

from edgeless_sim.kernel import run

#: In flight, floor in events per CPU second.
FLOORS: Final = ((100, 250_000), (10_000, 150_000), (100_000, 60_000))
SERVICE_MS: Final = 1.0
#: Virtual milliseconds between two services of one event.
HOP_MS: Final = LATENCY_NS / 1e6 + SERVICE_MS
EVENTS: Final = 200_000
EVENTS_QUICK: Final = 40_000
NODES_MAX: Final = 1_000


def product(in_flight: int, events: int, repeats: int, *, journal: bool) -> Sample:
    """Events per CPU second of the product."""
    virtual_s = events / in_flight * HOP_MS / 1e3

    async def measured() -> Sample:
        async with open_ring(
            MODELLED,
            functions=in_flight,
            nodes=min(in_flight, NODES_MAX),
            init_payload=f"service=e({SERVICE_MS:g})",
            journal_enabled=journal,
        ) as ring:
            ring.put_in(in_flight)
            await ring.clock.sleep(10 * HOP_MS / 1e3)
            return Sample(tuple([await ring.events_per_cpu_s(virtual_s) for _ in range(repeats)]))

    return run(measured)


def in_simpy(in_flight: int, events: int, repeats: int) -> Sample:
    """The same in SimPy 4, as its documentation would have one write it."""
    environment = simpy.Environment()
    dice = Random(1)
    latencies: list[float] = []
    servers = [simpy.Resource(environment) for _ in range(in_flight)]

    def circle(place: int) -> Generator[Any, Any, None]:
        while True:
            sent_ms = environment.now
            yield environment.timeout(LATENCY_NS / 1e6)
            with servers[place].request() as turn:
                yield turn
                latencies.append(environment.now - sent_ms)
                yield environment.timeout(dice.expovariate(1 / SERVICE_MS))
            place = (place + 1) % in_flight

    for place in range(in_flight):
        environment.process(circle(place))
    environment.run(until=10 * HOP_MS)

    def once() -> float:
        latencies.clear()
        with cpu() as watch:
            environment.run(until=environment.now + events / in_flight * HOP_MS)
        return len(latencies) / watch.seconds

    return repeat(once, repeats, warm=False)


def figures(quick: bool) -> Figures:
    """Without the journal, which the floors are for, and with it; quickly: not the largest."""
    events, repeats = (EVENTS_QUICK, 3) if quick else (EVENTS, 7)
    for in_flight, floor in FLOORS[:2] if quick else FLOORS:
        baseline = Baseline("SimPy 4", in_simpy(in_flight, events, repeats), ratio_floor=3)
        name = f"modelled events, {in_flight:,} in flight"
        sample = product(in_flight, events, repeats, journal=False)
        yield Figure(f"{name}, journal off", "events/s", sample, floor, baseline)
        sample = product(in_flight, events, repeats, journal=True)
        baseline = Baseline("SimPy 4", baseline.sample)
        yield Figure(f"{name}, journal on", "events/s", sample, None, baseline)


if __name__ == "__main__":
    main(figures)
