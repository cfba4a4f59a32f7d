"""One domain of a thousand and of ten thousand nodes, with ten functions on each: what it costs to
start workflows, to place, to be idle, and to get over the loss of nodes.

The ε-CON, the ε-ORC and the nodes are the product's, in simulation over the memory transport, with
links of 0.2 ms; functions are MODELLED. Most are in chains of ten, wired across nodes. All that
happens meanwhile counts, refreshes of the other nodes included. Each size in a process of its own,
because memory is measured too. The baseline of a size is the one before: a ratio of 1 is a cost per
unit that does not depend on the size.
"""

import asyncio
from collections.abc import Iterable
from random import Random
from typing import Any, Final, TypeAlias
from uuid import UUID

from measure import Baseline, Figure, Figures, Sample, cpu, in_child, main, resident_mib
from rigs import MODELLED

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.kernel import run
from edgeless_sim.model.function import SpawnFunctionRequest, StateSpecification
from edgeless_sim.model.ids import DomainId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.judge import Judge
from edgeless_sim.orchestrator.placement import create_strategy
from edgeless_sim.orchestrator.plan import Place, plan_refresh
from edgeless_sim.orchestrator.records import Component, Node, Placement
from edgeless_sim.orchestrator.requirements import feasible_nodes, function_needs
from edgeless_sim.orchestrator.view import ComponentKind, NodeView

#: Nodes and function instances.
SIZES: Final = ((1_000, 10_000), (10_000, 100_000))
DOMAIN: Final = "edge"
STRATEGY: Final = "LeastLoaded"
REFRESH_S: Final = 2.0
CHAIN: Final = 10
CLIENTS: Final = 500
STARTS: Final = 1_000
STRATEGIES: Final = ("Random", "RoundRobin", "LeastLoaded", "Spread", "BinPack", "LatencyAware")

STARTS_FLOOR: Final = 2_000
IDLE_CEILING_US: Final = 30
RECOVERY_CEILING_S: Final = 10
MEMORY_CEILING_MIB: Final = 1_024

Taken: TypeAlias = dict[str, list[float]]


def workflow(functions: int) -> SpawnWorkflowRequest:
    """A chain of *functions*."""
    return SpawnWorkflowRequest(
        tuple(
            WorkflowFunction(
                f"f{hop}",
                MODELLED,
                {"out": f"f{hop + 1}"} if hop + 1 < functions else {},
                {"init-payload": "service=c(5)"},
            )
            for hop in range(functions)
        )
    )


async def start_all(cluster: Cluster, request: SpawnWorkflowRequest, names: Iterable[str]) -> None:
    """Start a workflow of each name, `CLIENTS` at a time."""
    left = iter(names)

    async def client() -> None:
        for name in left:
            await cluster.start_workflow(request, name=name)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def recover(cluster: Cluster, victims: int) -> tuple[float, float, int]:
    """CPU seconds, virtual seconds and requests to nodes until all that *victims* hosted runs."""
    orchestrator = cluster.domain(DOMAIN).orchestrator
    state, performer = orchestrator._state, orchestrator._performer
    lost = [node for node in cluster.nodes.values() if node.alive][:victims]
    requests = performer.steps_total
    began_ns = cluster.clock.now_ns()
    with cpu() as watch:
        for node in lost:
            await node.crash()
        await cluster.clock.sleep(2 * REFRESH_S)
        while any(node.node_id in state.nodes for node in lost) or not all(
            component.placements() and component.placements()[0].confirmed
            for component in state.components.values()
        ):
            await cluster.clock.sleep(0.25)
    virtual_s = (cluster.clock.now_ns() - began_ns) / 1e9
    return watch.seconds, virtual_s, performer.steps_total - requests


