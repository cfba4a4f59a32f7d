"""One seed: bring a cluster up, let things happen to it, heal it, wait, look, stop all, look again.

The same seed is the same journal, in any process.
"""

import asyncio
from random import Random
from typing import BinaryIO, Final

import anyio

from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.errors import SimulationError
from edgeless_sim.exploration.faults import FAULTS, revive_all
from edgeless_sim.exploration.hands import Hands
from edgeless_sim.exploration.operations import OPERATIONS
from edgeless_sim.exploration.setting import Setting
from edgeless_sim.exploration.swarm import Swarm, draw_swarm, occasions
from edgeless_sim.exploration.tally import SeedResult, Tally
from edgeless_sim.exploration.verdict import empty_violations, settled_violations
from edgeless_sim.exploration.watch import Watch
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.kernel.loop import run
from edgeless_sim.testing.journal_checker import JournalChecker

__all__ = ["T_SETTLE_S", "explore_seed"]

#: How long a healed cluster has at a keep-alive of 2 s (reliability 3).
T_SETTLE_S: Final = 60.0
_STOPPED_S: Final = 30.0
_VIOLATIONS_MAX: Final = 50


def explore_seed(seed: int, setting: Setting, *, journal: BinaryIO | None = None) -> SeedResult:
    """Run *seed* to its end, on a loop of its own; *journal* gets what happened.

    What the run breaks is a violation, whatever it raises.
    """
    exploration = _Exploration(seed, setting, journal)
    try:
        return run(exploration.perform)
    except Exception as error:  # noqa: BLE001 - the boundary: what ends a run is what was looked for
        return exploration.broken(error)


class _Exploration:
    def __init__(self, seed: int, setting: Setting, journal: BinaryIO | None) -> None:
        self._seed = seed
        self._setting = setting
        self._journal = journal
        self._entropy = Entropy(seed)
        self._found: list[str] = []
        self._unhandled: list[str] = []
        self._checker = JournalChecker()
        self._watch: Watch | None = None
        self._hands: Hands | None = None
        self._digest = ""

    async def perform(self) -> SeedResult:
        """See `explore_seed`."""
        asyncio.get_running_loop().set_exception_handler(self._note_unhandled)
        swarm = draw_swarm(self._entropy.stream("explore/swarm"))
        async with open_topology(
            self._setting.topology, seed=self._seed, journal_sink=self._journal
        ) as cluster:
            hands = self._hands = Hands(cluster, self._setting, self._entropy)
            cluster.journal.subscribe(self._checker)
            try:
                await self._play_and_judge(hands, swarm)
            finally:
                cluster.journal.flush()
                self._digest = cluster.journal.digest()
            cluster.conclude()
            return self._result()

    def broken(self, error: Exception) -> SeedResult:
        """The result of a run that *error* has ended, with what had been found until then."""
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        # A simulation fails if nothing happens any more, or if it never comes to rest.
        what = "G04" if isinstance(error, SimulationError) else "I37"
        self._found.insert(0, f"{what}: {type(error).__name__}: {error}")
        return self._result()

    async def _play_and_judge(self, hands: Hands, swarm: Swarm) -> None:
        watch = self._watch = Watch(hands, lone=swarm.lone)
        await self._play(hands, swarm)
        await self._heal(hands)
        self._found += await settled_violations(hands)
        watch.end()
        await self._stop_all(hands)
        self._found += empty_violations(hands.cluster)
        hands.cluster.journal.flush()
        self._found += [f"I24: event {each} is unexplained" for each in self._checker.unexplained()]
        hands.tally.checks.update(("I21", "I22", "I23", "I24", "I28", "I29", "I37", "I39", "I44"))
        hands.tally.effects.update(hands.cluster.counters())

    async def _play(self, hands: Hands, swarm: Swarm) -> None:
        """Let it happen; return when all of it is over."""
        async with anyio.create_task_group() as group:
            for occasion in occasions(swarm, self._entropy.stream("explore/occasions")):
                await hands.sleep(occasion.pause_s)
                dice = hands.dice(occasion.kind)
                perform = self._fail if occasion.fault else self._operate
                group.start_soon(perform, hands, occasion.kind, dice)

    async def _operate(self, hands: Hands, kind: str, dice: Random) -> None:
        if await OPERATIONS[kind](hands, dice):
            hands.tally.operations[kind] += 1

    async def _fail(self, hands: Hands, kind: str, dice: Random) -> None:
        hands.tally.faults[kind] += 1
        await FAULTS[kind](hands, dice)

    async def _heal(self, hands: Hands) -> None:
        hands.cluster.network.heal_all()
        await revive_all(hands, hands.dice("heal"))
        late_s = max(0, hands.late_until_ns - hands.now_ns) / 1e9
        keep_alives = max(1.0, self._setting.keep_alive_s / 2)
        await hands.sleep(late_s + T_SETTLE_S * keep_alives)
        if self._setting.quiet:
            await hands.cluster.settled()

    async def _stop_all(self, hands: Hands) -> None:
        controller = hands.cluster.controller
        for status in await controller.list_workflows():
            await controller.stop(status.workflow_id)
            hands.promises.stop_answered(status.workflow_id, hands.now_ns)
        await hands.sleep(_STOPPED_S)
        await hands.cluster.settled()

    def _note_unhandled(self, _loop: object, context: dict[str, object]) -> None:
        self._unhandled.append(f"I37: {context['message']}: {context.get('exception')!r}")

    def _result(self) -> SeedResult:
        hands = self._hands
        cluster = None if hands is None else hands.cluster
        watched = () if self._watch is None else self._watch.violations
        violations = (*self._found, *watched, *self._checker.violations, *self._unhandled)
        return SeedResult(
            self._seed,
            self._digest,
            violations[:_VIOLATIONS_MAX],
            Tally() if hands is None else hands.tally,
            0.0 if cluster is None else cluster.clock.now_ns() / 1e9,
            0 if cluster is None else cluster.journal.records_total,
        )
