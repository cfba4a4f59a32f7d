"""A capture for people and programs: each frame, and what there was of each method.

Not here: the file (`cluster.capture_file`), and bytes to values (`api.decoding`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from edgeless_sim.api.decoding import FrameDecoder, Said
from edgeless_sim.cluster.addresses import node_name_of
from edgeless_sim.cluster.capture_file import CapturedFrame, CaptureReader
from edgeless_sim.errors import UnknownComponentError
from edgeless_sim.model.histogram import Histogram
from edgeless_sim.model.names import clipped, quoted, suggestion
from edgeless_sim.report.logs import printable
from edgeless_sim.report.tables import aligned, duration
from edgeless_sim.report.values import as_json, brief, size

__all__ = ["FrameFilter", "frame_lines"]

_REQUEST_CHARS: Final = 100
_REPLY_CHARS: Final = 60
#: Most methods in the summary; a foreign file may name as many as it has frames.
_METHODS_MAX: Final = 1_000
_OTHERS: Final = "(others)"


@dataclass(frozen=True, slots=True)
class FrameFilter:
    """Which frames are shown; an empty text lets all pass."""

    method: str = ""
    """``Start``, ``FunctionInstance``, ``FunctionInstance/Start``, or a pattern such as ``*/Up*``;
    in any case."""
    source: str = ""
    """A name in the capture, a node's own name, or a pattern such as ``node/*``."""
    target: str = ""

    def takes(self, frame: CapturedFrame) -> bool:
        """Whether *frame* is shown."""
        name = _method_name(frame.method)
        return (
            _matches(self.method.lower(), (name.lower(), *name.lower().split("/")))
            and _matches(self.source, _names(frame.source))
            and _matches(self.target, _names(frame.target))
        )


class _Totals:
    """What there was of one method."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0
        self.refusals = 0
        self.errors = 0
        self.undecodable = 0
        self.durations = Histogram()


@dataclass(frozen=True, slots=True)
class _Shown:
    """A frame with what it says."""

    frame: CapturedFrame
    request: Said
    answer: Said


@dataclass(slots=True)
class _Seen:
    """What was there, shown or not: for who asks for something else."""

    methods: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


def _method_name(path: str) -> str:
    """``Service/Method`` of *path*, or *path* if it is none of EDGELESS's."""
    return path.removeprefix("/edgeless_api.").removeprefix("/")


def frame_lines(reader: CaptureReader, wanted: FrameFilter, form: str) -> Iterator[str]:
    """What is printed of a capture: a line per frame, and for people and ``plain`` the totals.

    *form* is one of ``table``, ``json``, ``plain``. Raise `UnknownComponentError`, at the end, if
    there is no frame that is *wanted*.
    """
    decoder = FrameDecoder(reader.header.epoch_ns)
    line_of = _LINES[form]
    totals: dict[str, _Totals] = {}
    seen = _Seen()
    for frame in reader.frames():
        if not wanted.takes(frame):
            _see(frame, seen)
            continue
        shown = _said(decoder, frame)
        _count(totals, shown)
        yield line_of(shown)
    if totals or wanted == FrameFilter():
        yield from _TOTALS[form](totals)
    else:
        raise UnknownComponentError("no such frame", _hint(wanted, seen))


def _said(decoder: FrameDecoder, frame: CapturedFrame) -> _Shown:
    wire, method, at_ns = frame.wire, frame.method, frame.ns
    request = decoder.request(wire, method, frame.request, at_ns)
    answer = Said()
    if frame.refusal is not None:
        answer = decoder.refusal(wire, method, frame.refusal.code, frame.refusal.message)
    elif frame.reply is not None:
        answer = decoder.reply(wire, method, frame.reply, at_ns)
    return _Shown(frame, request, answer)


def _count(totals: dict[str, _Totals], shown: _Shown) -> None:
    frame = shown.frame
    name = _method_name(frame.method)
    if name not in totals and len(totals) >= _METHODS_MAX:
        name = _OTHERS
    total = totals.setdefault(name, _Totals())
    total.frames += 1
    total.bytes += len(frame.request) + len(frame.reply or b"")
    total.refusals += shown.answer.refusal is not None
    total.errors += bool(frame.error)
    total.undecodable += bool(shown.request.fault or shown.answer.fault)
    if frame.took_ns is not None:
        total.durations.add(frame.took_ns)


# -- filters ------------------------------------------------------------------------------------


def _matches(pattern: str, names: Sequence[str]) -> bool:
    return not pattern or any(fnmatchcase(name, pattern) for name in names)


def _names(location: str) -> tuple[str, ...]:
    node = node_name_of(location)
    return (location,) if node is None else (location, node)


def _see(frame: CapturedFrame, seen: _Seen) -> None:
    if len(seen.methods) < _METHODS_MAX:
        seen.methods.add(_method_name(frame.method))
    if len(seen.names) < _METHODS_MAX:
        seen.names.update((frame.source, frame.target))


def _hint(wanted: FrameFilter, seen: _Seen) -> str:
    """What in *wanted* fits nothing, and what there is."""
    if not seen.methods:
        return "the capture is empty"
    names = {name for location in seen.names for name in _names(location)}
    methods = {part for name in seen.methods for part in (name, *name.split("/"))}
    hints = [
        f"{option} {quoted(text)}{suggestion(text, sorted(known))}"
        f" (there are: {', '.join(sorted(listed)[:12])})"
        for option, text, known, listed in (
            ("--method", wanted.method, methods, seen.methods),
            ("--from", wanted.source, names, seen.names),
            ("--to", wanted.target, names, seen.names),
        )
        if not _matches(text.lower(), [name.lower() for name in known])
    ]
    return clipped("; ".join(hints) or "each condition fits some frames, and no frame fits all")


