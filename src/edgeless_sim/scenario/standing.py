"""A cluster over real sockets that stays up until it is told to stop, for people to work with.

Not here: what they are told, and where it is (`edgeless_sim.cluster.site`).
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.abc import TaskGroup

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.lifeline import StopSignal
from edgeless_sim.cluster.site import Site
from edgeless_sim.cluster.topology import LinkTopology, Topology
from edgeless_sim.errors import EdgelessError, SimulationError
from edgeless_sim.kernel.journal import JournalReader
from edgeless_sim.kernel.loop import run
from edgeless_sim.scenario.beginning import Beginning
from edgeless_sim.scenario.faults import StepPerformer
from edgeless_sim.scenario.hands import open_hands
from edgeless_sim.scenario.judge import one_line
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.observer import Observer
from edgeless_sim.scenario.runner import needs_relays
from edgeless_sim.scenario.steps import Step

__all__ = ["Standing", "run_standing"]

_FLUSH_NS: Final = 100_000_000
#: For the stop hooks of all functions; what is not done by then is cut short.
_NODES_STOP_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A cluster that is to stay up."""

    topology: Topology
    world: str
    seed: int
    site: Site
    processes: bool = False
    steps_of: Scenario | None = None
    """Whose steps are performed, at their times after it is up; None = nobody's."""


def run_standing(
    standing: Standing,
    *,
    readers: Sequence[JournalReader],
    on_ready: Callable[[Cluster], None],
    on_trouble: Callable[[str], None],
) -> None:
    """Run the cluster until SIGTERM or Ctrl-C, and stop it in order; a second one ends it at once.

    *readers* get the journal, a tenth of a second late. *on_trouble* is told of steps that fail;
    the cluster goes on. Raise `EdgelessError` if it cannot begin.
    """

    async def main() -> None:
        # Before anything is up: who says stop meanwhile is heard when it is.
        stop = StopSignal()
        beginning, observer = Beginning(None), Observer()
        async with open_topology(
            standing.topology,
            world=standing.world,
            seed=standing.seed,
            journal_sink=beginning,
            processes=standing.processes,
            in_path=_in_path(standing),
            site=standing.site,
        ) as cluster:
            beginning.hand_over(cluster.journal, [observer.read, *readers])
            _flush(cluster)
            on_ready(cluster)
            async with AsyncExitStack() as stack:
                player = None
                if (scenario := standing.steps_of) is not None:
                    begun_ns = cluster.clock.now_ns()
                    opening = open_hands(scenario, cluster, observer, begun_ns)
                    hands = await stack.enter_async_context(opening)
                    player = _Player(scenario, hands.performer, on_trouble)
                group = await stack.enter_async_context(anyio.create_task_group())
                if player is not None:
                    player.begin(group)
                await stop.wait()
                group.cancel_scope.cancel()
            await _stop_nodes(cluster, on_trouble)

    run(main, world="real")


def _in_path(standing: Standing) -> bool:
    if standing.steps_of is not None:
        return needs_relays(standing.steps_of)
    return any(x != LinkTopology(x.side_a, x.side_b) for x in standing.topology.links)


def _flush(cluster: Cluster) -> None:
    """Let readers see what has happened, again and again."""
    cluster.journal.flush()
    now_ns = cluster.scheduler.now_ns()
    cluster.scheduler.background_at(now_ns + _FLUSH_NS, _flush, cluster)


async def _stop_nodes(cluster: Cluster, on_trouble: Callable[[str], None]) -> None:
    """Stop all nodes at the same time: each waits for the stop hooks of its functions."""
    with anyio.move_on_after(_NODES_STOP_S) as scope:
        async with anyio.create_task_group() as group:
            for node in cluster.nodes.values():
                if node.alive:
                    group.start_soon(node.stop)
    if scope.cancelled_caught:
        on_trouble(f"stop hooks of functions took more than {_NODES_STOP_S:g} s, and were cut")
    # A component that has died before sends nothing any more.
    with suppress(SimulationError):
        await cluster.caught_up()


class _Player:
    """Performs the steps of a scenario; one that fails is told, and the others go on."""

    def __init__(
        self,
        scenario: Scenario,
        performer: StepPerformer,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._steps = scenario.steps
        self._performer = performer
        self._on_trouble = on_trouble

    def begin(self, group: TaskGroup) -> None:
        """Let each step be performed by a task of *group*."""
        for place, step in enumerate(self._steps):
            group.start_soon(self.play, place, step)

    async def play(self, place: int, step: Step) -> None:
        """Perform *step*, the one at *place*, when its time has come."""
        await self._performer.until(step.at)
        try:
            await self._performer.perform(step, _nothing)
        except EdgelessError as error:
            if not step.may_fail:
                self._on_trouble(f"step[{place}] {one_line(step)}: {error}")


def _nothing() -> None:
    """What is done when a step has taken effect."""
