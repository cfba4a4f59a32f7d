"""``edgeless-sim top SCENARIO``: a run that can be watched.

On a terminal it is paced by the wall clock and drawn as it goes; elsewhere it runs as fast as it
can, and snapshots are printed. Not here: what is read from the journal (`report.live`), what it
looks like (`layout`), and deployments (`watching`).
"""

import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Final

import typer

from edgeless_sim.cli.layout import frame
from edgeless_sim.cli.problems import complain
from edgeless_sim.cli.run import leave, require_code
from edgeless_sim.cli.screen import Screen, is_screen, open_screen
from edgeless_sim.cli.top_options import TopOptions, printed
from edgeless_sim.cluster.deployment_plan import nodes_of
from edgeless_sim.kernel.clock import WallPacer, wall_seconds
from edgeless_sim.model.worlds import REAL_WORLDS, SIM
from edgeless_sim.report.live import LiveReader
from edgeless_sim.report.snapshot import Snapshot
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.outcome import Outcome
from edgeless_sim.scenario.runner import run_scenario
from edgeless_sim.scenario.shipped import find_scenario

__all__ = ["top_command"]

_WINDOW_S: Final = 5.0
_WINDOW_PRINTED_S: Final = 10.0
#: A window is at least so much of the wall clock's time: what is shorter cannot be watched.
_WINDOW_WALL_S: Final = 1.0
#: So often a wait is interrupted to draw.
_SLICE_S: Final = 0.05
#: Who is later than that behind the wall clock does not catch up.
_LATE_S: Final = 0.1


def top_command(options: TopOptions) -> None:
    """Watch a run or a deployment; raise `typer.Exit` unless everything holds in a run."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal without Unicode shows a question mark, and no bug.
        sys.stdout.reconfigure(errors="replace")
    live = options.form == "table" and not options.once and is_screen()
    if options.scenario is None:
        from edgeless_sim.cli.watching import watch_deployment

        watch_deployment(options, live=live)
        return
    _check_options(options, live=live)
    scenario = load_scenario(find_scenario(options.scenario), label=options.scenario)
    for warning in require_code(scenario):
        complain(f"warning: {warning}")
    outcome = _watched(scenario, options) if live else _printed_run(scenario, options)
    if outcome is not None:
        leave(outcome)


def _check_options(options: TopOptions, *, live: bool) -> None:
    if options.controller_url is not None or options.orchestrator_urls:
        raise typer.BadParameter("a scenario and the URLs of a deployment do not go together")
    if options.world in REAL_WORLDS and options.speed is not None:
        raise typer.BadParameter("--speed is for the world sim; others are real")
    if options.in_process and options.world not in REAL_WORLDS:
        raise typer.BadParameter(f"--in-process is for the worlds {', '.join(REAL_WORLDS)}")
    if options.once and options.interval_s is not None:
        raise typer.BadParameter("--once and --interval do not go together")
    if live and options.interval_s is not None:
        raise typer.BadParameter(
            "--interval is for output that is no terminal, for --format json|plain and for"
            " deployments"
        )


class _Run:
    """One run and how it is told: the reader, the time, and what comes next."""

    def __init__(
        self,
        scenario: Scenario,
        options: TopOptions,
        window_s: float,
        speed: float | None,
        on_slot: Callable[[int], None] | None = None,
    ) -> None:
        self._scenario = scenario
        self._options = options
        self._speed = speed
        self.reader = LiveReader(round(window_s * 1e9), cores=_cores(scenario), on_slot=on_slot)
        self._begun_ns: int | None = 0 if options.world == SIM else None
        self.now_ns = 0

    def reached(self, scenario_ns: int) -> None:
        """So late is it, in the scenario's time; in real time that begins when all are up."""
        if self._begun_ns is None:
            self._begun_ns = self.reader.reached_ns
        self.now_ns = self._begun_ns + scenario_ns

    def snapshot(self, now_ns: int, *, phase: str = "", rows_max: int | None = None) -> Snapshot:
        """The moment *now_ns* of the cluster's time; with *rows_max*, so many rows of each kind."""
        seed = self._options.seed
        return self.reader.snapshot(
            now_ns,
            title=self._scenario.label,
            nodes_max=rows_max or self._options.nodes_max,
            workflows_max=rows_max or self._options.workflows_max,
            phase=phase or self._next(now_ns),
            seed=self._scenario.seed if seed is None else seed,
            speed=self._speed,
        )

    def perform(self, pacer: "_Pacer | None", on_progress: Callable[[int], None]) -> Outcome:
        """Run it to its end."""
        return run_scenario(
            self._scenario,
            world=self._options.world,
            seed=self._options.seed,
            pacer=pacer,
            on_progress=on_progress,
            readers=(self.reader.read,),
            processes=not self._options.in_process,
        )

    def _next(self, now_ns: int) -> str:
        """The next step; before the cluster is up and after the last step, what is the case."""
        if self._begun_ns is None:
            return "coming up"
        for step in sorted(self._scenario.steps, key=lambda each: each.at):
            if self._begun_ns + step.at >= now_ns:
                return f"next: {step.do} at {(self._begun_ns + step.at) / 1e9:.4g} s"
        return f"until {(self._begun_ns + self._scenario.duration) / 1e9:.4g} s"


