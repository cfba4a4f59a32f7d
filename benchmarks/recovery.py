"""How long, in virtual time, until all is well again: node, domain, ε-ORC and ε-CON lost.

    python benchmarks/recovery.py [--quick] [NAME ...]

And how long a function that migrates handles nothing, and a start takes. A seed draws when within
a period something happens, and all that chance decides; the same seeds give the same table.
Nodes keep alive every two seconds, links take 0.2 ms. All is well when each component has exactly
one instance on a living node, every output leads to one, and the ε-CON has no orphan. Processes
take no time here: a table of what the protocol needs, deadlines above all, and not of how fast the
machine is.
"""

import argparse
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from random import Random
from typing import Final, TypeAlias

from rigs import MODELLED

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.kernel import run
from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction

KEEP_ALIVE_S: Final = 2.0
LATENCY_NS: Final = 200_000
JITTER_NS: Final = 50_000
POLL_S: Final = 0.02
#: Longest recovery that is waited for: T_settle of the reliability contract.
SETTLE_S: Final = 60
#: All has to stay well for so long.
CALM_S: Final = 8
EVENTS_EVERY_S: Final = 0.01

Seconds: TypeAlias = list[float]
Part: TypeAlias = tuple[str, str]


def chain(functions: int, service: str = "c(1)") -> SpawnWorkflowRequest:
    """Functions ``f0``, ``f1`` … of which each casts to the next."""
    return SpawnWorkflowRequest(
        tuple(
            WorkflowFunction(
                f"f{hop}",
                MODELLED,
                {"out": f"f{hop + 1}"} if hop + 1 < functions else {},
                {"init-payload": f"service={service}"},
            )
            for hop in range(functions)
        )
    )


@asynccontextmanager
async def edge(seed: int, *, domains: int, nodes: int) -> AsyncGenerator[Cluster]:
    """A cluster of *domains* with *nodes* each, some seconds old."""
    topology = Topology(
        tuple(
            DomainTopology(f"domain{n}", (NodeGroup(count=nodes, cpus=4),), "Random", KEEP_ALIVE_S)
            for n in range(domains)
        ),
        links=(LinkTopology(latency_ns=LATENCY_NS, jitter_ns=JITTER_NS),),
    )
    async with open_topology(topology, seed=seed) as cluster:
        await cluster.clock.sleep(4)
        yield cluster


class Watch:
    """Looks again and again whether all is well, and remembers when it was not."""

    def __init__(self, cluster: Cluster, parts: set[Part], poll_s: float = POLL_S) -> None:
        self._cluster = cluster
        self._parts = parts
        self._poll_s = poll_s

    def well(self) -> bool:
        """Whether each component runs once, and all outputs lead to something that runs."""
        hosted = [
            function
            for node in self._cluster.nodes.values()
            if node.alive
            for function in node.node.agent.functions.values()
            if not function.stopping
        ]
        parts = [(str(each.request.workflow_id), each.request.name) for each in hosted]
        if len(parts) != len(self._parts) or set(parts) != self._parts:
            return False
        if any(phase != "active" for phase in phases(self._cluster)):
            return False
        living = {each.pid.key for each in hosted}
        return all(target in living for each in hosted for target in each.handle.targets.values())

    async def recovery_s(self) -> float:
        """Seconds from now until all is well for good; more than `SETTLE_S` if it never is."""
        clock = self._cluster.clock
        began_ns = clock.now_ns()
        ill_s = 0.0
        while (now_s := (clock.now_ns() - began_ns) / 1e9) < min(SETTLE_S, ill_s + CALM_S):
            if not self.well():
                ill_s = now_s
            await clock.sleep(self._poll_s)
        return ill_s + self._poll_s


def phases(cluster: Cluster) -> Iterable[str]:
    """In which phases the ε-CON has workflows."""
    return cluster.con.controller.census()[0]


async def start_chains(cluster: Cluster, count: int, functions: int) -> set[Part]:
    """Start *count* chains, and wait until the ε-CON has seen them; return their components."""
    parts = set()
    for number in range(count):
        status = await cluster.start_workflow(chain(functions), name=f"w{number}")
        parts |= {(str(status.workflow_id), each.name) for each in status.mapping}
    await cluster.clock.sleep(6)
    return parts


