"""Many seeds, several processes: one run is one process's at a time (design, decision 11).

Results come as they are ready, which is not the order of the seeds.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Final

from edgeless_sim.errors import ResourceError
from edgeless_sim.exploration.run import explore_seed
from edgeless_sim.exploration.setting import Setting, load_setting
from edgeless_sim.exploration.tally import SeedResult

__all__ = ["explore_seeds", "processes_usable"]

#: Seeds that are given out and not back, for each process.
_WAITING_MAX: Final = 4
_BROKEN: Final = (
    "one of the exploring processes has died: killed, or out of memory; try fewer (--processes)"
)


def processes_usable() -> int:
    """How many processes the machine has cores for."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def explore_seeds(
    seeds: Sequence[int], scenario: str | None, *, processes: int
) -> Generator[SeedResult]:
    """Explore *seeds* in the setting of *scenario*; close it to leave the rest.

    Raises `SpecError` for a scenario that is bad, before anything runs, and `ResourceError` if a
    process dies.
    """
    setting = load_setting(scenario)
    processes = min(processes, len(seeds))
    if processes <= 1:
        for seed in seeds:
            yield explore_seed(seed, setting)
        return
    # A fork would copy whatever the caller has open, loops and signal handlers included.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(processes, context, initializer=_begin) as pool:
            yield from _results(pool, seeds, scenario, waiting_max=_WAITING_MAX * processes)
    except BrokenProcessPool:
        raise ResourceError(_BROKEN) from None


def _results(
    pool: ProcessPoolExecutor, seeds: Sequence[int], scenario: str | None, *, waiting_max: int
) -> Generator[SeedResult]:
    """A few seeds at a time: a million futures would be a gigabyte."""
    left = iter(seeds)
    waiting: set[Future[SeedResult]] = set()
    try:
        while True:
            with _deaf():
                for seed in islice(left, waiting_max - len(waiting)):
                    waiting.add(pool.submit(_explore, seed, scenario))
            if not waiting:
                return
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                yield future.result()
    finally:
        with _deaf():
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf() -> Generator[None]:
    """Processes that are started meanwhile do not hear a Ctrl-C until `_begin`: they would print
    where they were."""
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)


def _begin() -> None:
    # A Ctrl-C reaches all processes of a terminal: the parent says what is known, these just end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed has told nobody: without this, its processes would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _explore(seed: int, scenario: str | None) -> SeedResult:
    return explore_seed(seed, _setting(scenario))


@cache
def _setting(scenario: str | None) -> Setting:
    return load_setting(scenario)
