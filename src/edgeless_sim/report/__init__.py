"""Journal -> counts, tables and files. Reads nothing else."""

from edgeless_sim.model.histogram import Histogram
from edgeless_sim.report.folder import RunFolder
from edgeless_sim.report.logs import LogEntry, LogReader, log_line
from edgeless_sim.report.reader import RunReader
from edgeless_sim.report.summary import RunFacts, Summary, summarise
from edgeless_sim.report.tables import FORMATS, render

__all__ = [
    "FORMATS",
    "Histogram",
    "LogEntry",
    "LogReader",
    "RunFacts",
    "RunFolder",
    "RunReader",
    "Summary",
    "log_line",
    "render",
    "summarise",
]
