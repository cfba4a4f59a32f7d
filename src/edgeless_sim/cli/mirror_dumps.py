"""What ``proxy_cli dump`` writes: a file per series or component, or one table (spec 7.5).

Pure, but for `write_files`. Not here: where the mirror comes from (`proxy_asking`).
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from edgeless_sim.cli.mirror_words import time_words, value_words
from edgeless_sim.model.ids import FunctionId, LogicalId
from edgeless_sim.model.mirror import DomainMirror, Series, SeriesMetric

__all__ = [
    "CSV_HEADER",
    "Measurement",
    "component_files",
    "csv_line",
    "measurements",
    "series_files",
    "write_files",
]

#: EDGELESS's says ``metric,name,lid``, which its own rows do not follow (defect 79).
CSV_HEADER: Final = ("metric", "lid", "name", "timestamp", "value")
_NAME_CHARS_MAX: Final = 150
_METRICS: Final = tuple(SeriesMetric)


class Measurement(NamedTuple):
    """A row of ``dump performance-csv``."""

    metric: str
    lid: str
    name: str
    timestamp: str
    value: float | str


def series_files(mirror: DomainMirror) -> Iterator[tuple[str, str]]:
    """Names and contents: ``METRIC-PID.dat``, with lines ``DATETIME,VALUE``."""
    for series in mirror.series:
        lines = (f"{time_words(at)},{value_words(value)}\n" for at, value in _points(series))
        yield f"{_file_name(series.name)}-{series.instance.function_id}.dat", "".join(lines)


def component_files(mirror: DomainMirror) -> Iterator[tuple[str, str]]:
    """Names and contents: ``fun-LID.json`` and ``res-LID.json``, what was asked for."""
    for each in mirror.components:
        kind = "res" if each.function is None else "fun"
        text = msgspec.json.format(msgspec.json.encode(each.asked()), indent=2).decode()
        yield f"{kind}-{each.logical_id}.json", text


def write_files(
    files: Iterator[tuple[str, str]], folder: Path, tell: Callable[[str], None]
) -> list[str]:
    """Write *files* into *folder*, which is made; *tell* is told before each. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in files:
        tell(name)
        (folder / name).write_text(text, encoding="utf-8", newline="")
        written.append(name)
    return written


def measurements(mirror: DomainMirror, names: Mapping[LogicalId, str]) -> Iterator[Measurement]:
    """All points of the components in *names*, by component, metric and time."""
    owners = {
        instance.function_id: each.logical_id
        for each in mirror.components
        for instance in each.instances
        if each.logical_id in names
    }
    for series in sorted(mirror.series, key=lambda each: _order(each, owners)):
        owner = owners.get(series.instance.function_id)
        if owner is not None:
            for at, value in _points(series):
                yield Measurement(series.name, str(owner), names[owner], time_words(at), value)


def csv_line(row: Measurement) -> str:
    """*row* as a line; what has a comma in it is quoted, which EDGELESS forgets."""
    line = io.StringIO()
    value = value_words(row.value)
    csv.writer(line, lineterminator="").writerow((*row[:-1], value))
    return line.getvalue()


def _order(series: Series, owners: Mapping[FunctionId, LogicalId]) -> tuple[str, int, str]:
    owner = owners.get(series.instance.function_id)
    metric = _METRICS.index(SeriesMetric(series.name)) if series.name in _METRICS else len(_METRICS)
    return str(owner), metric, series.name


def _points(series: Series) -> Iterator[tuple[float, float | str]]:
    return ((point.time_s, point.value) for point in series.points)


def _file_name(name: str) -> str:
    """*name* of a log as a part of a file's name: it comes from a function, and may be anything."""
    safe = quote(name, safe=" :+,=@")
    if len(safe) > _NAME_CHARS_MAX:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
        safe = f"{safe[:_NAME_CHARS_MAX]}-{digest}"
    return safe
