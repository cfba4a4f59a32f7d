"""What the ε-CON and the ε-ORCs of a deployment answered, as a `Snapshot`.

Pure: nobody is asked here. Events per second and durations come from the measurements that nodes
send if they are told to; a duration is that of the handler alone. Whoever did not answer is shown
as such, and what only he knows is missing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgeless_sim.api.messages import ComponentMapping, WorkflowStatus
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.histogram import Histogram
from edgeless_sim.model.ids import InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.mirror import (
    DomainMirror,
    MirroredComponent,
    MirroredNode,
    SeriesMetric,
)
from edgeless_sim.report.rows import TROUBLES, counted
from edgeless_sim.report.scene import DEGRADED, ORPHAN, PENDING, RUNNING
from edgeless_sim.report.snapshot import ComponentRow, NodeRow, PeerRow, Snapshot, WorkflowRow

__all__ = [
    "ANSWERS",
    "ASKED",
    "REFUSES",
    "SILENT",
    "ControllerAnswer",
    "OrchestratorAnswer",
    "deployment_snapshot",
]

ANSWERS: Final = "answers"
ASKED: Final = "is being asked"
#: It answers, but not what it was asked.
REFUSES: Final = "refuses"
SILENT: Final = "does not answer"
_COMPONENTS_SHOWN: Final = 100
_DOMAINS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class ControllerAnswer:
    """What an ε-CON said."""

    url: str
    workflows: tuple[WorkflowStatus, ...] = ()
    domains: Mapping[str, DomainCapabilities] | None = None
    answer: str = ANSWERS
    """Or one of the other words for it; then the rest is empty."""
    fault: str = ""
    """Why it did not say anything."""


@dataclass(frozen=True, slots=True)
class OrchestratorAnswer:
    """What an ε-ORC showed of its domain."""

    url: str
    mirror: DomainMirror | None = None
    """None if it did not."""
    answer: str = ANSWERS
    """As `ControllerAnswer.answer`."""
    fault: str = ""
    left_out: str = ""
    """What there was too much of."""


class _Measured:
    """What was measured of instances in the window."""

    def __init__(self, mirrors: Iterable[DomainMirror], since_s: float, window_s: float) -> None:
        self._window_s = window_s
        self._handled: dict[InstanceId, Histogram] = {}
        self._on_node: dict[NodeId, int] = {}
        for mirror in mirrors:
            for series in mirror.series:
                if series.name != SeriesMetric.EXECUTION:
                    continue
                histogram = self._handled.setdefault(series.instance, Histogram())
                for point in series.points:
                    if point.time_s >= since_s and not isinstance(point.value, str):
                        histogram.add(round(point.value * 1e9))
        for instance, histogram in self._handled.items():
            node = instance.node_id
            self._on_node[node] = self._on_node.get(node, 0) + histogram.total

    def on_node(self, node: NodeId) -> float | None:
        """Events per second; None if nobody measures anything there."""
        count = self._on_node.get(node)
        return None if count is None else count / self._window_s

    def of(self, instances: Iterable[InstanceId]) -> tuple[float | None, int | None, int | None]:
        """Events per second, and the quantiles 0.5 and 0.95 in ns."""
        together = Histogram()
        known = False
        for instance in instances:
            histogram = self._handled.get(instance)
            if histogram is not None:
                known = True
                together.merge(histogram)
        if not together.total:
            return (0.0 if known else None), None, None
        rate = together.total / self._window_s
        return rate, together.quantile_ns(0.5), together.quantile_ns(0.95)


def deployment_snapshot(
    controller: ControllerAnswer,
    orchestrators: Sequence[OrchestratorAnswer],
    *,
    now_s: float,
    window_s: float,
    nodes_max: int,
    workflows_max: int,
) -> Snapshot:
    """The moment *now_s* (seconds since 1970); rates are of the *window_s* before it."""
    mirrors = [each.mirror for each in orchestrators if each.mirror is not None]
    measured = _Measured(mirrors, now_s - window_s, window_s)
    nodes = [row for mirror in mirrors for row in _node_rows(mirror, measured)]
    nodes.sort(key=_node_order)
    workflows = list(_workflow_rows(controller, mirrors, measured))
    workflows.sort(key=_workflow_order)
    silent = (controller.answer != ANSWERS) + len(orchestrators) - len(mirrors)
    return Snapshot(
        title=f"deployment of {controller.url}",
        at_s=now_s,
        phase=f"{silent} of {1 + len(orchestrators)} say nothing" if silent else "all answer",
        window_s=window_s,
        nodes=tuple(nodes[:nodes_max]),
        nodes_total=len(nodes),
        nodes_by_state=counted(each.state for each in nodes),
        workflows=tuple(workflows[:workflows_max]),
        workflows_total=len(workflows),
        workflows_by_state=counted(each.state for each in workflows),
        peers=(_controller_row(controller, mirrors), *map(_orchestrator_row, orchestrators)),
    )


# -- nodes --------------------------------------------------------------------------------------


def _node_rows(mirror: DomainMirror, measured: _Measured) -> Iterator[NodeRow]:
    instances: dict[NodeId, int] = {}
    for component in mirror.components:
        for instance in component.instances:
            instances[instance.node_id] = instances.get(instance.node_id, 0) + 1
    for node in mirror.nodes:
        yield NodeRow(
            name=node.name or str(node.node_id),
            domain=mirror.domain_id,
            state=_node_state(node),
            cores=node.capabilities.num_cpus or None,
            utilisation=_utilisation(node),
            instances=instances.get(node.node_id, 0),
            events_in=measured.on_node(node.node_id),
        )


def _node_state(node: MirroredNode) -> str:
    if not node.reachable:
        return "unreachable"
    return "cordoned" if node.cordoned else "alive"


def _utilisation(node: MirroredNode) -> float | None:
    """Of all its CPUs, by the node's own process."""
    cpus = node.capabilities.num_cpus
    percent = node.health[-1].health.proc_cpu_usage if node.health else -1
    return None if percent < 0 or not cpus else min(1.0, percent / 100 / cpus)


