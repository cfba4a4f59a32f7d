"""Runs a scenario: brings its cluster up, performs its steps, judges its expectations.

The clock is the cluster's. In virtual time ``at`` counts from the beginning of the run, so that it
is also the time that logs show; in real time, from when the cluster is up, which takes as long as
the machine takes. The journal is closed before teardown. Not here: tables and files of a run.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import anyio
from anyio.abc import TaskGroup

from edgeless_sim.cluster.capture import Capture
from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import LinkTopology
from edgeless_sim.errors import EdgelessError, ScenarioError, SettingsError, SimulationError
from edgeless_sim.kernel.journal import JournalReader
from edgeless_sim.kernel.loop import Pacer, run
from edgeless_sim.model.worlds import SIM, WORLDS
from edgeless_sim.scenario.beginning import Beginning
from edgeless_sim.scenario.expectations import AllComponentsRunning, EventsWithin, Expectation
from edgeless_sim.scenario.faults import StepPerformer
from edgeless_sim.scenario.hands import Hands, open_hands
from edgeless_sim.scenario.judge import Judge, one_line
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.observer import Observer
from edgeless_sim.scenario.outcome import (
    Judgement,
    Outcome,
    StepFailure,
    Verdict,
    WorkloadResult,
)
from edgeless_sim.scenario.shipped import find_scenario
from edgeless_sim.scenario.steps import Degrade, Partition, StartWorkflow, Step
from edgeless_sim.scenario.workload_runner import WorkloadRunner, fresh_counts

__all__ = ["check_world", "needs_relays", "open_cluster", "run_scenario"]

_SLICE_NS: Final = 20_000_000
_PROGRESS_NS: Final = 100_000_000


@asynccontextmanager
async def open_cluster(
    scenario: Scenario | Path | str, *, world: str = SIM, seed: int | None = None
) -> AsyncGenerator[Cluster]:
    """The cluster of *scenario*, up and ready; its steps are the caller's to make.

    A text is a path or the name of a shipped scenario. Raises `ScenarioError`, and `SettingsError`
    for a world that does not exist.
    """
    if isinstance(scenario, str):
        scenario = load_scenario(find_scenario(scenario), label=scenario)
    elif isinstance(scenario, Path):
        scenario = load_scenario(scenario)
    seed = scenario.seed if seed is None else seed
    async with open_topology(scenario.topology(), world=world, seed=seed) as cluster:
        yield cluster


def run_scenario(
    scenario: Scenario,
    *,
    world: str = SIM,
    seed: int | None = None,
    pacer: Pacer | None = None,
    on_progress: Callable[[int], None] | None = None,
    journal_sink: BinaryIO | None = None,
    readers: Sequence[JournalReader] = (),
    processes: bool = True,
    capture: Capture | None = None,
) -> Outcome:
    """Run *scenario* from beginning to end, on a loop of its own.

    *readers* get all records of the journal, from the first. *on_progress* gets the scenario's time
    in ns now and then. *pacer* is for virtual time, *processes* for the real worlds: whether each
    component gets a process of its own. *capture* gets all frames. Raises `SettingsError` for a
    world that does not exist, and `SimulationError` if the simulated world stops making sense.
    """
    check_world(scenario, world)
    experiment = _Experiment(
        scenario,
        world,
        scenario.seed if seed is None else seed,
        journal_sink,
        readers,
        processes=processes and world != SIM,
        on_progress=on_progress,
        capture=capture,
    )
    return run(
        experiment.perform,
        world=world,
        pacer=None if pacer is None else _Reporting(pacer, experiment, on_progress),
        on_progress=on_progress,
    )


def check_world(scenario: Scenario, world: str) -> None:
    """Raise `SettingsError` if there is no such world, `ScenarioError` if it is not for this."""
    if world not in WORLDS:
        raise SettingsError(f"there is no world {world!r}; there are: {', '.join(WORLDS)}")
    if world not in scenario.worlds:
        raise ScenarioError(
            f"{scenario.label}: the scenario is for {', '.join(scenario.worlds)} only (its key"
            f" 'worlds'), not for {world}"
        )


class _Experiment:
    """One run of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        world: str,
        seed: int,
        journal_sink: BinaryIO | None,
        readers: Sequence[JournalReader],
        *,
        processes: bool,
        on_progress: Callable[[int], None] | None,
        capture: Capture | None,
    ) -> None:
        self._scenario = scenario
        self._world = world
        self._seed = seed
        self._observer = Observer(
            [(x.component, x.within) for x in scenario.expectations if isinstance(x, EventsWithin)]
        )
        self._readers = (self._observer.read, *readers)
        self._processes = processes
        self._capture = capture
        self._on_progress = on_progress
        self._beginning = Beginning(journal_sink)
        self._judgements: dict[int, Judgement] = {}
        self._pending: dict[int, Step] = dict(enumerate(scenario.steps))
        self._failure: StepFailure | None = None
        self._counts = fresh_counts(scenario)
        self._workloads: tuple[WorkloadResult, ...] = ()
        #: The cluster's time from which those of the scenario count.
        self._begun_ns = 0
        self.cluster: Cluster | None = None
        self._task: asyncio.Task[Any] | None = None

    @property
    def interrupted(self) -> bool:
        """Whether somebody wants the run to end at once."""
        return self._task is not None and self._task.cancelling() > 0

    async def perform(self) -> Outcome:
        self._task = asyncio.current_task()
        async with open_topology(
            self._scenario.topology(),
            world=self._world,
            seed=self._seed,
            journal_sink=self._beginning,
            processes=self._processes,
            in_path=needs_relays(self._scenario),
            capture=self._capture,
        ) as cluster:
            self.cluster = cluster
            self._beginning.hand_over(cluster.journal, self._readers)
            if self._world != SIM:
                self._begun_ns = cluster.clock.now_ns()
                self._report_progress()
            await self._play(cluster)
            return self._outcome(cluster)

    async def _play(self, cluster: Cluster) -> None:
        begun_ns = self._begun_ns
        judge = Judge(cluster, self._observer, self._counts, begun_ns)
        failed = anyio.Event()
        async with (
            open_hands(self._scenario, cluster, self._observer, begun_ns) as hands,
            anyio.create_task_group() as group,
        ):
            performer = hands.performer
            workloads = self._workload_runner(cluster, hands, group)
            workloads.begin()
            for place, step in enumerate(self._scenario.steps):
                group.start_soon(self._step, place, step, performer, failed)
            for place, expectation in enumerate(self._scenario.expectations):
                when_ns = _judged_at(expectation)
                if when_ns is not None:
                    group.start_soon(self._judge_at, place, expectation, when_ns, performer, judge)
            left_ns = max(0, begun_ns + self._scenario.duration - cluster.clock.now_ns())
            with anyio.move_on_after(left_ns / 1e9):
                await failed.wait()
            if self._failure is None:
                self._check_pending(cluster)
            for place, expectation in enumerate(self._scenario.expectations):
                if self._failure is None and place not in self._judgements:
                    self._judgements[place] = await judge.judge(expectation)
            await cluster.caught_up()
            # Before anything is cancelled: the order of that is not part of what happened.
            cluster.conclude()
            self._workloads = tuple(counts.result() for counts in self._counts.values())
            workloads.stop()
            group.cancel_scope.cancel()

    def _workload_runner(self, cluster: Cluster, hands: Hands, group: TaskGroup) -> WorkloadRunner:
        return WorkloadRunner(
            self._scenario,
            cluster,
            self._observer,
            self._counts,
            client=hands.client,
            names=hands.names,
            group=group,
            begun_ns=self._begun_ns,
        )

    async def _step(
        self, place: int, step: Step, performer: StepPerformer, failed: anyio.Event
    ) -> None:
        await performer.until(step.at)
        try:
            await performer.perform(step, partial(self._pending.pop, place, None))
        except EdgelessError as error:
            self._pending.pop(place, None)
            if not step.may_fail and self._failure is None:
                self._fail(place, step, error)
                failed.set()

    def _fail(self, place: int, step: Step, error: EdgelessError) -> None:
        assert self.cluster is not None
        text = f"step[{place}] {one_line(step)}"
        self._failure = StepFailure(text, error, self.cluster.clock.now_ns())

    def _check_pending(self, cluster: Cluster) -> None:
        for place, step in self._pending.items():
            if not step.may_fail:
                reason = f"it had not ended at {cluster.clock.now_ns() / 1e9:g} s, as the run did"
                self._fail(place, step, SimulationError(reason))
                return

    async def _judge_at(
        self,
        place: int,
        expectation: Expectation,
        when_ns: int,
        performer: StepPerformer,
        judge: Judge,
    ) -> None:
        await performer.until(when_ns)
        self._judgements[place] = await judge.judge(expectation)

    def _report_progress(self) -> None:
        """Say how late it is, again and again: in real time no loop does, and readers want to see
        what happens as it happens."""
        cluster = self.cluster
        assert cluster is not None
        cluster.journal.flush()
        now_ns = cluster.scheduler.now_ns()
        if self._on_progress is not None:
            self._on_progress(now_ns - self._begun_ns)
        cluster.scheduler.background_at(now_ns + _PROGRESS_NS, self._report_progress)

    def _outcome(self, cluster: Cluster) -> Outcome:
        judgements = tuple(self._judgements[place] for place in sorted(self._judgements))
        return Outcome(
            scenario=self._scenario.label,
            seed=self._seed,
            world=self._world,
            verdict=self._verdict(judgements),
            digest=cluster.journal.digest(),
            records=cluster.journal.records_total,
            begun_ns=self._begun_ns,
            ended_ns=cluster.clock.now_ns(),
            judgements=judgements,
            failure=self._failure,
            workloads=self._workloads,
            files=cluster.files(),
            oddities=dict(sorted(cluster.counters().items())),
        )

    def _verdict(self, judgements: Iterable[Judgement]) -> Verdict:
        if self._failure is not None:
            return Verdict.BROKEN
        if not all(judgement.holds for judgement in judgements):
            return Verdict.FAILED
        steps = self._scenario.steps
        started = self._scenario.workloads or any(isinstance(x, StartWorkflow) for x in steps)
        if not started or not self._scenario.expectations:
            return Verdict.INCONCLUSIVE
        return Verdict.PASSED