async def within_a_period(cluster: Cluster, dice: Random) -> None:
    """Wait for a moment that no timer prefers."""
    await cluster.clock.sleep(2 * KEEP_ALIVE_S * dice.random())


async def node_loss(seed: int) -> Seconds:
    """One of six nodes of a domain vanishes."""
    dice = Random(seed)
    async with edge(seed, domains=1, nodes=6) as cluster:
        watch = Watch(cluster, await start_chains(cluster, 6, 3))
        await within_a_period(cluster, dice)
        hosting = [node for node in cluster.nodes.values() if node.node.agent.functions]
        await dice.choice(hosting).crash()
        return [await watch.recovery_s()]


async def domain_loss(seed: int) -> Seconds:
    """One of three domains vanishes, ε-ORC and nodes."""
    dice = Random(seed)
    async with edge(seed, domains=3, nodes=4) as cluster:
        watch = Watch(cluster, await start_chains(cluster, 9, 3))
        await within_a_period(cluster, dice)
        name = dice.choice(list(cluster.domains))
        await cluster.domain(name).crash()
        for node in cluster.nodes.values():
            if node.domain.name == name:
                await node.crash()
        return [await watch.recovery_s()]


async def orchestrator_restart(seed: int) -> Seconds:
    """The ε-ORC of a domain of six nodes is killed, and comes back within three seconds."""
    dice = Random(seed)
    async with edge(seed, domains=1, nodes=6) as cluster:
        watch = Watch(cluster, await start_chains(cluster, 6, 3))
        await within_a_period(cluster, dice)
        (domain,) = cluster.domains.values()
        await domain.crash()
        await cluster.clock.sleep(3 * dice.random())
        await domain.restart()
        return [await watch.recovery_s()]


async def controller_restart(seed: int) -> Seconds:
    """The ε-CON of three domains with 1,000 workflows is killed, and comes back with its store."""
    dice = Random(seed)
    async with edge(seed, domains=3, nodes=10) as cluster:
        watch = Watch(cluster, await start_chains(cluster, 1_000, 1), poll_s=0.1)
        await within_a_period(cluster, dice)
        await restart_controller(cluster, 3 * dice.random())
        return [await watch.recovery_s()]


async def restart_controller(cluster: Cluster, down_s: float) -> None:
    """Kill the ε-CON, and let it come back with what it had stored."""
    await cluster.con.crash()
    await cluster.clock.sleep(down_s)
    await cluster.con.restart()


class Handled:
    """When the instances of component ``f1`` have handled events; a reader of the journal."""

    def __init__(self) -> None:
        self._components: dict[int, str] = {}
        self._instances: set[int] = set()
        self.times_ns: list[int] = []

    def read(self, records: Sequence[Record]) -> None:
        """Take records."""
        for when_ns, kind, *fields in records:
            if kind == "def" and fields[1] == "component":
                self._components[fields[0]] = fields[2]
            elif kind == "start" and self._components.get(fields[1], "").endswith("/f1"):
                self._instances.add(fields[0])
            elif kind == "end" and fields[0] and fields[1] in self._instances:
                self.times_ns.append(when_ns)


