"""``edgeless-sim explore``: seeds of random operations and faults, and what they broke."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import typer

from edgeless_sim.cli.problems import Exit, complain
from edgeless_sim.cli.progress import count_progress
from edgeless_sim.errors import ResourceError
from edgeless_sim.exploration.findings import Findings, Happened, Record
from edgeless_sim.exploration.pool import explore_seeds, processes_usable
from edgeless_sim.exploration.run import explore_seed
from edgeless_sim.exploration.setting import load_setting
from edgeless_sim.kernel.clock import wall_seconds
from edgeless_sim.report.tables import aligned

__all__ = ["ExploreOptions", "explore_command"]

#: Seeds whose violations are told, and violations of each; a file has all.
_SEEDS_SHOWN: Final = 10
_VIOLATIONS_SHOWN: Final = 5
_JOURNALS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class ExploreOptions:
    """What was typed."""

    seeds: int
    seed: int
    scenario: str | None
    processes: int | None
    """None = one per core."""
    out: Path | None
    form: str
    quiet: bool


def explore_command(options: ExploreOptions) -> None:
    """Explore, and say what was found; raise `typer.Exit` if that was a violation, or if it was
    interrupted.

    Raises `OSError` before anything runs if there is no writing to the folder, and
    `ResourceError` after all is said if a process has died.
    """
    begun_s = wall_seconds()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    record = Record(scenario=options.scenario, first_seed=options.seed, seeds_wanted=options.seeds)
    ended: BaseException | None = None
    try:
        _explore(options, record)
    except (KeyboardInterrupt, ResourceError) as error:
        ended = error
    findings = record.findings(wall_seconds() - begun_s)
    _show(findings, options)
    for finding in findings.violations[:_SEEDS_SHOWN]:
        shown = "; ".join(finding.violations[:_VIOLATIONS_SHOWN])
        complain(f"error: seed {finding.seed}: {shown}\n  repeat with: {finding.repeat}")
    if ended is not None:
        complain(f"interrupted after {findings.seeds} of {options.seeds} seeds")
    others = 0
    if options.out is not None:
        others = _keep(findings, options, options.out, journals=ended is None)
    if isinstance(ended, ResourceError):
        raise ended
    if ended is not None:
        raise typer.Exit(Exit.INTERRUPTED)
    if findings.violations or others:
        raise typer.Exit(Exit.EXPECTATION)


def _explore(options: ExploreOptions, record: Record) -> None:
    """Fill *record*, which stays known when this is interrupted."""
    seeds = range(options.seed, options.seed + options.seeds)
    processes = options.processes or processes_usable()
    wanted = not options.quiet
    with (
        count_progress(options.seeds, "seeds", wanted=wanted) as bar,
        closing(explore_seeds(seeds, options.scenario, processes=processes)) as ready,
    ):
        for result in ready:
            record.add(result)
            if bar is not None:
                bar(record.seeds, f"{record.broken} broken")


def _keep(findings: Findings, options: ExploreOptions, out: Path, *, journals: bool) -> int:
    """Write what was found, and the journals of the seeds that broke something; of a single one
    always. Return how many of them were not the same journals again."""
    (out / "findings.json").write_bytes(msgspec.json.format(msgspec.json.encode(findings)) + b"\n")
    if not journals:
        return 0
    others = 0
    seeds = [finding.seed for finding in findings.violations][:_JOURNALS_MAX]
    if options.seeds == 1:
        seeds = [options.seed]
    setting = load_setting(options.scenario)
    for seed in seeds:
        with (out / f"seed-{seed}.jsonl").open("wb") as journal:
            digest = explore_seed(seed, setting, journal=journal).digest
        if digest != findings.digests[seed]:
            others += 1
            complain(f"error: seed {seed}: G12: its journal is another one when it is run again")
    return others


def _show(findings: Findings, options: ExploreOptions) -> None:
    if options.quiet:
        lines: Sequence[str] = [str(finding.seed) for finding in findings.violations]
    elif options.form == "json":
        lines = [msgspec.json.format(msgspec.json.encode(findings)).decode()]
    elif options.form == "plain":
        lines = [f"{seed} {digest}" for seed, digest in findings.digests.items()]
    else:
        lines = list(_table(findings))
    for line in lines:
        typer.echo(line)


def _table(findings: Findings) -> Iterator[str]:
    for title, kinds in (
        ("operation", findings.operations),
        ("fault", findings.faults),
        ("effect", findings.effects),
    ):
        rows = [_row(kind) for kind in kinds if kind.times]
        if rows:
            yield from aligned((title, "seeds", "times", "ended"), rows, right=range(1, 3))
            yield ""
    if findings.situations:
        states = (f"{state} {count}" for state, count in findings.situations.items())
        yield f"situations: {', '.join(states)}"
    if findings.checks:
        checks = (f"{name} {count}" for name, count in findings.checks.items())
        yield f"checked: {', '.join(checks)}"
    if findings.seeds and findings.never:
        yield "never happened in these seeds:"
        for what in ("operation", "fault", "effect"):
            names = [each.partition(" ")[2] for each in findings.never if each.startswith(what)]
            if names:
                yield f"  {what}s: {', '.join(names)}"
    yield (
        f"{findings.seeds} seeds from {findings.first_seed}, {findings.seeds_broken} of them "
        f"broke something; {findings.simulated_s / 3600:.1f} h simulated in {findings.wall_s:.1f} s"
    )


def _row(kind: Happened) -> tuple[str, str, str, str]:
    ends = ", ".join(f"{end} {count}" for end, count in kind.ends.items())
    return kind.kind, str(kind.seeds), str(kind.times), ends
