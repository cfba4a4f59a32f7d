"""Whatever happens in a cluster, the invariants hold afterwards, in each world.

As `tests/properties` in virtual time, with fewer and shorter stories: their time is real here. The
codes are those of the reliability contract; `residue` is I39, `JournalChecker` I22 to I28.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

import pytest

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.cluster.handles import DomainHandle, NodeHandle
from edgeless_sim.errors import EdgelessError
from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.testing.checkers import cluster_violations, residue
from edgeless_sim.testing.journal_checker import JournalChecker

pytestmark = pytest.mark.usefixtures("world")

NODES: Final = ("edge/0", "edge/1", "edge/2")
OPERATIONS_MAX: Final = 14
#: Crashes are in all stories, else most of them would be about starts and stops.
CRASHES: Final = ("crash a node", "crash the orchestrator", "crash a node")
OTHERS: Final = ("start", "stop", "cast", "cast", "call", "migrate")
PATIENCE_S: Final = 40.0


class Story:
    """A random story: what happens next depends on the dice alone."""

    def __init__(self, cluster: Cluster, relays: SpawnWorkflowRequest, dice: Random) -> None:
        self._cluster = cluster
        self._relays = relays
        self._dice = dice
        self._running: list[str] = []
        self._started = 0
        self.done: list[str] = []
        """What was asked for and not refused."""

    async def play(self) -> None:
        whats = [*CRASHES, *self._dice.choices(OTHERS, k=OPERATIONS_MAX - len(CRASHES))]
        self._dice.shuffle(whats)
        for what in ("start", "start", *whats):
            try:
                await self._perform(what)
                self.done.append(what)
            except EdgelessError:
                # The cluster may refuse what cannot be done in its present state.
                pass
            await self._cluster.clock.sleep(self._dice.choice((0.0, 0.02, 0.3)))

    async def _perform(self, what: str) -> None:
        cluster = self._cluster
        match what:
            case "crash a node":
                await self._crashed(cluster.node(self._dice.choice(NODES)))
            case "crash the orchestrator":
                await self._crashed(cluster.domain("edge"))
            case "start":
                self._started += 1
                self._running.append(f"w{self._started}")
                await cluster.start_workflow(self._relays, name=f"w{self._started}")
            case _:
                if self._running:
                    await self._with_workflow(what, self._dice.choice(self._running))

    async def _with_workflow(self, what: str, name: str) -> None:
        cluster = self._cluster
        match what:
            case "stop":
                self._running.remove(name)
                await cluster.stop_workflow(name)
            case "cast":
                await cluster.cast(f"{name}/first", f"event {len(self.done)}")
            case "call":
                await cluster.call(f"{name}/desk", "PING", timeout_s=1)
            case "migrate":
                await cluster.migrate(f"{name}/second", self._dice.choice(NODES))

    async def _crashed(self, handle: DomainHandle | NodeHandle) -> None:
        """It crashes, and is back after a while or at once."""
        await handle.crash()
        await self._cluster.clock.sleep(self._dice.choice((0.0, 0.3, 3.0)))
        await handle.restart()


async def becomes(cluster: Cluster, faults: Callable[[], Awaitable[list[str]]]) -> None:
    """Wait until nothing is wrong; say what still is when the patience ends."""
    found: list[str] = []

    async def sound() -> bool:
        found[:] = await faults()
        return not found

    try:
        await cluster.wait_for(sound, timeout_s=PATIENCE_S)
    except EdgelessError:
        assert found == []
        raise


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_invariants_hold_after_operations_and_crashes(
    cluster: Cluster, relays: SpawnWorkflowRequest, seed: int
) -> None:
    checker = JournalChecker()
    cluster.journal.subscribe(checker)
    story = Story(cluster, relays, Random(seed))
    await story.play()
    assert story.done.count("crash the orchestrator") == 1
    assert story.done.count("crash a node") == 2

    await becomes(cluster, lambda: cluster_violations(cluster))
    for status in await cluster.controller.list_workflows():
        await cluster.controller.stop(status.workflow_id)

    async def left() -> list[str]:
        return [f"I39: {count} {what}" for what, count in residue(cluster).items() if count]

    await becomes(cluster, left)
    await cluster.settled()
    await cluster.caught_up()
    assert checker.violations == []
    assert checker.unexplained() == []
    assert checker.handled > 0
