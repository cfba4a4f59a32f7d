"""Judges expectations about what is outside of the cluster: its clients and its back-ends.

Not here: when they are judged (`runner`), and what the journal tells (`judge`).
"""

from collections.abc import Mapping
from typing import Final, Protocol

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.names import quoted
from edgeless_sim.resources.redis_rules import read_place
from edgeless_sim.resources.simulated.backends import Backends, backend_address
from edgeless_sim.resources.simulated.http import HttpServer
from edgeless_sim.resources.simulated.kafka import RECORDS_KEPT, KafkaBroker
from edgeless_sim.resources.simulated.redis import WRITES_KEPT, RedisServer
from edgeless_sim.resources.simulated.sqlx import databases_at
from edgeless_sim.scenario import expectations as expect
from edgeless_sim.scenario.observer import Observer
from edgeless_sim.scenario.units import duration_text
from edgeless_sim.scenario.workload_counts import WorkloadCounts

__all__ = ["WORLDLY", "WorldJudge", "is_expected"]

#: What is judged here.
WORLDLY: Final = (
    expect.WorkloadExpected,
    expect.HttpReceived,
    expect.KafkaReceived,
    expect.RedisValue,
    expect.RedisWrites,
    expect.SqlRow,
)
_SHOWN_MAX: Final = 6


class _Bounds(Protocol):
    @property
    def min(self) -> int | None: ...
    @property
    def max(self) -> int | None: ...
    @property
    def exactly(self) -> int | None: ...


def is_expected(count: int, bounds: _Bounds) -> bool:
    """Whether *count* is within *bounds*."""
    low = 0 if bounds.min is None else bounds.min
    high = count if bounds.max is None else bounds.max
    exact = count if bounds.exactly is None else bounds.exactly
    return low <= count <= high and count == exact


class WorldJudge:
    """Judges them in one run."""

    def __init__(
        self, cluster: Cluster, observer: Observer, workloads: Mapping[str, WorkloadCounts]
    ) -> None:
        self._cluster = cluster
        self._observer = observer
        self._workloads = workloads

    def answer(self, expectation: expect.Expectation) -> tuple[bool, str]:
        """Whether *expectation*, one of `WORLDLY`, holds, and what was found."""
        match expectation:
            case expect.WorkloadExpected():
                return _workload(self._workloads[expectation.workload], expectation)
            case expect.HttpReceived():
                return _http_received(self._backends, expectation)
            case expect.KafkaReceived():
                return _kafka_received(self._backends, expectation)
            case expect.RedisValue():
                return _redis_value(self._backends, expectation)
            case expect.RedisWrites():
                return _redis_writes(self._backends, expectation)
            case expect.SqlRow():
                return self._sql_row(expectation)
            case _:
                raise AssertionError(expectation)

    def _sql_row(self, expectation: expect.SqlRow) -> tuple[bool, str]:
        identity = expectation.id
        if expectation.workflow is not None:
            identity = self._observer.workflow_id(expectation.workflow)
            if identity is None:
                return False, "the workflow was never started"
        rows = [
            row
            for node, database in databases_at(self._backends, expectation.url).items()
            if expectation.node in (None, node)
            for row in database.rows()
        ]
        count = sum(
            identity in (None, each) and (expectation.text or "") in metadata
            for each, metadata in rows
        )
        return is_expected(count, expectation), f"{count} of {len(rows)} rows"

    @property
    def _backends(self) -> Backends:
        backends = self._cluster.backends
        if backends is None:
            raise RejectedError(
                "back-ends are simulated in the world sim only", self._cluster.world
            )
        return backends


def _http_received(backends: Backends, expectation: expect.HttpReceived) -> tuple[bool, str]:
    server = backends.all(HttpServer).get(backend_address(expectation.url), HttpServer())
    text = (expectation.text or "").encode()
    if expectation.method is expectation.path is expectation.text is None:
        count = server.requests_total
        return is_expected(count, expectation), f"{count} requests"
    count = sum(
        expectation.method in (None, record.method)
        and expectation.path in (None, record.path)
        and text in record.body
        for record in server.requests
    )
    if server.requests_total == len(server.requests):
        return is_expected(count, expectation), f"{count} of {server.requests_total} requests"
    # Some of the older ones may have been such, too.
    known = expectation.min is not None and expectation.max is expectation.exactly is None
    found = f"{count} of the last {len(server.requests)} of {server.requests_total} requests"
    return known and is_expected(count, expectation), found


def _kafka_received(backends: Backends, expectation: expect.KafkaReceived) -> tuple[bool, str]:
    broker = backends.all(KafkaBroker).get(backend_address(expectation.url), KafkaBroker())
    records = broker.topics.get(expectation.topic, ())
    count = sum((expectation.text or "") in record.value for record in records)
    return _remembered(count, len(records), RECORDS_KEPT, expectation, "records")


def _redis(backends: Backends, url: str) -> tuple[RedisServer, int]:
    """The server at *url*, an empty one if nobody asked there, and the number of the database."""
    server = backends.all(RedisServer).get(backend_address(url), RedisServer())
    return server, read_place(url).database


def _redis_value(backends: Backends, expectation: expect.RedisValue) -> tuple[bool, str]:
    server, database = _redis(backends, expectation.url)
    value = server.shown(database, expectation.key)
    if value is None:
        return False, "there is no such key"
    holds = expectation.value in (None, value) and (expectation.contains or "") in value
    return holds, f"it is {quoted(value)}"


def _redis_writes(backends: Backends, expectation: expect.RedisWrites) -> tuple[bool, str]:
    server, database = _redis(backends, expectation.url)
    count = sum(
        write.database == database and expectation.key in (None, write.key)
        for write in server.writes
    )
    return _remembered(count, len(server.writes), WRITES_KEPT, expectation, "writes")


def _remembered(
    count: int, total: int, total_max: int, bounds: _Bounds, what: str
) -> tuple[bool, str]:
    """Judge *count* of the *total* that are remembered, which are never more than *total_max*."""
    if total < total_max:
        return is_expected(count, bounds), f"{count} of {total} {what}"
    # Some of the older ones may have been such, too.
    known = bounds.min is not None and bounds.max is bounds.exactly is None
    return known and is_expected(count, bounds), f"{count} of the last {total} {what}"


def _workload(counts: WorkloadCounts, expectation: expect.WorkloadExpected) -> tuple[bool, str]:
    status = expectation.status
    count = counts.requested if status is None else counts.answers[status]
    answers = ", ".join(f"{n} {key}" for key, n in counts.answers.most_common(_SHOWN_MAX))
    found = [f"{counts.requested} arrived: {answers or 'none was answered'}"]
    holds = is_expected(count, expectation)
    if expectation.within is not None:
        in_time = counts.latency.total - counts.slow[expectation.within]
        share = in_time / counts.requested if counts.requested else 0.0
        holds = holds and share >= expectation.share
        found.append(f"{share:.2%} answered within {duration_text(expectation.within)}")
    if expectation.p95_max is not None:
        p95_ns = counts.latency.quantile_ns(0.95)
        holds = holds and counts.latency.total > 0 and p95_ns <= expectation.p95_max
        found.append(f"p95 {duration_text(p95_ns)}")
    if expectation.blocking_max is not None:
        holds = holds and counts.blocking <= expectation.blocking_max
        found.append(f"blocking probability {counts.blocking:.4f}")
    return holds, "; ".join(found)
