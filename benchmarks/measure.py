"""How figures are taken and printed; what is measured is in the other modules.

CPU time of the process, all its threads together, because the machine is shared.
Short repeats: the best is the estimate for a quiet core and decides whether a floor is met, the
median says how quiet it was. The garbage collector runs as in production: a full collection before
each repeat, none forbidden during it, for the product and for the baseline alike.
"""

import gc
import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

__all__ = [
    "FUNCTIONS",
    "Baseline",
    "Figure",
    "Figures",
    "Sample",
    "Stopwatch",
    "cpu",
    "in_child",
    "launched_ms",
    "main",
    "repeat",
    "resident_mib",
]

HERE: Final = Path(__file__).resolve().parent
#: Where the example guests are: ``NAME/NAME.wasm``.
FUNCTIONS: Final = HERE.parent / "functions"
HEADER: Final = (
    f"{'what':<58} {'best':>11} {'median':>11} {'unit':<12} {'floor':>11} {'verdict':<7} "
    f"{'ratio':>8}  baseline of the same run"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Repeated measurements of one thing, in the order in which they were taken."""

    values: tuple[float, ...]
    lower_is_better: bool = False

    @property
    def best(self) -> float:
        """The estimate for a quiet core."""
        return min(self.values) if self.lower_is_better else max(self.values)

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the same work costs by other means, in the unit of the figure."""

    name: str
    sample: Sample
    #: The least ratio that is good enough; None = for information.
    ratio_floor: float | None = None
    #: Whether each repeat followed one of the figure's: then neighbours are compared.
    paired: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of output. ``floor`` is a ceiling where lower is better; None = for information."""

    name: str
    unit: str
    sample: Sample
    floor: float | None = None
    baseline: Baseline | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better than the baseline: best to best, or the median of the pairs."""
        if self.baseline is None:
            return None
        pairs = [(self.sample.best, self.baseline.sample.best)]
        if self.baseline.paired:
            pairs = list(zip(self.sample.values, self.baseline.sample.values, strict=True))
        lower = self.sample.lower_is_better
        return median(theirs / ours if lower else ours / theirs for ours, theirs in pairs)

    @property
    def met(self) -> bool | None:
        """Whether the floor, of the figure and of the ratio, is met; None if there is none."""
        verdicts = []
        if self.floor is not None:
            best = self.sample.best
            verdicts.append(
                best <= self.floor if self.sample.lower_is_better else best >= self.floor
            )
        if self.ratio is not None and self.baseline and self.baseline.ratio_floor is not None:
            verdicts.append(self.ratio >= self.baseline.ratio_floor)
        return all(verdicts) if verdicts else None

    def line(self) -> str:
        """The figure as an aligned line."""
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        floor = "" if self.floor is None else _number(self.floor)
        ratio, against = "", ""
        if self.baseline is not None and self.ratio is not None:
            ratio = f"{self.ratio:.2f} x"
            against = f"{self.baseline.name}: {_number(self.baseline.sample.best)}"
            if self.baseline.ratio_floor is not None:
                against += f" (floor {self.baseline.ratio_floor:g} x)"
        return (
            f"{self.name:<58} {_number(self.sample.best):>11} {_number(self.sample.median):>11} "
            f"{self.unit:<12} {floor:>11} {verdict:<7} {ratio:>8}  {against}"
        ).rstrip()


Figures: TypeAlias = Iterator[Figure]


class Stopwatch:
    """Process CPU time between entering and leaving ``with cpu() as watch``."""

    def __init__(self) -> None:
        self.seconds = 0.0


@contextmanager
def cpu() -> Iterator[Stopwatch]:
    """Time a block in CPU seconds of this process, all threads together."""
    watch = Stopwatch()
    gc.collect()
    began = time.process_time()
    try:
        yield watch
    finally:
        watch.seconds = time.process_time() - began


def repeat(
    work: Callable[[], float], repeats: int, *, lower_is_better: bool = False, warm: bool = True
) -> Sample:
    """Take the figure that *work* returns *repeats* times, after one run that does not count."""
    if warm:
        work()
    return Sample(tuple(work() for _ in range(repeats)), lower_is_better)


def resident_mib() -> float:
    """Resident memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("there is no VmRSS in /proc/self/status")


def in_child(
    module: str, function: str, *arguments: Any, environment: dict[str, str] | None = None
) -> Any:
    """What ``module.function(*arguments)`` returns in a fresh process; values travel as JSON.

    Raises `subprocess.CalledProcessError` if the child fails.
    """
    done = subprocess.run(
        [sys.executable, __file__, module, function, json.dumps(arguments)],
        check=True,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def launched_ms(
    command: list[str], repeats: int, environment: dict[str, str] | None = None
) -> Sample:
    """CPU milliseconds of a whole process, from its start to its end."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return spent * 1e3

    return repeat(once, repeats, lower_is_better=True)


def main(figures: Callable[[bool], Iterable[Figure]]) -> None:
    """Print the figures of one module; ``--quick`` takes fewer and shorter repeats."""
    arguments = sys.argv[1:]
    if set(arguments) - {"--quick", "--no-header"}:
        sys.exit(f"usage: {sys.argv[0]} [--quick]")
    if "--no-header" not in arguments:
        print(HEADER, flush=True)
    for figure in figures("--quick" in arguments):
        print(figure.line(), flush=True)


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def _child() -> None:
    module, function, arguments = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(module), function)(*json.loads(arguments))))


if __name__ == "__main__":
    _child()
