"""What the verbs of ``proxy_cli show`` answer: EDGELESS's lines, tables, JSON, ids (spec 7.5).

Pure: from a mirror to an `Answer`. Lines are sorted by the id that they begin with, whatever is
printed for it. EDGELESS leaves out functions that do not run; so do its lines here, but tables and
JSON have them. Not here: the words (`mirror_words`), measurements (`mirror_dumps`, `top_tables`).
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from edgeless_sim.cli.answers import Answer
from edgeless_sim.cli.mirror_words import (
    NodeNames,
    capabilities_words,
    health_words,
    instances_of,
    time_words,
)
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.mirror import DomainMirror, MirroredComponent, MirroredNode

__all__ = [
    "capabilities_answer",
    "functions_answer",
    "health_answer",
    "instances_answer",
    "physical_answer",
    "providers_answer",
    "resources_answer",
    "workflows_answer",
]

#: Length of a time without its fractions.
_SECONDS: Final = 19


def functions_answer(mirror: DomainMirror, names: NodeNames) -> Answer:
    """On which nodes functions run."""
    found = [each for each in mirror.components if each.function is not None]
    return _placed(found, names)


def resources_answer(mirror: DomainMirror, names: NodeNames) -> Answer:
    """On which node resources run."""
    found = [each for each in mirror.components if each.resource is not None]
    return _placed(found, names)


def physical_answer(mirror: DomainMirror) -> Answer:
    """The instances of functions and resources."""
    rows = [
        (
            str(each.logical_id),
            [str(instance.function_id) for instance in instances_of(each)],
            [str(instance.function_id) for instance in each.instances],
        )
        for each in mirror.components
    ]
    return Answer(
        [f"{logical_id} -> {','.join(shown)}" for logical_id, shown, _ in rows if shown],
        [{"logical_id": logical_id, "physical_ids": real} for logical_id, _, real in rows],
        [logical_id for logical_id, *_ in rows],
        ("LOGICAL ID", "PHYSICAL ID"),
        [(logical_id, ", ".join(real) or "-") for logical_id, _, real in rows],
    )


def workflows_answer(mirror: DomainMirror) -> Answer:
    """To which workflow functions and resources belong."""
    rows = [(str(each.logical_id), str(_workflow_id(each))) for each in mirror.components]
    return Answer(
        [f"{logical_id} -> {workflow_id}" for logical_id, workflow_id in rows],
        [{"logical_id": one, "workflow_id": workflow_id} for one, workflow_id in rows],
        [logical_id for logical_id, _ in rows],
        ("LOGICAL ID", "WORKFLOW ID"),
        rows,
    )


def capabilities_answer(mirror: DomainMirror, names: NodeNames) -> Answer:
    """What nodes offer."""
    rows = []
    for node in mirror.nodes:
        offer = node.capabilities
        rows.append(
            (
                names.of(node.node_id),
                f"{offer.num_cpus} ({offer.num_cores} cores)",
                f"{offer.mem_size} MiB",
                ", ".join(offer.runtimes) or "-",
                ", ".join(offer.labels) or "-",
                _state(node),
            )
        )
    entries = [
        {**_node_entry(node, names), **msgspec.to_builtins(node.capabilities)}
        for node in mirror.nodes
    ]
    return Answer(
        [
            f"{names.of(node.node_id)} -> {capabilities_words(node.capabilities)}"
            for node in mirror.nodes
        ],
        entries,
        _ids(mirror.nodes),
        ("NODE", "CPUS", "MEMORY", "RUN-TIMES", "LABELS", "STATE"),
        rows,
    )


def providers_answer(mirror: DomainMirror, names: NodeNames) -> Answer:
    """Which resources can be had, and where."""
    found = sorted(
        ((provider, node) for node in mirror.nodes for provider in node.providers),
        key=lambda pair: (pair[0].provider_id, pair[1].node_id),
    )
    return Answer(
        [
            f"{provider.provider_id} -> class_type {provider.class_type}, "
            f"node_id {node.node_id}, outputs [{','.join(provider.outputs)}]"
            for provider, node in found
        ],
        [{**msgspec.to_builtins(provider), **_node_entry(node, names)} for provider, node in found],
        [provider.provider_id for provider, _ in found],
        ("PROVIDER", "CLASS", "NODE", "OUTPUTS"),
        [
            (
                provider.provider_id,
                provider.class_type,
                names.of(node.node_id),
                ", ".join(provider.outputs) or "-",
            )
            for provider, node in found
        ],
    )


def health_answer(mirror: DomainMirror, names: NodeNames) -> Answer:
    """How nodes fared when they were heard of last."""
    found = [(node, node.health[-1]) for node in mirror.nodes if node.health]
    return Answer(
        [f"{names.of(node.node_id)} -> {health_words(last.health)}" for node, last in found],
        [
            {
                **_node_entry(node, names),
                "time_s": last.time_s,
                **msgspec.to_builtins(last.health),
            }
            for node, last in found
        ],
        _ids(node for node, _ in found),
        ("NODE", "MEMORY USED", "AVAILABLE", "CPU", "LOAD 1", "5", "15", "DISK FREE", "AT (UTC)"),
        [
            (
                names.of(node.node_id),
                f"{last.health.mem_used} KiB",
                f"{last.health.mem_available} KiB",
                f"{last.health.proc_cpu_usage}%",
                f"{last.health.load_avg_1}%",
                f"{last.health.load_avg_5}%",
                f"{last.health.load_avg_15}%",
                f"{last.health.disk_free_space} B",
                time_words(last.time_s)[:_SECONDS],
            )
            for node, last in found
        ],
    )


def instances_answer(mirror: DomainMirror, names: NodeNames) -> Answer:
    """What runs on which node: ``[F]`` for functions, ``[R]`` for resources."""
    hosted: dict[NodeId, list[MirroredComponent]] = {}
    for each in mirror.components:
        for node_id in sorted({instance.node_id for instance in instances_of(each)}):
            hosted.setdefault(node_id, []).append(each)
    plain, entries, rows = [], [], []
    for node_id in sorted(hosted):
        marked = sorted((_mark(each), str(each.logical_id)) for each in hosted[node_id])
        plain.append(names.of(node_id))
        plain += [f"[{mark}] {logical_id}" for mark, logical_id in marked]
        entries.append(
            {
                "node_id": str(node_id),
                "node": names.of(node_id),
                "functions": [logical_id for mark, logical_id in marked if mark == "F"],
                "resources": [logical_id for mark, logical_id in marked if mark == "R"],
            }
        )
        rows += [
            (names.of(node_id), "function" if mark == "F" else "resource", logical_id)
            for mark, logical_id in marked
        ]
    ids = [str(node_id) for node_id in sorted(hosted)]
    return Answer(plain, entries, ids, ("NODE", "KIND", "LOGICAL ID"), rows)


def _placed(components: list[MirroredComponent], names: NodeNames) -> Answer:
    rows = [
        (
            str(each.logical_id),
            each.function.name if each.function else each.resource.name if each.resource else "",
            [names.of(instance.node_id) for instance in instances_of(each)],
            [instance.node_id for instance in each.instances],
        )
        for each in components
    ]
    return Answer(
        [f"{logical_id} -> {','.join(shown)}" for logical_id, _, shown, _ in rows if shown],
        [
            {
                "logical_id": logical_id,
                "name": name,
                "node_ids": [str(node_id) for node_id in real],
                "nodes": [names.of(node_id) for node_id in real],
            }
            for logical_id, name, _, real in rows
        ],
        [logical_id for logical_id, *_ in rows],
        ("LOGICAL ID", "NAME", "NODE"),
        [
            (logical_id, name or "-", ", ".join(map(names.of, real)) or "-")
            for logical_id, name, _, real in rows
        ],
    )


def _workflow_id(component: MirroredComponent) -> object:
    asked = component.function or component.resource
    assert asked is not None, component
    return asked.workflow_id


def _mark(component: MirroredComponent) -> str:
    return "F" if component.function is not None else "R"


def _state(node: MirroredNode) -> str:
    if not node.reachable:
        return "unreachable"
    # A Redis does not say that a node is not.
    return "cordoned" if node.cordoned else "-"


def _node_entry(node: MirroredNode, names: NodeNames) -> dict[str, object]:
    return {"node_id": str(node.node_id), "node": names.of(node.node_id)}


def _ids(nodes: Iterable[MirroredNode]) -> list[str]:
    return [str(node.node_id) for node in nodes]
