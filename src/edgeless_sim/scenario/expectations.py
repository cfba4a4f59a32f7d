"""What must hold in a scenario. A closed vocabulary; each expectation can fail.

Most of them are judged by what the journal told (`observer`); the rest asks the cluster. Not
here: when they are judged (`runner`).
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from edgeless_sim.model.toml_table import Name
from edgeless_sim.scenario.expectation_table import Count, ExpectationTable
from edgeless_sim.scenario.units import Duration
from edgeless_sim.scenario.world_expectations import (
    HttpReceived,
    KafkaReceived,
    RedisValue,
    RedisWrites,
    SqlRow,
    WorkloadExpected,
)

__all__ = [
    "CAUSES",
    "AllComponentsRunning",
    "ComponentOn",
    "EventsHandled",
    "EventsWithin",
    "Expectation",
    "FileContains",
    "HttpReceived",
    "KafkaReceived",
    "LossesExplained",
    "LossesMax",
    "Moved",
    "NoDuplicates",
    "NoLosses",
    "RedisValue",
    "RedisWrites",
    "SqlRow",
    "WorkflowRunning",
    "WorkflowStopped",
    "WorkloadExpected",
    "is_cause",
]

#: Why an event can be lost, as the journal has it.
CAUSES: Final = (
    "a peer used our name",
    "a return that nobody waits for",
    "connection closed",
    "connection lost",
    "duplicate",
    "duplicate or overtaken",
    "event too large",
    "loss",
    "network queue full",
    "no answer in time",
    "no such instance",
    "no such peer",
    "nobody listens",
    "node crashed",
    "one-way partition",
    "partition",
    "queue full",
    "target not placed",
    "the caller has given up",
    "the channel is not mapped",
    "the function has failed",
    "the instance was stopped",
    "the node was stopped",
    "the resource did not start",
    "the sender has stopped",
)
#: What a guest may not send is lost as "cast: the payload is larger than 1 MiB" and the like.
_OPERATIONS: Final = frozenset(
    {"call", "call_raw", "cast", "cast_raw", "delayed_cast", "event", "reply", "sync"}
)


def is_cause(text: str) -> bool:
    """Whether an event can be lost for the cause *text*."""
    operation, colon, why = text.partition(": ")
    return text in CAUSES or (operation in _OPERATIONS and bool(colon and why))


class WorkflowRunning(ExpectationTable):
    """The ε-CON says that every component of the workflow runs, and its node is alive."""

    what: Literal["workflow_running"]
    workflow: Name


class WorkflowStopped(ExpectationTable):
    """The ε-CON knows no such workflow, and no instance of it is left on a living node."""

    what: Literal["workflow_stopped"]
    workflow: Name


class ComponentOn(ExpectationTable):
    """Where a component runs: one of the three keys says on which node, or not on which."""

    what: Literal["component_on"]
    workflow: Name
    component: Name
    node: Name | None = None
    domain: Name | None = None
    not_node: Name | None = None


class EventsHandled(ExpectationTable):
    """How many casts and calls a component, or the whole workflow, has handled."""

    what: Literal["events_handled"]
    workflow: Name
    component: Name | None = None
    min: Count | None = None
    max: Count | None = None
    exactly: Count | None = None


class EventsWithin(ExpectationTable):
    """A share of the events is handled within a time, from being sent to the handler's end."""

    what: Literal["events_within"]
    workflow: Name
    component: Name
    within: Duration
    share: Annotated[float, Field(gt=0, le=1)] = 0.99


class NoLosses(ExpectationTable):
    """Every event that was sent has been handled, or is on its way."""

    what: Literal["no_losses"]


class LossesMax(ExpectationTable):
    """So many events were lost at most; with a cause, for that one of `CAUSES`."""

    what: Literal["losses_max"]
    count: Count
    cause: Name | None = None


class LossesExplained(ExpectationTable):
    """Of every event it is known what became of it: handled, in work, or lost for a reason.

    Events sent less than ``within`` ago may still be on their way.
    """

    what: Literal["losses_explained"]
    within: Duration = 5_000_000_000


class FileContains(ExpectationTable):
    """A file that a resource wrote: on one node, or on any. ``lines_min`` counts all of them."""

    what: Literal["file_contains"]
    file: Name
    node: Name | None = None
    text: str | None = None
    lines_min: Count | None = None


class Moved(ExpectationTable):
    """A component has run on at least two nodes, one after the other."""

    what: Literal["moved"]
    workflow: Name
    component: Name


class NoDuplicates(ExpectationTable):
    """No component has two instances on living nodes, as it may have during a partition."""

    what: Literal["no_duplicates"]


class AllComponentsRunning(ExpectationTable):
    """By ``after`` plus ``within``, every component has an instance on a living node.

    This is what the nodes do, not what the ε-CON believes.
    """

    what: Literal["all_components_running"]
    after: Duration
    within: Duration
    workflow: Name | None = None


Expectation: TypeAlias = Annotated[
    WorkflowRunning
    | WorkflowStopped
    | ComponentOn
    | EventsHandled
    | EventsWithin
    | NoLosses
    | LossesMax
    | LossesExplained
    | FileContains
    | Moved
    | NoDuplicates
    | AllComponentsRunning
    | WorkloadExpected
    | HttpReceived
    | KafkaReceived
    | RedisValue
    | RedisWrites
    | SqlRow,
    Field(discriminator="what"),
]