def run_domain(nodes: int, instances: int, repeats: int) -> Taken:
    """All figures of a domain of *nodes* with *instances* functions."""
    topology = Topology(
        (DomainTopology(DOMAIN, (NodeGroup(count=nodes),), STRATEGY, 2 * REFRESH_S),),
        links=(LinkTopology(latency_ns=200_000),),
    )

    async def measured() -> Taken:
        taken: Taken = {"starts": [], "idle": []}
        async with open_topology(topology) as cluster:
            await cluster.clock.sleep(10)
            chains = (instances - repeats * STARTS) // CHAIN
            with cpu() as watch:
                await start_all(cluster, workflow(CHAIN), (f"chain{n}" for n in range(chains)))
            taken["chained"] = [chains * CHAIN / watch.seconds]
            for turn in range(repeats):
                names = (f"single{turn}.{n}" for n in range(STARTS))
                with cpu() as watch:
                    await start_all(cluster, workflow(1), names)
                taken["starts"].append(STARTS / watch.seconds)
            # Until the ε-CON has seen everything twice.
            await cluster.clock.sleep(20)
            for _ in range(repeats):
                with cpu() as watch:
                    await cluster.clock.sleep(10)
                taken["idle"].append(watch.seconds / nodes / 10 * REFRESH_S * 1e6)
            taken["mib"] = [resident_mib()]
            for percent in (1, 10):
                figures = await recover(cluster, nodes * percent // 100)
                taken[f"lose{percent}"] = [float(figure) for figure in figures]
            assert DOMAIN in await cluster.controller.domains(DomainId(DOMAIN)), (
                "the ε-CON has given the domain up"
            )
        return taken

    return run(measured)


def domain_figures(nodes: int, instances: int, taken: Taken, before: Taken | None) -> Figures:
    """What `run_domain` has taken, beside the size *before*."""
    large = nodes == SIZES[-1][0]
    title = f"{nodes:,} nodes, {instances // 1_000},000 functions"

    def figure(
        name: str,
        unit: str,
        key: str,
        floor: float | None = None,
        lower: bool = False,
        place: int = -1,
    ) -> Figure:
        def values(of: Taken) -> tuple[float, ...]:
            return tuple(of[key]) if place < 0 else (of[key][place],)

        sample = Sample(values(taken), lower)
        baseline = Baseline("a tenth of it", Sample(values(before), lower)) if before else None
        return Figure(f"{title}: {name}", unit, sample, floor if large else None, baseline)

    yield figure("starts, 1 function", "1/CPU s", "starts", STARTS_FLOOR)
    yield figure("starts in chains", "functions/s", "chained")
    yield figure("idle refresh", "us", "idle", IDLE_CEILING_US, lower=True)
    yield figure("resident", "MiB", "mib", MEMORY_CEILING_MIB, lower=True)
    for percent in (1, 10):
        ceiling = RECOVERY_CEILING_S if percent == 10 else None
        key = f"lose{percent}"
        yield figure(f"{percent} % lost", "CPU s", key, ceiling, lower=True, place=0)
        yield figure(f"{percent} % lost, meanwhile", "virtual s", key, lower=True, place=1)
        yield figure(f"{percent} % lost, to nodes", "requests", key, lower=True, place=2)


# --- decisions alone


def component(number: int) -> Component:
    """A function in the chain of ten to which *number* belongs."""
    request = SpawnFunctionRequest(
        MODELLED,
        {},
        StateSpecification(UUID(int=1)),
        WorkflowId(UUID(int=number // CHAIN)),
        name=f"f{number % CHAIN}",
    )
    follows = number % CHAIN + 1 < CHAIN
    mapping = {"out": LogicalId(UUID(int=number + 1))} if follows else {}
    lid = LogicalId(UUID(int=number))
    return Component(lid, ComponentKind.FUNCTION, request, function_needs(request), mapping)


def domain_state(nodes: int, components: int) -> DomainState:
    """A domain of *nodes*, over which *components* are spread evenly."""
    state, dice = DomainState(), Random(1)
    capabilities = NodeCapabilities(num_cpus=4, num_cores=4, runtimes=("MODELLED",))
    for number in range(nodes):
        node_id = NodeId(UUID(int=dice.getrandbits(128)))
        view = NodeView(node_id, f"{DOMAIN}/{number}", capabilities)
        state.add_node(Node(view, "memory://n", "memory://n", own=True))
    place_all(state, "RoundRobin", range(components), dice)
    return state


def place_all(state: DomainState, strategy: str, numbers: Iterable[int], dice: Random) -> None:
    """Add components and place them as *strategy* says."""
    for number in numbers:
        state.add(component(number))
    for step in plan_refresh(state, dice, Judge(strategy, create_strategy(strategy))):
        assert isinstance(step, Place), step
        state.place(state.components[step.logical_id], Placement(step.instance_id))


def place_by_asking_all(state: DomainState, numbers: Iterable[int]) -> None:
    """Add components; each is put on the emptiest of the nodes that could host it, all asked."""
    for number in numbers:
        each = component(number)
        found = feasible_nodes(each.needs, state.views())
        min(found.nodes, key=lambda view: len(state.nodes[view.node_id].instances))


def decision_figures(nodes: int, components: int, count: int, repeats: int) -> Figures:
    """Decisions per CPU second with each strategy, beside asking all nodes each time."""
    state = domain_state(nodes, components)
    naive = []
    for turn in range(repeats):
        with cpu() as watch:
            place_by_asking_all(state, range(turn * 20, turn * 20 + 20))
        naive.append(20 / watch.seconds)
    baseline = Baseline("all nodes asked", Sample(tuple(naive)))
    for strategy in STRATEGIES:
        values = []
        for _ in range(repeats):
            fresh: Any = domain_state(nodes, components)
            with cpu() as watch:
                place_all(fresh, strategy, range(components, components + count), Random(1))
            values.append(count / watch.seconds)
        name = f"{nodes:,} nodes, {components:,} functions: decisions, {strategy}"
        yield Figure(name, "1/CPU s", Sample(tuple(values)), None, baseline)


def figures(quick: bool) -> Figures:
    """Both sizes, then decisions alone; ``--quick`` leaves the large one out."""
    repeats = 3 if quick else 5
    before: Taken | None = None
    for nodes, instances in SIZES[:1] if quick else SIZES:
        taken = in_child("orchestration", "run_domain", nodes, instances, repeats)
        yield from domain_figures(nodes, instances, taken, before)
        before = taken
    yield from decision_figures(*SIZES[1], 2_000 if quick else 10_000, 1 if quick else 3)


if __name__ == "__main__":
    main(figures)
