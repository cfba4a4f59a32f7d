"""The rows of a `Snapshot` of a run: those with trouble first, then those with the most load."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from heapq import nsmallest
from typing import Final, TypeAlias

from edgeless_sim.report.scene import RUNNING, Component, Node, Workflow
from edgeless_sim.report.snapshot import ComponentRow, NodeRow, WorkflowRow
from edgeless_sim.report.window import Window

__all__ = ["TROUBLES", "counted", "node_rows", "workflow_rows"]

#: States of nodes that one looks for.
TROUBLES: Final = frozenset({"unreachable", "crashed", "stopped"})
_COMPONENTS_SHOWN: Final = 100

#: A workflow, its state, and why.
Judged: TypeAlias = tuple[Workflow, str, str]


def counted(states: Iterable[str]) -> dict[str, int]:
    """How many there are of each."""
    return dict(sorted(Counter(states).items()))


def node_rows(
    nodes: Collection[Node], rows_max: int, window: Window, cores: Mapping[str, int]
) -> tuple[NodeRow, ...]:
    """The first *rows_max* of *nodes*."""
    first = nsmallest(rows_max, nodes, key=_node_order)
    return tuple(_node_row(node, window.seconds, cores.get(node.name)) for node in first)


def workflow_rows(
    workflows: Collection[Judged], rows_max: int, window: Window
) -> tuple[WorkflowRow, ...]:
    """The first *rows_max* of *workflows*."""
    first = nsmallest(rows_max, workflows, key=_workflow_order)
    return tuple(_workflow_row(*each, window) for each in first)


def _node_row(node: Node, seconds: float, cores: int | None) -> NodeRow:
    return NodeRow(
        name=node.name,
        domain=node.domain,
        state=node.shown_state,
        cores=cores,
        # A handler counts when it ends: one that took longer than the window would show as more.
        utilisation=min(1.0, node.busy_ns / 1e9 / seconds / cores) if cores else None,
        instances=len(node.hosted),
        queue=node.queue,
        events_in=node.received / seconds,
        events_out=node.sent / seconds,
        drops=node.drops,
    )


def _workflow_row(workflow: Workflow, state: str, reason: str, window: Window) -> WorkflowRow:
    components = list(workflow.components.values())
    handling = window.handling(components)
    return WorkflowRow(
        name=workflow.title,
        domain=workflow.domain,
        state=state,
        reason=reason,
        events=_handled(workflow) / window.seconds,
        p50_ns=handling.quantile_ns(0.5) if handling.total else None,
        p95_ns=handling.quantile_ns(0.95) if handling.total else None,
        components=tuple(_component_row(each, window) for each in components[:_COMPONENTS_SHOWN]),
        components_total=len(components),
    )


def _component_row(component: Component, window: Window) -> ComponentRow:
    handling = window.handling([component])
    return ComponentRow(
        name=component.name,
        node=component.node,
        state=component.state,
        reason=component.reason,
        events=component.handled / window.seconds,
        p50_ns=handling.quantile_ns(0.5) if handling.total else None,
        p95_ns=handling.quantile_ns(0.95) if handling.total else None,
    )


def _node_order(node: Node) -> tuple[bool, int, int, str]:
    return node.state not in TROUBLES, -node.busy_ns, -node.received, node.name


def _workflow_order(each: Judged) -> tuple[bool, int, str]:
    workflow, state, _ = each
    return state == RUNNING, -_handled(workflow), workflow.title


def _handled(workflow: Workflow) -> int:
    return sum(each.handled for each in workflow.components.values())
