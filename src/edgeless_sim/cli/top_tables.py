"""The tables of ``proxy_cli top``: how nodes fare, and how fast a workflow is (spec 7.5).

Pure. What is not known is shown as ``-``. Not here: when they are shown (`proxy_top`).
"""

from collections.abc import Iterable, Sequence

from edgeless_sim.api.messages import ComponentMapping
from edgeless_sim.cli.answers import Answer
from edgeless_sim.cli.mirror_words import NodeNames
from edgeless_sim.model.ids import FunctionId
from edgeless_sim.model.mirror import DomainMirror, MirroredNode, SeriesMetric

__all__ = ["nodes_answer", "workflow_answer"]

_NODES_HEAD = ("Node", "Runtimes", "Load", "Proc CPU", "Memory", "GPU util", "Power")
_WORKFLOW_HEAD = (
    "Name",
    "Domain",
    "Node",
    "Exec (ms) Avg",
    "Min",
    "Max",
    "Transfer (ms) Avg",
    "Min",
    "Max",
)


def nodes_answer(mirror: DomainMirror, names: NodeNames) -> Answer:
    """How the nodes fare. Memory is what is used for each byte that is still available."""
    rows = [_node_row(node, names) for node in mirror.nodes]
    entries = []
    for node in mirror.nodes:
        last = node.health[-1].health if node.health else None
        entries.append(
            {
                "node_id": str(node.node_id),
                "node": names.of(node.node_id),
                "runtimes": node.capabilities.runtimes,
                "load_avg_1": last and _known(last.load_avg_1),
                "proc_cpu_usage": last and _known(last.proc_cpu_usage),
                "memory": _memory(node),
                "gpu_load_perc": last and _known(last.gpu_load_perc),
                "active_power": last and _known(last.active_power),
            }
        )
    ids = [str(node.node_id) for node in mirror.nodes]
    return Answer(["\t".join(row) for row in rows], entries, ids, _NODES_HEAD, rows)


def workflow_answer(
    mapping: Sequence[ComponentMapping], mirror: DomainMirror, names: NodeNames
) -> Answer:
    """How long the components of a workflow took lately, in ms, sorted by their names."""
    placed = {each.logical_id: each.instances for each in mirror.components}
    rows, entries = [], []
    for each in sorted(mapping, key=lambda one: (one.name, one.logical_id)):
        instances = placed.get(each.logical_id, ())
        functions = [instance.function_id for instance in instances]
        times = {
            "exec_ms": _span(_values(mirror, functions, SeriesMetric.EXECUTION)),
            "transfer_ms": _span(_values(mirror, functions, SeriesMetric.TRANSFER)),
        }
        nodes = [names.of(instance.node_id) for instance in instances]
        cells = [_ms(value) for span in times.values() for value in span]
        rows.append((each.name, str(each.domain_id), ",".join(nodes) or each.node or "-", *cells))
        spans = {
            key: dict(zip(("avg", "min", "max"), span, strict=True)) for key, span in times.items()
        }
        entry = {"name": each.name, "domain": str(each.domain_id), "nodes": nodes, **spans}
        entries.append({"logical_id": str(each.logical_id), **entry})
    ids = [str(entry["logical_id"]) for entry in entries]
    return Answer(["\t".join(row) for row in rows], entries, ids, _WORKFLOW_HEAD, rows)


def _node_row(node: MirroredNode, names: NodeNames) -> tuple[str, ...]:
    head = (names.of(node.node_id), ",".join(node.capabilities.runtimes) or "-")
    if not node.health:
        return (*head, *"-----")
    last = node.health[-1].health
    memory = _memory(node)
    return (
        *head,
        _shown(last.load_avg_1),
        _shown(last.proc_cpu_usage),
        "-" if memory is None else f"{memory:.2f}",
        _shown(last.gpu_load_perc),
        _shown(last.active_power),
    )


def _memory(node: MirroredNode) -> float | None:
    if not node.health:
        return None
    last = node.health[-1].health
    if last.mem_used < 0 or last.mem_available <= 0:
        return None
    return round(last.mem_used / last.mem_available, 4)


def _known(value: int) -> int | None:
    return value if value >= 0 else None


def _shown(value: int) -> str:
    return str(value) if value >= 0 else "-"


def _values(
    mirror: DomainMirror, functions: Iterable[FunctionId], metric: SeriesMetric
) -> list[float]:
    wanted = frozenset(functions)
    return [
        point.value
        for series in mirror.series
        if series.name == metric and series.instance.function_id in wanted
        for point in series.points
        if not isinstance(point.value, str)
    ]


def _span(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Mean, least and greatest in ms."""
    if not values:
        return (None, None, None)
    return (sum(values) / len(values) * 1e3, min(values) * 1e3, max(values) * 1e3)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