class _Pacer:
    """Keeps virtual time from running ahead of the wall clock, and tells it while it waits.

    It does not catch up either: who watches should not miss what happened while the machine was
    busy with something else.
    """

    def __init__(self, speed: float, tell: Callable[[int], None]) -> None:
        self._speed = speed
        self._step_ns = max(1, round(_SLICE_S * 1e9 * speed))
        self._tell = tell
        self._reached_ns = 0
        self._begin()

    def _begin(self) -> None:
        """From here on, virtual time follows the wall clock."""
        self._pacer = WallPacer(self._speed)
        self._begun_ns = self._reached_ns
        self._begun_s = wall_seconds()

    def wait_until(self, when_ns: int) -> None:
        """See `Pacer.wait_until`."""
        due_s = self._begun_s + (self._reached_ns - self._begun_ns) / 1e9 / self._speed
        if wall_seconds() > due_s + _LATE_S:
            self._begin()
        for slice_ns in range(self._reached_ns + self._step_ns, when_ns, self._step_ns):
            self._pacer.wait_until(slice_ns - self._begun_ns)
            self._tell(slice_ns)
        self._pacer.wait_until(when_ns - self._begun_ns)
        self._reached_ns = when_ns


def _watched(scenario: Scenario, options: TopOptions) -> Outcome | None:
    """Run it on a screen; None if somebody did not want to see the end."""
    speed = None if options.world != SIM else options.speed or 1.0
    window_s = max(_WINDOW_S, _WINDOW_WALL_S * (speed or 0))
    run = _Run(scenario, options, window_s, speed)
    outcome = None
    try:
        with open_screen() as screen:

            def show(scenario_ns: int) -> None:
                run.reached(scenario_ns)
                _draw(screen, run)

            _draw(screen, run)
            outcome = run.perform(None if speed is None else _Pacer(speed, show), show)
    except KeyboardInterrupt:
        printed(run.snapshot(run.now_ns), "table")
        raise
    end = run.snapshot(run.now_ns) if outcome is None else _end(run, outcome)
    printed(end, "table")
    _tell_result(outcome)
    return outcome


def _draw(screen: Screen, run: _Run) -> None:
    # More rows than the terminal is high are made in vain.
    screen.show(
        lambda width, height: frame(run.snapshot(run.now_ns, rows_max=height), width, height)
    )


def _printed_run(scenario: Scenario, options: TopOptions) -> Outcome:
    every_ns = round((options.interval_s or 0) * 1e9)
    due_ns = [every_ns]

    def on_slot(end_ns: int) -> None:
        # Slots are a tenth of the interval, which need not be a whole number of ns.
        if end_ns >= due_ns[0]:
            due_ns[0] += every_ns
            printed(run.snapshot(end_ns), options.form)

    window_s = options.interval_s or _WINDOW_PRINTED_S
    run = _Run(scenario, options, window_s, options.speed, on_slot if every_ns else None)
    pacer = None if options.speed is None else _Pacer(options.speed, run.reached)
    outcome = run.perform(pacer, run.reached)
    printed(_end(run, outcome), options.form)
    if options.form == "table":
        _tell_result(outcome)
    return outcome


def _end(run: _Run, outcome: Outcome) -> Snapshot:
    return run.snapshot(outcome.ended_ns, phase=outcome.verdict.value)


def _tell_result(outcome: Outcome | None) -> None:
    if outcome is None:
        return
    held = sum(each.holds for each in outcome.judgements)
    total = len(outcome.judgements)
    typer.echo(f"result: {outcome.verdict.value}, {held} of {total} expectations hold")


def _cores(scenario: Scenario) -> dict[str, int]:
    return {
        name: group.cpus
        for domain in scenario.topology().domains
        for name, group in nodes_of(domain)
    }
