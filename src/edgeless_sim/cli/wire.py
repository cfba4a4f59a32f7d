"""``edgeless-sim wire``: what components send one another, caught and shown.

A capture is of a scenario, or of a relay between two parts of a real deployment.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from edgeless_sim.cli.problems import complain

if TYPE_CHECKING:
    from edgeless_sim.cluster.capture import Capture

__all__ = ["WireOptions", "wire_command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireOptions:
    """What was typed; None and False where nothing was."""

    capture: Path | None
    show: Path | None
    scenario: str | None
    world: str | None
    seed: int | None
    in_process: bool
    listen: str | None
    to: str | None
    tls: Path | None
    force: bool
    method: str | None
    source: str | None
    form: str | None


def wire_command(options: WireOptions) -> None:
    """Capture or show; raise `EdgelessError`, or `typer.BadParameter` for what cannot be meant."""
    _check(options)
    if options.show is not None:
        _show(options, options.show)
    elif options.listen is not None:
        _relay(options)
    else:
        _run(options)


#: Which options go with which way of using the command, and how that is typed.
_WAYS: Final = {
    "--show": (
        ("method", "source", "to", "form"),
        "edgeless-sim wire --show FILE [--method NAME] [--from X] [--to Y] [--format FORM]",
    ),
    "--scenario": (
        ("scenario", "world", "seed", "in_process", "force"),
        "edgeless-sim wire --capture FILE --scenario SCENARIO [--world WORLD] [--seed N]"
        " [--in-process] [--force]",
    ),
    "--listen": (
        ("listen", "to", "tls", "force"),
        "edgeless-sim wire --capture FILE --listen URL --to URL [--tls FILE] [--force]",
    ),
}
_SPELT: Final = {"source": "from", "form": "format", "in_process": "in-process"}


def _check(options: WireOptions) -> None:
    if (options.capture is None) is (options.show is None):
        usages = "; ".join(usage for _, usage in _WAYS.values())
        raise typer.BadParameter(f"either --capture or --show; type one of: {usages}")
    if options.show is not None:
        way = "--show"
    elif options.listen is not None or options.to is not None or options.tls is not None:
        way = "--listen"
    else:
        way = "--scenario"
    allowed, usage = _WAYS[way]
    for name in options.__dataclass_fields__:
        if name in ("capture", "show", *allowed) or not _given(getattr(options, name)):
            continue
        raise typer.BadParameter(f"--{_SPELT.get(name, name)} does not go with {way}: {usage}")
    if way == "--listen" and (options.listen is None or options.to is None):
        missing = "--listen" if options.listen is None else "--to"
        raise typer.BadParameter(f"{missing} is missing: {usage}")
    if way == "--scenario" and options.scenario is None:
        raise typer.BadParameter(f"capture what? {usage}, or: {_WAYS['--listen'][1]}")


def _given(value: object) -> bool:
    return value is not None and value is not False


def _run(options: WireOptions) -> None:
    from edgeless_sim.cli.run import RunOptions, run_command
    from edgeless_sim.cluster.capture import Capture

    assert options.capture is not None
    assert options.scenario is not None
    capture = Capture(options.capture, force=options.force)
    run = RunOptions(
        scenario=options.scenario,
        seed=options.seed,
        world=options.world or "sim",
        in_process=options.in_process,
        speed=None,
        logs=False,
        out=None,
        force=False,
        form="table",
        quiet=False,
    )
    try:
        with capture:
            run_command(run, capture=capture)
    finally:
        _tell(capture)


def _relay(options: WireOptions) -> None:
    from edgeless_sim.cluster.capture import Capture
    from edgeless_sim.cluster.frame_relay import check_ends, run_relay
    from edgeless_sim.cluster.settings.tls import load_tls

    assert options.capture is not None
    assert options.listen is not None
    assert options.to is not None
    check_ends(options.listen, options.to)
    tls = None if options.tls is None else load_tls(options.tls)
    capture = Capture(options.capture, force=options.force)

    def on_ready(url: str) -> None:
        typer.echo(f"relaying {url} to {options.to}, capture in {capture.path}; Ctrl-C ends it")

    lost = 0
    try:
        with capture:
            lost = run_relay(options.listen, options.to, capture, tls=tls, on_ready=on_ready)
    finally:
        _tell(capture)
    if lost:
        complain(f"warning: {lost} events did not arrive behind the relay, or not for sure")


def _tell(capture: "Capture") -> None:
    for warning in capture.warnings:
        complain(f"warning: {warning}")
    if capture.begun:
        typer.echo(
            f"{capture.frames_total} frames in {capture.path};"
            f" edgeless-sim wire --show {shlex.quote(str(capture.path))}"
        )


def _show(options: WireOptions, path: Path) -> None:
    from edgeless_sim.cluster.capture_file import CaptureReader
    from edgeless_sim.report.frames import FrameFilter, frame_lines

    reader = CaptureReader(path)
    wanted = FrameFilter(options.method or "", options.source or "", options.to or "")
    try:
        for line in frame_lines(reader, wanted, options.form or "table"):
            typer.echo(line)
    finally:
        for note in reader.notes:
            complain(f"warning: {note}")