# -- one frame ----------------------------------------------------------------------------------


def _table_line(shown: _Shown) -> str:
    frame = shown.frame
    way = printable(f"{frame.source} -> {frame.target}")
    took = "" if frame.took_ns is None else f"  ({duration(frame.took_ns)})"
    answer = _answer_text(shown, _REPLY_CHARS)
    return (
        f"{frame.ns / 1e9:11.6f}  {way:<26}  {printable(_method_name(frame.method)):<31}"
        f"  {_request_text(shown, _REQUEST_CHARS)}{f'  => {answer}' if answer else ''}{took}"
    )


def _request_text(shown: _Shown, chars_max: int) -> str:
    said = shown.request
    if said.fault:
        return f"<{size(len(shown.frame.request))}, not read: {_fault(said.fault)}>"
    return brief(said.value, chars_max)


def _answer_text(shown: _Shown, chars_max: int) -> str:
    """How the frame ended; empty for a cast that was sent."""
    frame, said = shown.frame, shown.answer
    if frame.error:
        text = printable(frame.error)[: 4 * chars_max]
        return text if frame.kind == "cast" else f"no answer: {text}"
    if frame.kind == "cast":
        return ""
    if said.refusal is not None:
        return f"refused: {printable(str(said.refusal))[: 4 * chars_max]}"
    if said.fault:
        return f"<{size(len(frame.reply or b''))}, not read: {_fault(said.fault)}>"
    return brief(said.value, chars_max)


def _fault(fault: str) -> str:
    """Why bytes could not be read, on one line."""
    return printable(fault)[:_REQUEST_CHARS]


def _json_line(shown: _Shown) -> str:
    frame, request, answer = shown.frame, shown.request, shown.answer
    found: dict[str, Any] = {
        "ns": frame.ns,
        "from": frame.source,
        "to": frame.target,
        "kind": frame.kind,
        "method": _method_name(frame.method),
        "wire": frame.wire,
        "request_bytes": len(frame.request),
        **_json_part("request", request, frame.request),
    }
    if frame.reply is not None:
        found["reply_bytes"] = len(frame.reply)
    if answer.refusal is not None:
        refusal = answer.refusal
        found["refusal"] = {
            "type": type(refusal).__name__,
            "summary": refusal.summary,
            "detail": refusal.detail,
        }
    elif frame.reply is not None:
        found |= _json_part("reply", answer, frame.reply)
    if frame.error:
        found["error"] = frame.error
    if frame.took_ns is not None:
        found["took_ns"] = frame.took_ns
    return msgspec.json.encode(found).decode()


def _json_part(key: str, said: Said, payload: bytes) -> dict[str, Any]:
    if said.fault:
        return {f"{key}_fault": said.fault, f"{key}_raw": payload}
    return {key: as_json(said.value)}


def _plain_line(shown: _Shown) -> str:
    frame = shown.frame
    outcome = "sent" if frame.kind == "cast" else "reply"
    if shown.answer.refusal is not None:
        outcome = "refusal"
    elif frame.error:
        outcome = "error"
    facts = (
        "frame",
        str(frame.ns),
        frame.source,
        frame.target,
        frame.kind,
        _method_name(frame.method),
        outcome,
        str(len(frame.request)),
        str(len(frame.reply or b"")),
        "" if frame.took_ns is None else str(frame.took_ns),
        _request_text(shown, _REQUEST_CHARS),
        _answer_text(shown, _REPLY_CHARS),
    )
    return "\t".join(printable(fact) for fact in facts)


# -- totals -------------------------------------------------------------------------------------


def _table_totals(totals: dict[str, _Totals]) -> Iterator[str]:
    head = ("method", "frames", "bytes", "refused", "no answer", "not read", "p50", "p99")
    rows = [(printable(name), *_row(total)) for name, total in sorted(totals.items())]
    yield ""
    yield from aligned(head, rows, right=range(1, 8))


def _row(total: _Totals) -> tuple[str, ...]:
    counts = (total.refusals, total.errors, total.undecodable)
    durations = total.durations
    times = [duration(durations.quantile_ns(share)) for share in (0.5, 0.99)]
    return (
        str(total.frames),
        size(total.bytes),
        *(str(count) for count in counts),
        *(times if durations.total else ("-", "-")),
    )


def _plain_totals(totals: dict[str, _Totals]) -> Iterator[str]:
    for name, total in sorted(totals.items()):
        durations = total.durations
        facts = (
            "method",
            printable(name),
            total.frames,
            total.bytes,
            total.refusals,
            total.errors,
            total.undecodable,
            durations.quantile_ns(0.5),
            durations.quantile_ns(0.99),
        )
        yield "\t".join(map(str, facts))


def _no_totals(_totals: dict[str, _Totals]) -> Iterator[str]:
    yield from ()


_LINES: Final[dict[str, Callable[[_Shown], str]]] = {
    "table": _table_line,
    "json": _json_line,
    "plain": _plain_line,
}
_TOTALS: Final[dict[str, Callable[[dict[str, _Totals]], Iterator[str]]]] = {
    "table": _table_totals,
    "json": _no_totals,
    "plain": _plain_totals,
}
