"""Latency of map-reduce workflows by policy and rate of arrival: the scenario cnr, hour by hour.

    python benchmarks/cnr.py [--quick] [--seed N] [--policy NAME]...

One virtual hour per cell (six minutes with ``--quick``), of which the first tenth does not count:
Poisson arrivals with a mean of 60, 30, 20 and 10 s, a lifetime of 300 s, Random against RoundRobin.
A latency is the time from a transaction's ``tbegin`` to its ``tend``. The same seed gives the same
table.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from edgeless_sim.model.histogram import Histogram
from edgeless_sim.report.logs import LogEntry, LogReader
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.outcome import Outcome
from edgeless_sim.scenario.runner import run_scenario

ROOT: Final = Path(__file__).parents[1]
POLICIES: Final = ("Random", "RoundRobin")
INTERARRIVALS_S: Final = (60, 30, 20, 10)
LIFETIME_S: Final = 300
HOUR_S: Final = 3_600
QUICK_S: Final = 360

CELL: Final = """
name = "cnr-cell"
seed = {seed}
duration = "{duration}s"

[[domain]]
name = "edge"
strategy = "{policy}"

[[domain.nodes]]
count = 4
cpus = 2

[[domain.nodes]]
cpus = 8

[network]
latency = "1ms"

[[workload]]
name = "jobs"
kind = "workflow"
model = "poisson"
interarrival = "{interarrival}s"
lifetime = "{lifetime}s"

[workload.map_reduce]
functions = "{functions}"
transaction_interval = ["100ms", "1900ms"]
input_size = [100, 1000]
stages = [1, 4]
fan_out = [1, 4]
work = [5000, 50000]
"""


class Latencies:
    """From the log entries of first and last stages, the latency of each transaction."""

    def __init__(self, warmup_s: float) -> None:
        self._warmup_ns = round(warmup_s * 1e9)
        self._begun: dict[tuple[str, str], int] = {}
        self.histogram = Histogram()

    def take(self, entry: LogEntry) -> None:
        """A function has said something."""
        key = (entry.workflow, entry.text)
        if entry.target == "tbegin":
            self._begun[key] = entry.ns
        elif entry.target == "tend":
            begun_ns = self._begun.pop(key, None)
            if begun_ns is not None and begun_ns >= self._warmup_ns:
                self.histogram.add(entry.ns - begun_ns)


def play(policy: str, interarrival_s: int, duration_s: int, seed: int) -> tuple[Outcome, Histogram]:
    """One cell."""
    latencies = Latencies(duration_s / 10)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "scenario.toml"
        file.write_text(
            CELL.format(
                seed=seed,
                duration=duration_s,
                policy=policy,
                interarrival=interarrival_s,
                lifetime=LIFETIME_S,
                functions=ROOT / "functions",
            ),
            encoding="utf-8",
        )
        outcome = run_scenario(load_scenario(file), readers=[LogReader(latencies.take).read])
    return outcome, latencies.histogram


def main() -> None:
    """Play all cells and print them as they end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="six virtual minutes per cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", action="append", help="any strategy; may be repeated")
    options = parser.parse_args()
    duration_s = QUICK_S if options.quick else HOUR_S
    row = "{:<13} {:>8} {:>10} {:>13} {:>9} {:>9} {:>9} {:>7}  {}\n"
    head = ("policy", "every s", "workflows", "transactions", "p50 ms", "p95 ms", "p99 ms", "CPU s")
    sys.stdout.write(row.format(*head, "digest"))
    for interarrival_s in INTERARRIVALS_S:
        for policy in options.policy or POLICIES:
            began_s = time.process_time()
            outcome, found = play(policy, interarrival_s, duration_s, options.seed)
            (jobs,) = outcome.workloads
            quantiles = (f"{found.quantile_ns(q) / 1e6:.0f}" for q in (0.5, 0.95, 0.99))
            took = f"{time.process_time() - began_s:.0f}"
            started = jobs.answers.get("started", 0)
            cells = (policy, interarrival_s, started, found.total, *quantiles, took)
            sys.stdout.write(row.format(*cells, outcome.digest))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
