"""``edgeless-sim invoke``: one function alone, from its source to what it does with an event."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import typer

from edgeless_sim.cli.problems import Exit, complain
from edgeless_sim.errors import EdgelessError, RejectedError
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.names import shown_path
from edgeless_sim.report.logs import printable
from edgeless_sim.runtimes.base import PAYLOAD_BYTES_MAX, STATE_BYTES_MAX, GuestEventKind
from edgeless_sim.toolchain.building import build_function
from edgeless_sim.toolchain.trial import Report, Trial, TrialEvent

__all__ = ["InvokeOptions", "invoke_command"]

#: What a unit of fuel takes at 3 GHz.
_FUEL_NS: Final = 0.25
_PAYLOAD_CHARS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class InvokeOptions:
    """What was typed."""

    function: Path
    casts: tuple[str, ...]
    calls: tuple[str, ...]
    init: str | None
    state: str | None
    reply: str | None
    form: str


def invoke_command(options: InvokeOptions, *, watch: bool) -> None:
    """Do it, or with *watch* again and again; raise `typer.Exit` if the function fails."""
    if not watch:
        if not _perform(options):
            _exit(Exit.FAILED)
        return
    # An extra package, and slow to load.
    try:
        from watchfiles import watch as changes
    except ImportError:
        raise RejectedError(
            "--watch needs watchfiles", 'install it with: pip install "edgeless-sim[toolchain]"'
        ) from None
    _try_once(options)
    folder = options.function if options.function.is_dir() else options.function.parent
    for found in changes(folder, raise_interrupt=False, watch_filter=_is_source):
        names = ", ".join(sorted({Path(path).name for _, path in found}))
        typer.echo(f"-- {names} changed")
        _try_once(options)


def _is_source(_change: object, path: str) -> bool:
    parts = Path(path).parts
    hidden = any(part.startswith(".") or part in ("target", "__pycache__") for part in parts[-4:])
    return not hidden and not path.endswith(".wasm")


def _try_once(options: InvokeOptions) -> None:
    """As `_perform`; what is wrong is said, and does not end the watching."""
    try:
        _perform(options)
    except EdgelessError as error:
        complain(f"error: {error}")


def _perform(options: InvokeOptions) -> bool:
    """Whether the function has survived it."""
    events = [
        *(TrialEvent(GuestEventKind.CAST, _text(text)) for text in options.casts),
        *(TrialEvent(GuestEventKind.CALL, _text(text)) for text in options.calls),
    ]
    state = None if options.state is None else _text(options.state, STATE_BYTES_MAX)
    built = build_function(options.function)
    if built.fresh and options.form == "plain":
        typer.echo(f"built {built.module}")
    alive = True
    trial = Trial(built, init=options.init, state=state, reply=options.reply)
    for report in trial.run(events):
        alive = report.failed is None
        if options.form == "json":
            typer.echo(msgspec.json.encode(report).decode())
        else:
            for line in _lines(report):
                typer.echo(line)
    return alive


def _text(argument: str, bytes_max: int = PAYLOAD_BYTES_MAX) -> str:
    """What was typed, or the content of the file behind an ``@``."""
    if not argument.startswith("@"):
        return argument
    path = Path(argument[1:])
    shown = shown_path(str(path))
    try:
        return read_regular_file(path, bytes_max).decode()
    except FileNotFoundError:
        raise RejectedError("no such file", shown) from None
    except ValueError as error:
        raise RejectedError("the file cannot be a payload", f"{shown}: {error}") from None


def _lines(report: Report) -> Iterator[str]:
    payload = "" if report.payload is None else f" {_shown(report.payload)}"
    yield f"{report.kind}{payload}"
    for entry in report.done:
        yield f"  {_did(entry)}"
    if report.kind == "call" and report.failed is None:
        yield "  no reply" if report.reply is None else f"  reply: {_shown(report.reply)}"
    if report.failed is not None:
        yield f"  FAILED: {_shown(report.failed)}"
    yield f"  {_cost(report)}"


def _did(entry: dict[str, object]) -> str:
    to, payload = entry.get("to", ""), _shown(str(entry.get("payload", "")))
    match entry["did"]:
        case "log":
            return f"{entry['level']} {entry['target']}: {_shown(str(entry['text']))}"
        case "cast":
            return f"-> {to}: {payload}"
        case "delayed_cast":
            return f"-> {to} after {entry['delay_ms']} ms: {payload}"
        case "call":
            answered = entry["answered"]
            answer = "an error" if answered is None else _shown(str(answered))
            return f"calls {to}: {payload} (answered: {answer})"
        case "sync":
            return f"state: {_shown(str(entry['state']))}"
        case _:
            return f"{entry['operation']} refused: {entry['cause']}"


def _cost(report: Report) -> str:
    if report.fuel:
        return f"{report.fuel:,} fuel = {report.fuel * _FUEL_NS / 1e3:,.2f} us at 3 GHz"
    return f"{report.service_ns / 1e6:g} ms of service time"


def _shown(text: str) -> str:
    clipped = text if len(text) <= _PAYLOAD_CHARS_MAX else f"{text[:_PAYLOAD_CHARS_MAX]}..."
    return printable(clipped)


def _exit(code: int) -> NoReturn:
    raise typer.Exit(code)
