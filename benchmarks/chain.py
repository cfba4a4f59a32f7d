"""Requests through chains of three functions on 1,000 nodes, beside the same in SimPy.

333 workflows, placed by the platform, one function per node; requests arrive at the whole as a
Poisson process, each at a workflow drawn at random, by links of 5 ms. Nodes serve one request at a
time. The journal's digest is on; it holds the latency of every hop, SimPy's list that of every
request. Modelled functions and SimPy's nodes serve for 5 ms; WebAssembly takes what its fuel says.
"""

from collections.abc import Generator
from random import Random
from typing import Any, Final

import simpy
from measure import Baseline, Figure, Figures, Sample, cpu, main, repeat
from nodes import topology
from rigs import LATENCY_NS, MODELLED, PAYLOAD, guest

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.kernel import run
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction

NODES: Final = 1_000
HOPS: Final = 3
WORKFLOWS: Final = NODES // HOPS
REQUESTS_PER_S: Final = 20_000
SERVICE_MS: Final = 5.0
FLOOR_MODELLED: Final = 20_000
FLOOR_WASM: Final = 10_000


def workflow(code: FunctionClassSpecification, init_payload: str) -> SpawnWorkflowRequest:
    """A chain of `HOPS` functions; the last one casts to nobody."""
    annotations = {"init-payload": init_payload} if init_payload else {}
    return SpawnWorkflowRequest(
        tuple(
            WorkflowFunction(
                f"f{hop}", code, {"out": f"f{hop + 1}"} if hop + 1 < HOPS else {}, annotations
            )
            for hop in range(HOPS)
        )
    )


class Arrivals:
    """Sends requests to the first functions, from outside the cluster."""

    def __init__(self, cluster: Cluster, targets: list[tuple[InstanceId, str]]) -> None:
        self._scheduler = cluster.scheduler
        # The experimenter's own endpoint: `Cluster.cast` asks the ε-CON for the place each time.
        self._cast = cluster.client.cast
        self._targets = targets
        self._dice = Random(1)
        self.sent = 0

    def begin(self) -> None:
        """Send a request, and the next one later."""
        dice = self._dice
        target, url = self._targets[int(dice.random() * len(self._targets))]
        self._cast(target, url, PAYLOAD)
        self.sent += 1
        scheduler = self._scheduler
        pause_ns = int(dice.expovariate(REQUESTS_PER_S) * 1e9)
        scheduler.call_at(scheduler.now_ns() + pause_ns, self.begin)


async def first_functions(cluster: Cluster) -> list[tuple[InstanceId, str]]:
    """Where requests are to be sent: for each workflow, its first function and its node's URL."""
    found = []
    for status in await cluster.controller.list_workflows():
        first = next(each for each in status.mapping if each.name == "f0")
        assert first.instance is not None, "the platform has placed it long ago"
        found.append((first.instance, cluster.node(first.node).url))
    return found


def product(
    code: FunctionClassSpecification, init_payload: str, requests: int, repeats: int
) -> Sample:
    """Requests simulated per CPU second, all `HOPS` of them."""

    async def measured() -> Sample:
        async with open_topology(topology(NODES)) as cluster:
            request = workflow(code, init_payload)
            for number in range(WORKFLOWS):
                await cluster.start_workflow(request, name=f"w{number}")
            await cluster.settled()
            # Where they are comes with the domain's next refresh.
            await cluster.clock.sleep(10)
            targets = await first_functions(cluster)
            arrivals = Arrivals(cluster, targets)
            arrivals.begin()
            await cluster.clock.sleep(1)
            values = []
            for _ in range(repeats):
                before = arrivals.sent
                with cpu() as watch:
                    await cluster.clock.sleep(requests / REQUESTS_PER_S)
                values.append((arrivals.sent - before) / watch.seconds)
            assert not cluster.counters()["queue full"], "the chains are overloaded"
            return Sample(tuple(values))

    return run(measured)


def in_simpy(requests: int, repeats: int) -> Sample:
    """The same model in SimPy 4, as its documentation would have one write it."""
    environment = simpy.Environment()
    dice = Random(1)
    latencies: list[float] = []
    nodes = [simpy.Resource(environment) for _ in range(NODES)]

    def request(chain: int) -> Generator[Any, Any, None]:
        began_ms = environment.now
        for hop in range(HOPS):
            yield environment.timeout(LATENCY_NS / 1e6)
            with nodes[chain * HOPS + hop].request() as turn:
                yield turn
                yield environment.timeout(SERVICE_MS)
        latencies.append(environment.now - began_ms)

    def arrivals() -> Generator[Any, Any, None]:
        while True:
            yield environment.timeout(dice.expovariate(REQUESTS_PER_S) * 1e3)
            environment.process(request(int(dice.random() * WORKFLOWS)))

    environment.process(arrivals())
    environment.run(until=1_000)

    def once() -> float:
        latencies.clear()
        with cpu() as watch:
            environment.run(until=environment.now + requests / REQUESTS_PER_S * 1e3)
        return len(latencies) / watch.seconds

    return repeat(once, repeats, warm=False)


def figures(quick: bool) -> Figures:
    """Modelled functions, then WebAssembly at each hop."""
    requests, repeats = (10_000, 3) if quick else (40_000, 7)
    simpy_sample = in_simpy(requests, repeats)
    baseline = Baseline("SimPy 4", simpy_sample)
    sample = product(MODELLED, f"service=c({SERVICE_MS:g})", requests, repeats)
    name = f"{HOPS}-hop chain, {NODES:,} nodes"
    yield Figure(f"{name}, modelled", "requests/s", sample, FLOOR_MODELLED, baseline)
    sample = product(guest("spin"), "", requests, repeats)
    yield Figure(f"{name}, WebAssembly", "requests/s", sample, FLOOR_WASM, baseline)


if __name__ == "__main__":
    main(figures)
