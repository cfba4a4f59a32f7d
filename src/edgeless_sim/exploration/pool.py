"""Many seeds, several processes: one run is one process's at a time (design, decision 11).

Results come as they are ready, which is not the order of the seeds.
"""

import multiprocessing
import os
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache

from edgeless_sim.exploration.run import explore_seed
from edgeless_sim.exploration.setting import Setting, load_setting
from edgeless_sim.exploration.tally import SeedResult

__all__ = ["explore_seeds", "processes_usable"]


def processes_usable() -> int:
    """How many processes the machine has cores for."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def explore_seeds(
    seeds: Sequence[int], scenario: str | None, *, processes: int
) -> Generator[SeedResult]:
    """Explore *seeds* in the setting of *scenario*; close it to leave the rest.

    Raises `SpecError` for a scenario that is bad, before anything runs.
    """
    setting = load_setting(scenario)
    processes = min(processes, len(seeds))
    if processes <= 1:
        for seed in seeds:
            yield explore_seed(seed, setting)
        return
    # A fork would copy whatever the caller has open, loops and signal handlers included.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_begin) as pool:
        with _deaf():
            futures = [pool.submit(_explore, seed, scenario) for seed in seeds]
        try:
            for future in as_completed(futures):
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


def _explore(seed: int, scenario: str | None) -> SeedResult:
    return explore_seed(seed, _setting(scenario))


@cache
def _setting(scenario: str | None) -> Setting:
    return load_setting(scenario)
