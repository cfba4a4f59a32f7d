"""``edgeless-sim run``: one scenario, from its file to what is printed and kept."""

import shlex
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

import typer

from edgeless_sim.cli.problems import Exit, complain, exit_code
from edgeless_sim.cli.progress import progress
from edgeless_sim.cluster.capture import Capture
from edgeless_sim.errors import FunctionSpecError, ScenarioError
from edgeless_sim.kernel.clock import WallPacer, wall_seconds
from edgeless_sim.kernel.journal import JournalReader
from edgeless_sim.model.worlds import REAL_WORLDS, SIM
from edgeless_sim.report.folder import RunFolder
from edgeless_sim.report.logs import LogEntry, LogReader, log_line
from edgeless_sim.report.reader import RunReader
from edgeless_sim.report.summary import (
    ExpectationSummary,
    RunFacts,
    Summary,
    WorkloadSummary,
    latency_summary,
    summarise,
)
from edgeless_sim.report.tables import render
from edgeless_sim.scenario.code import code_faults, unknown_types
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.outcome import Outcome, Verdict
from edgeless_sim.scenario.runner import run_scenario
from edgeless_sim.scenario.shipped import find_scenario

__all__ = ["RunOptions", "leave", "require_code", "run_command"]

#: Where resources are real.
_REAL: Final = "tcp"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What was typed."""

    scenario: str
    seed: int | None
    world: str
    in_process: bool
    """Whether all components share this process in a real world, too."""
    speed: float | None
    """Times the wall clock; None = as fast as possible."""
    logs: bool
    out: Path | None
    force: bool
    form: str
    quiet: bool
    real_resources: bool = False
    """Whether resources meet the real world, in real time, instead of their simulated one."""


def run_command(options: RunOptions, *, capture: Capture | None = None) -> None:
    """Run it, show and keep the result; raise `typer.Exit` unless everything holds.

    *capture* gets all frames.
    """
    _check_options(options)
    scenario = load_scenario(find_scenario(options.scenario), label=options.scenario)
    if options.real_resources:
        options = _with_real_resources(options, scenario)
    for warning in require_code(scenario):
        complain(f"warning: {warning}")
    reader = RunReader()
    begun_s = wall_seconds()
    with ExitStack() as stack:
        folder = None
        if options.out is not None:
            folder = stack.enter_context(RunFolder(options.out, force=options.force))
        readers: list[JournalReader] = [reader.read]
        if options.logs:
            readers.append(LogReader(_show_log).read)
        if folder is not None:
            readers.append(LogReader(folder.log).read)
        quiet = options.quiet or options.logs
        real = options.world != SIM
        bar = stack.enter_context(progress(scenario.duration, wanted=not quiet, real=real))
        outcome = run_scenario(
            scenario,
            world=options.world,
            seed=options.seed,
            pacer=None if options.speed is None else WallPacer(options.speed),
            on_progress=bar,
            journal_sink=None if folder is None else folder.journal,
            readers=readers,
            processes=not options.in_process,
            capture=capture,
        )
        command = _command(outcome, in_process=options.in_process)
        summary = summarise(_facts(outcome, wall_seconds() - begun_s, command), reader)
        if folder is not None:
            folder.finish(summary, outcome.files)
    _show(summary, options)
    leave(outcome)


def _check_options(options: RunOptions) -> None:
    if options.world in REAL_WORLDS and options.speed is not None:
        raise typer.BadParameter("--realtime and --speed are for the world sim; others are real")
    if options.in_process and options.world not in REAL_WORLDS:
        raise typer.BadParameter(f"--in-process is for the worlds {', '.join(REAL_WORLDS)}")
    if options.real_resources and options.world != SIM:
        raise typer.BadParameter(f"--real-resources: those of the world {options.world} are real")
    if options.real_resources and options.speed != 1.0:
        raise typer.BadParameter("--real-resources needs --realtime: sockets know no other")


def _with_real_resources(options: RunOptions, scenario: Scenario) -> RunOptions:
    """The same run over sockets in this process; raise `ScenarioError` if it is not for that."""
    if _REAL not in scenario.worlds:
        raise ScenarioError(
            f"{scenario.label}: with real resources it runs in the world {_REAL}, and it is for "
            f"{', '.join(scenario.worlds)} only (its key 'worlds')"
        )
    return replace(options, world=_REAL, in_process=True, speed=None)


def require_code(scenario: Scenario) -> list[str]:
    """Warnings about *scenario*; raise `FunctionSpecError` if a function's code cannot run."""
    warnings = list(scenario.warnings)
    faults = []
    for file, request in scenario.workflows.items():
        warnings += [f"{file}: {warning}" for warning in unknown_types(request)]
        found = code_faults(
            request, python_folders=(scenario.folder,), fuel_per_event=scenario.fuel_per_event
        )
        faults += [f"{scenario.folder / file}: {fault}" for fault in found]
    if faults:
        raise FunctionSpecError("\n".join(faults[:10]))
    return warnings


def _facts(outcome: Outcome, wall_s: float, command: str) -> RunFacts:
    failure = outcome.failure
    return RunFacts(
        scenario=outcome.scenario,
        seed=outcome.seed,
        world=outcome.world,
        verdict=outcome.verdict.value,
        digest=outcome.digest,
        ended_ns=outcome.ended_ns,
        wall_s=wall_s,
        command=command,
        begun_ns=outcome.begun_ns,
        failure=None if failure is None else f"{failure.step}: {failure.error}",
        expectations=[
            ExpectationSummary(each.expectation, each.holds, each.found, each.at_ns)
            for each in outcome.judgements
        ],
        oddities=dict(outcome.oddities),
        workloads=[
            WorkloadSummary(
                each.name,
                each.kind,
                each.requested,
                each.in_flight,
                dict(each.answers),
                each.blocking,
                latency_summary(each.latency),
            )
            for each in outcome.workloads
        ],
    )


def _command(outcome: Outcome, *, in_process: bool) -> str:
    words = ["edgeless-sim", "run", outcome.scenario, "--seed", str(outcome.seed)]
    if outcome.world != SIM:
        words += ["--world", outcome.world]
    if in_process:
        words.append("--in-process")
    return shlex.join(words)


def _show_log(entry: LogEntry) -> None:
    typer.echo(log_line(entry))


def _show(summary: Summary, options: RunOptions) -> None:
    if options.quiet:
        typer.echo(summary.run.digest)
    else:
        typer.echo(render(summary, options.form), nl=False)


def leave(outcome: Outcome) -> None:
    """Say what went wrong in a run, if anything, and raise `typer.Exit` with its code."""
    failure = outcome.failure
    if failure is not None:
        complain(f"error: {failure.step} at {failure.at_ns / 1e9:.3f} s: {failure.error}")
        _exit(exit_code(failure.error))
    for judgement in outcome.judgements:
        if not judgement.holds:
            complain(f"error: {judgement.expectation} does not hold: {judgement.found}")
    if outcome.verdict is Verdict.FAILED:
        _exit(Exit.EXPECTATION)
    if outcome.verdict is Verdict.INCONCLUSIVE:
        complain("warning: inconclusive: nothing was started, or nothing was expected")


def _exit(code: int) -> NoReturn:
    raise typer.Exit(code)
