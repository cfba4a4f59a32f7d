"""Keeps samples of metrics-collector in a real Redis (spec 6.14).

A ping goes before each batch, so that what fails then was not written and may be tried again; a
batch is one transaction, which is never repeated. Not here: when it is asked (`sample_writer`).
"""

from collections.abc import Sequence

from edgeless_sim.errors import ResourceError
from edgeless_sim.kernel.clock import Clock
from edgeless_sim.model.names import clipped
from edgeless_sim.resources.collector_rules import SAMPLES_MAX, Sample, average_key, samples_key
from edgeless_sim.resources.redis_connection import (
    close_client,
    drop_connections,
    make_client,
    was_refused_whole,
)
from edgeless_sim.resources.redis_rules import RedisPlace
from edgeless_sim.resources.sample_writer import StoreAwayError

__all__ = ["RedisSamples"]


class RedisSamples:
    """A `SampleStore`. Anywhere is allowed: the node's owner wrote where."""

    def __init__(self, place: RedisPlace, clock: Clock, timeout_s: float) -> None:
        """*timeout_s* is for a connection with its ping, and for a batch."""
        self._client = make_client(place, None, timeout_s, retries=0)
        self._clock = clock
        self._timeout_s = timeout_s

    async def write(self, samples: Sequence[Sample], forgotten: Sequence[str]) -> Sequence[str]:
        """See `SampleStore.write`."""
        try:
            with self._clock.fail_after(2 * self._timeout_s):
                await self._client.ping()
        except Exception as cause:
            # The boundary: a stranger may answer anything.
            await drop_connections(self._client)
            raise StoreAwayError(_described(cause)) from cause
        try:
            with self._clock.fail_after(2 * self._timeout_s):
                return await self._sent(samples, forgotten)
        except Exception as cause:
            await drop_connections(self._client)
            if was_refused_whole(cause):
                raise StoreAwayError(_described(cause)) from cause
            raise ResourceError(_described(cause)) from cause

    async def aclose(self) -> None:
        """See `SampleStore.aclose`."""
        await close_client(self._client)

    async def _sent(self, samples: Sequence[Sample], forgotten: Sequence[str]) -> list[str]:
        async with self._client.pipeline(transaction=True) as pipeline:
            for name in forgotten:
                pipeline.delete(samples_key(name), average_key(name))
            for sample in samples:
                pipeline.rpush(samples_key(sample.name), sample.text)
            for name, last in {sample.name: sample for sample in samples}.items():
                pipeline.ltrim(samples_key(name), -SAMPLES_MAX, -1)
                pipeline.set(average_key(name), repr(last.average))
            results = await pipeline.execute(raise_on_error=False)
        return [_described(each) for each in results if isinstance(each, Exception)]


def _described(cause: BaseException) -> str:
    return clipped(str(cause) or "the server did not answer in time")