class _Reporting:
    """A pacer that lets readers see what has happened before it makes everybody wait."""

    def __init__(
        self,
        pacer: Pacer,
        experiment: _Experiment,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._pacer = pacer
        self._experiment = experiment
        self._on_progress = on_progress
        self._reached_ns = 0

    def wait_until(self, when_ns: int) -> None:
        """See `Pacer.wait_until`."""
        if self._experiment.cluster is not None:
            self._experiment.cluster.journal.flush()
        if self._on_progress is not None:
            self._on_progress(when_ns)
        # In slices: an interrupt cancels the run's task, which is seen only between them.
        for slice_ns in range(self._reached_ns + _SLICE_NS, when_ns, _SLICE_NS):
            if self._experiment.interrupted:
                return
            self._pacer.wait_until(slice_ns)
        self._pacer.wait_until(when_ns)
        self._reached_ns = when_ns


def needs_relays(scenario: Scenario) -> bool:
    """Whether something between two components is to be slower or less sure than loopback."""
    hindered = any(isinstance(step, Partition | Degrade) for step in scenario.steps)
    links = scenario.topology().links
    return hindered or any(link != LinkTopology(link.side_a, link.side_b) for link in links)


def _judged_at(expectation: Expectation) -> int | None:
    if expectation.at is None and isinstance(expectation, AllComponentsRunning):
        return expectation.after + expectation.within
    return expectation.at
