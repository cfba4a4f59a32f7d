"""metrics-collector in virtual time: its samples go to a simulated Redis.

Not here: what the class does (`metrics_collector`).
"""

from collections.abc import Sequence
from typing import ClassVar

from edgeless_sim.errors import ResourceError, SettingsError
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.resources.collector_rules import SAMPLES_MAX, Sample, average_key, samples_key
from edgeless_sim.resources.metrics_collector import MetricsCollector
from edgeless_sim.resources.redis_rules import RedisPlace
from edgeless_sim.resources.sample_writer import SampleStore, StoreAwayError
from edgeless_sim.resources.simulated.backends import Backends, Reach, backend_address
from edgeless_sim.resources.simulated.redis import DATABASES, REDIS_FAULTS, RedisServer

__all__ = ["SimulatedMetricsCollectorProvider"]


class _SimulatedSamples:
    """A `SampleStore`."""

    def __init__(
        self,
        backends: Backends,
        scheduler: Scheduler,
        address: str,
        *,
        database: int,
        timeout_s: float,
    ) -> None:
        self._backends = backends
        self._scheduler = scheduler
        self._address = address
        self._database = database
        self._timeout_s = timeout_s

    async def write(self, samples: Sequence[Sample], forgotten: Sequence[str]) -> Sequence[str]:
        """See `SampleStore.write`."""
        server = await self._greeted()
        for name in forgotten:
            server.delete(self._database, samples_key(name), average_key(name))
        refused = []
        now_ns = self._scheduler.now_ns()
        for sample in samples:
            key = samples_key(sample.name)
            try:
                server.push(self._database, key, sample.text, kept=SAMPLES_MAX, at_ns=now_ns)
            except ResourceError as cause:
                refused.append(str(cause))
        for name, last in {sample.name: sample for sample in samples}.items():
            server.set(self._database, average_key(name), repr(last.average), at_ns=now_ns)
        return refused

    async def aclose(self) -> None:
        """See `SampleStore.aclose`; there are no connections."""

    async def _greeted(self) -> RedisServer:
        try:
            reach = await self._backends.reached(self._address, timeout_s=self._timeout_s)
            if reach is not Reach.REACHED:
                raise StoreAwayError(REDIS_FAULTS[reach])
            if self._database >= DATABASES:
                raise StoreAwayError(
                    f"there is no database {self._database}: a simulated server has {DATABASES}"
                )
            return self._backends.of(RedisServer, self._address)
        except SettingsError as cause:
            raise StoreAwayError(str(cause)) from None


class SimulatedMetricsCollectorProvider(MetricsCollector):
    """metrics-collector in simulation."""

    real_time_only: ClassVar[bool] = False

    def _make_store(self, place: RedisPlace, timeout_s: float) -> SampleStore:
        backends = self._host.backends
        assert backends is not None, "a twin is for simulation"
        return _SimulatedSamples(
            backends,
            self._host.scheduler,
            backend_address(self._host.settings.collector_redis_url),
            database=place.database,
            timeout_s=timeout_s,
        )