async def migration_gap(seed: int) -> Seconds:
    """Ten migrations of a function that gets an event every 10 ms from one that stays."""
    dice = Random(seed)
    gaps: Seconds = []
    async with edge(seed, domains=1, nodes=4) as cluster:
        handled = Handled()
        cluster.journal.subscribe(handled.read)
        await cluster.start_workflow(chain(2), name="w")
        await cluster.clock.sleep(6)
        (status,) = await cluster.controller.list_workflows()
        source, target = status.mapping
        assert source.instance is not None
        url = cluster.node(source.node).url
        orchestrator = cluster.domain("domain0").orchestrator
        for _ in range(10):
            here = await cluster.host_of("w/f1")
            there = dice.choice([name for name in cluster.nodes if name != here])
            begins_ns = cluster.clock.now_ns()
            moves_at = 20 + dice.randrange(20)
            for number in range(250):
                cluster.client.cast(source.instance, url, "x")
                await cluster.clock.sleep(EVENTS_EVERY_S * dice.random() / 10)
                if number == moves_at:
                    orchestrator.migrate(target.logical_id, [there])
                next_ns = begins_ns + round((number + 1) * EVENTS_EVERY_S * 1e9)
                await cluster.clock.sleep((next_ns - cluster.clock.now_ns()) / 1e9)
            await cluster.clock.sleep(2)
            assert await cluster.host_of("w/f1") == there, "it has not migrated"
            cluster.journal.flush()
            times_ns = [when_ns for when_ns in handled.times_ns if when_ns >= begins_ns]
            longest_ns = max(later - earlier for earlier, later in pairwise(times_ns))
            gaps.append(max(0.0, longest_ns / 1e9 - EVENTS_EVERY_S))
    return gaps


async def workflow_start(seed: int) -> Seconds:
    """A client starts workflows of one function, one after the other, until each is answered."""
    dice = Random(seed)
    taken: Seconds = []
    async with edge(seed, domains=3, nodes=4) as cluster:
        for number in range(10):
            await cluster.clock.sleep(dice.random())
            began_ns = cluster.clock.now_ns()
            await cluster.start_workflow(chain(1), name=f"w{number}")
            taken.append((cluster.clock.now_ns() - began_ns) / 1e9)
    return taken


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of the table."""

    name: str
    what: str
    play: Callable[[int], Awaitable[Seconds]]
    seeds: int
    #: Goals in seconds by quantile, as the reliability contract has them.
    goals: dict[float, float]


TRIALS: Final = (
    Trial("node", "node lost", node_loss, 300, {0.5: 6, 0.99: 10}),
    Trial("domain", "domain lost", domain_loss, 300, {0.99: 15}),
    Trial("orchestrator", "ε-ORC restarted", orchestrator_restart, 300, {}),
    Trial("controller", "ε-CON restarted, 1,000 workflows", controller_restart, 50, {0.99: 30}),
    Trial("migration", "migration, nothing handled", migration_gap, 30, {0.99: 0.25}),
    Trial("start", "start, one function", workflow_start, 50, {0.99: 1, 1.0: 5}),
)
QUANTILES: Final = (0.5, 0.95, 0.99, 1.0)
ROW: Final = "{:<34} {:>6} {:>6} {:>9} {:>9} {:>9} {:>9}  {:<24} {:<7} {:>6}\n"


def quantile(values: Seconds, q: float) -> float:
    """The least value that a share of *q* does not exceed."""
    return sorted(values)[ceil(q * len(values)) - 1]


def played(trial: Trial, seed: int) -> Seconds:
    """One seed of a trial, in a world of its own."""

    async def main() -> Seconds:
        return await trial.play(seed)

    return run(main)


def main() -> None:
    """Play all trials and print each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [trial.name for trial in TRIALS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a tenth of the seeds")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    head = ("what, in s of virtual time", "seeds", "times", "p50", "p95", "p99", "max", "goal", "")
    sys.stdout.write(ROW.format(*head, "CPU s"))
    for trial in TRIALS:
        if options.names and trial.name not in options.names:
            continue
        began_s = time.process_time()
        seeds = range(max(1, trial.seeds // 10) if options.quick else trial.seeds)
        values = [value for seed in seeds for value in played(trial, seed)]
        met = all(quantile(values, q) <= goal for q, goal in trial.goals.items())
        verdict = ("met" if met else "MISSED") if trial.goals else ""
        goal = ", ".join(f"{_named(q)} {goal:g}" for q, goal in trial.goals.items())
        figures = (f"{quantile(values, q):.4f}" for q in QUANTILES)
        spent = f"{time.process_time() - began_s:.0f}"
        cells = (trial.what, len(seeds), len(values), *figures, goal, verdict, spent)
        sys.stdout.write(ROW.format(*cells))
        sys.stdout.flush()


def _named(q: float) -> str:
    return "max" if q == 1 else f"p{q * 100:g}"


if __name__ == "__main__":
    main()
