"""Expectations about what is outside of the cluster: its clients, and what back-ends got.

Part of the vocabulary of `expectations`. Back-ends can be looked into in the world sim only.
"""

from typing import Annotated, Literal

from pydantic import Field

from edgeless_sim.model.toml_table import Name
from edgeless_sim.scenario.expectation_table import Count, ExpectationTable
from edgeless_sim.scenario.http_tables import BackendUrl
from edgeless_sim.scenario.units import Duration

__all__ = [
    "HttpReceived",
    "KafkaReceived",
    "RedisValue",
    "RedisWrites",
    "SqlRow",
    "WorkloadExpected",
]


class WorkloadExpected(ExpectationTable):
    """What a workload came to, without its warm-up."""

    what: Literal["workload"]
    workload: Name
    min: Count | None = None
    """How many arrived; with ``status``, how many came to that."""
    max: Count | None = None
    exactly: Count | None = None
    status: Name | None = None
    """``200``, ``reply``, ``started``, ``timeout``, ...: as the summary has it."""
    within: Duration | None = None
    """A share of all that arrived has been answered within it."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.99
    p95_max: Duration | None = None
    blocking_max: Annotated[float, Field(ge=0, le=1)] | None = None


class HttpReceived(ExpectationTable):
    """How many requests a simulated web server got."""

    what: Literal["http_received"]
    url: BackendUrl
    method: Annotated[str, Field(pattern=r"^[A-Z]{1,32}$")] | None = None
    path: Name | None = None
    """With the query."""
    text: str | None = None
    """Somewhere in the body."""
    min: Count | None = None
    max: Count | None = None
    exactly: Count | None = None


class KafkaReceived(ExpectationTable):
    """How many records a topic of a simulated broker got."""

    what: Literal["kafka_received"]
    url: BackendUrl
    """``kafka://`` and the first broker that the resource names."""
    topic: Name
    text: str | None = None
    """Somewhere in the record."""
    min: Count | None = None
    max: Count | None = None
    exactly: Count | None = None


class RedisValue(ExpectationTable):
    """What a simulated Redis holds; of a list, each element on a line of its own."""

    what: Literal["redis_value"]
    url: BackendUrl
    """With the number of the database, if it is not 0."""
    key: Name
    value: str | None = None
    contains: str | None = None


class RedisWrites(ExpectationTable):
    """How often a key was set or got an element at a simulated Redis; without a key, any."""

    what: Literal["redis_writes"]
    url: BackendUrl
    key: Name | None = None
    min: Count | None = None
    max: Count | None = None
    exactly: Count | None = None


class SqlRow(ExpectationTable):
    """How many rows there are in the table WorkflowState of a simulated database."""

    what: Literal["sql_row"]
    url: BackendUrl
    node: Name | None = None
    """Only on this one: each node has databases of its own."""
    workflow: Name | None = None
    """Only the row whose id is that of this workflow, which may have been stopped since."""
    id: Name | None = None
    """Only the row with this id."""
    text: str | None = None
    """Somewhere in the metadata."""
    min: Count | None = None
    max: Count | None = None
    exactly: Count | None = None
