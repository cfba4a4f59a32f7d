"""Writes samples, one batch after the other, however its store does: who measures never waits.

While the store is away samples wait, and are written in their order when it is back; they carry
their own times. What may have been written is never written again. Not here: what writes
(`redis_samples`, and `simulated.metrics_collector`).
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import anyio

from edgeless_sim.errors import ResourceError
from edgeless_sim.kernel.clock import Clock
from edgeless_sim.resources.collector_rules import (
    ATTEMPTS_MAX,
    BATCH_MAX,
    NAMES_MAX,
    PAUSE_MAX_NS,
    PAUSE_MIN_NS,
    WAITING_MAX,
    Sample,
)
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["SampleStore", "SampleWriter", "StoreAwayError"]


class StoreAwayError(ResourceError):
    """The store cannot be used now. Nothing was written, so that the same may be tried again."""


class SampleStore(Protocol):
    """Keeps samples. Nobody asks two things of it at a time."""

    async def write(self, samples: Sequence[Sample], forgotten: Sequence[str]) -> Sequence[str]:
        """Delete the keys of the names *forgotten*, then keep *samples*.

        Return a reason for each thing that was refused. Raise `StoreAwayError` if nothing was
        done, another `ResourceError` if nobody knows.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections. Once, at the end."""
        ...


class SampleWriter:
    """The queue before a store, and the task that empties it; that is begun when it is needed."""

    def __init__(
        self,
        store: SampleStore,
        clock: Clock,
        tasks: ProviderTasks,
        *,
        warn: Callable[[str], None],
        counters: Counter[str],
    ) -> None:
        """*counters* counts ``samples_written``, ``samples_lost``, ``writes_refused`` (of samples
        and of averages), ``attempts_failed``, and ``names_left``, whose keys stay after a reset.
        """
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._warn = warn
        self._counters = counters
        self._samples: deque[Sample] = deque()
        #: Names whose keys are to be deleted, before any sample that waits is written.
        self._forgotten: dict[str, None] = {}
        #: Samples of an older one are not wanted any more.
        self._epoch = 0
        self._pause_ns = PAUSE_MIN_NS
        self._wake = anyio.Event()
        self._begun = False

    @property
    def full(self) -> bool:
        """Whether no more samples can wait."""
        return len(self._samples) >= WAITING_MAX

    def append(self, sample: Sample) -> None:
        """Write *sample* when its turn comes; not if the writer is `full`."""
        assert not self.full, "whoever appends looks first"
        self._samples.append(sample)
        self._prompt()

    def forget(self, names: Iterable[str]) -> None:
        """Delete the keys of *names*, of which no sample waits."""
        self._forgotten.update(dict.fromkeys(names))
        while len(self._forgotten) > NAMES_MAX:
            del self._forgotten[next(iter(self._forgotten))]
            self._counters["names_left"] += 1
        if self._forgotten:
            self._prompt()

    def reset(self, names: Iterable[str]) -> None:
        """Forget what waits, and all *names*."""
        self._epoch += 1
        self._samples.clear()
        self.forget(names)

    def _prompt(self) -> None:
        if not self._begun:
            self._begun = True
            self._tasks.begin(self._work)
        self._wake.set()

    # -- the task -------------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                await self._write_all()
        finally:
            with anyio.CancelScope(shield=True):
                await self._store.aclose()

    async def _write_all(self) -> None:
        """Return when nothing waits, or the store has failed too often."""
        failures = 0
        while self._samples or self._forgotten:
            if await self._write_batch():
                failures, self._pause_ns = 0, PAUSE_MIN_NS
                continue
            failures += 1
            if failures >= ATTEMPTS_MAX:
                self._lose(len(self._samples), f"given up after {failures} attempts")
                self._samples.clear()
                return
            pause_ns, self._pause_ns = self._pause_ns, min(2 * self._pause_ns, PAUSE_MAX_NS)
            await self._clock.sleep(pause_ns / 1e9)

    async def _write_batch(self) -> bool:
        """Whether the store is well."""
        forgotten = _taken(self._forgotten)
        # A name that is still to be deleted must not lose what comes after that.
        count = 0 if self._forgotten else min(BATCH_MAX, len(self._samples))
        samples = [self._samples.popleft() for _ in range(count)]
        epoch = self._epoch
        try:
            refused = await self._store.write(samples, forgotten)
        except ResourceError as cause:
            self._counters["attempts_failed"] += 1
            # Deleting twice does no harm.
            self._forgotten = dict.fromkeys(forgotten) | self._forgotten
            if not isinstance(cause, StoreAwayError):
                self._lose(len(samples), str(cause))
            elif epoch == self._epoch:
                self._samples.extendleft(reversed(samples))
                self._warn(f"{cause}; {len(self._samples)} samples wait")
            return False
        self._counters["samples_written"] += len(samples)
        if refused:
            self._counters["writes_refused"] += len(refused)
            self._warn(refused[0])
        return True

    def _lose(self, count: int, reason: str) -> None:
        self._counters["samples_lost"] += count
        self._warn(f"{reason}; {count} samples are lost")


def _taken(names: dict[str, None]) -> list[str]:
    """The first `BATCH_MAX` of *names*, which are not there any more."""
    taken = [name for name, _ in zip(names, range(BATCH_MAX), strict=False)]
    for name in taken:
        del names[name]
    return taken