# -- workflows ----------------------------------------------------------------------------------


def _workflow_rows(
    controller: ControllerAnswer, mirrors: Sequence[DomainMirror], measured: _Measured
) -> Iterator[WorkflowRow]:
    """As the ε-CON has them; if it does not answer, as far as the domains know them."""
    mirrored = {each.logical_id: each for mirror in mirrors for each in mirror.components}
    if controller.answer == ANSWERS:
        for status in controller.workflows:
            yield _workflow_row(status, mirrored, measured)
        return
    names = {
        node.node_id: node.name or str(node.node_id) for mirror in mirrors for node in mirror.nodes
    }
    for mirror in mirrors:
        found: dict[WorkflowId, list[MirroredComponent]] = {}
        for component in mirror.components:
            request = component.function or component.resource
            if request is not None:
                found.setdefault(request.workflow_id, []).append(component)
        for workflow_id, components in found.items():
            rows = [_mirrored_row(each, names, measured) for each in components]
            instances = [instance for each in components for instance in each.instances]
            yield _together(str(workflow_id), mirror.domain_id, rows, "", measured.of(instances))


def _workflow_row(
    status: WorkflowStatus,
    mirrored: Mapping[LogicalId, MirroredComponent],
    measured: _Measured,
) -> WorkflowRow:
    rows = []
    instances: list[InstanceId] = []
    for mapping in status.mapping:
        own = _instances(mapping, mirrored)
        instances += own
        rate, p50_ns, p95_ns = measured.of(own)
        rows.append(
            ComponentRow(
                mapping.name,
                mapping.node,
                mapping.state.value,
                mapping.reason,
                rate,
                p50_ns,
                p95_ns,
            )
        )
    domains = ", ".join(sorted({str(mapping.domain_id) for mapping in status.mapping}))
    name = status.name or str(status.workflow_id)
    return _together(name, domains, rows, status.reason, measured.of(instances))


def _instances(
    mapping: ComponentMapping, mirrored: Mapping[LogicalId, MirroredComponent]
) -> Sequence[InstanceId]:
    found = mirrored.get(mapping.logical_id)
    if found is not None:
        return found.instances
    return () if mapping.instance is None else (mapping.instance,)


def _mirrored_row(
    component: MirroredComponent, names: Mapping[NodeId, str], measured: _Measured
) -> ComponentRow:
    request = component.function or component.resource
    rate, p50_ns, p95_ns = measured.of(component.instances)
    where = [names.get(each.node_id, str(each.node_id)) for each in component.instances]
    return ComponentRow(
        (request.name if request is not None else "") or str(component.logical_id),
        where[-1] if where else "",
        RUNNING if where else PENDING,
        "",
        rate,
        p50_ns,
        p95_ns,
    )


def _together(
    name: str,
    domain: str,
    rows: Sequence[ComponentRow],
    reason: str,
    measured: tuple[float | None, int | None, int | None],
) -> WorkflowRow:
    state, why = ORPHAN, reason
    if rows:
        state = RUNNING
        for worst in (DEGRADED, PENDING):
            bad = [each for each in rows if each.state == worst]
            if bad:
                because = f": {bad[0].reason}" if bad[0].reason else ""
                state, why = worst, f"{bad[0].name}{because}"
                break
    return WorkflowRow(
        name,
        domain,
        state,
        why,
        *measured,
        components=tuple(rows[:_COMPONENTS_SHOWN]),
        components_total=len(rows),
    )


# -- peers --------------------------------------------------------------------------------------


def _controller_row(controller: ControllerAnswer, mirrors: Sequence[DomainMirror]) -> PeerRow:
    if controller.answer != ANSWERS:
        return PeerRow("ε-CON", controller.url, controller.answer, controller.fault)
    shown = {mirror.domain_id for mirror in mirrors}
    texts = []
    for name, offer in sorted((controller.domains or {}).items()):
        unseen = "" if name in shown else ", not shown: see --orchestrator-url"
        texts.append(f"{name} ({offer.num_nodes} nodes{unseen})")
    more = f" and {len(texts) - _DOMAINS_SHOWN} more" if len(texts) > _DOMAINS_SHOWN else ""
    detail = f"domains {', '.join(texts[:_DOMAINS_SHOWN])}{more}" if texts else "it has no domain"
    return PeerRow("ε-CON", controller.url, ANSWERS, detail)


def _orchestrator_row(answer: OrchestratorAnswer) -> PeerRow:
    if answer.mirror is None:
        return PeerRow("ε-ORC", answer.url, answer.answer, answer.fault)
    domain = f"domain {answer.mirror.domain_id}"
    detail = f"{domain}; {answer.left_out}" if answer.left_out else domain
    return PeerRow("ε-ORC", answer.url, ANSWERS, detail)


def _node_order(row: NodeRow) -> tuple[bool, float, int, str]:
    return row.state not in TROUBLES, -(row.utilisation or 0), -row.instances, row.name


def _workflow_order(row: WorkflowRow) -> tuple[bool, float, str]:
    return row.state == RUNNING, -(row.events or 0), row.name
