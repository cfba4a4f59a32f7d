"""What holds for all tests."""

import asyncio
import gc
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """A shell has Ctrl-C ignored in what it runs in the background, and children inherit that:
    tests about it need it as it is for a person.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


#: Half of the smallest object for each of ten thousand operations.
GROWTH_BYTES_MAX = 1 << 18


@contextmanager
def _no_growth() -> Iterator[None]:
    """What runs in here leaves no memory, no task and no descriptor behind."""
    gc.collect()
    tasks, descriptors = len(asyncio.all_tasks()), len([*Path("/proc/self/fd").iterdir()])
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before <= GROWTH_BYTES_MAX
    assert len(asyncio.all_tasks()) <= tasks
    assert len([*Path("/proc/self/fd").iterdir()]) <= descriptors


@pytest.fixture
def no_growth() -> Callable[[], Any]:
    """A context that fails if what runs in it leaves something behind; warm up before."""
    return _no_growth
