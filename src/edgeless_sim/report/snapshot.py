"""What ``top`` shows at one moment, as values: nodes, workflows, the network, what happened last.

One form for a run and for a deployment; what a source cannot tell is None. Rates are per second of
the source's own time, over the last ``window_s``. Not here: where it comes from (`live`,
`mirrored`), and what it looks like.
"""

from typing import Final

import msgspec

from edgeless_sim.report.logs import printable

__all__ = [
    "ComponentRow",
    "NetworkRow",
    "NodeRow",
    "Note",
    "PeerRow",
    "Snapshot",
    "WorkflowRow",
    "plain_lines",
]

_NODE_NUMBERS: Final = (
    "cores",
    "utilisation",
    "instances",
    "queue",
    "events_in",
    "events_out",
    "drops",
)
_HANDLING: Final = ("state", "reason", "events", "p50_ns", "p95_ns")


class NodeRow(msgspec.Struct, frozen=True):
    """One node."""

    name: str
    domain: str
    state: str
    """``alive``, ``cordoned``, ``unreachable``, ``crashed``, ``stopped`` or ``joining``."""
    cores: int | None = None
    utilisation: float | None = None
    """Of all its cores: 1 = none is ever idle."""
    instances: int = 0
    queue: int | None = None
    """Events that have arrived and wait for a core or for their instance."""
    events_in: float | None = None
    """Per second, as is the one after it; answers included."""
    events_out: float | None = None
    drops: int | None = None
    """Events lost at its instances, so far."""


class ComponentRow(msgspec.Struct, frozen=True):
    """A component of a workflow, and where it is."""

    name: str
    node: str
    """Where it runs, or is to run; empty if that is not known."""
    state: str
    reason: str = ""
    events: float | None = None
    """Events handled per second."""
    p50_ns: int | None = None
    """From being sent to the end of the handler; None if nothing was handled in the window."""
    p95_ns: int | None = None


class WorkflowRow(msgspec.Struct, frozen=True):
    """A workflow; its state is the worst one of its components."""

    name: str
    domain: str
    state: str
    """``running``, ``pending``, ``degraded`` or ``orphan``."""
    reason: str = ""
    events: float | None = None
    p50_ns: int | None = None
    p95_ns: int | None = None
    components: tuple[ComponentRow, ...] = ()
    components_total: int = 0


class NetworkRow(msgspec.Struct, frozen=True):
    """Events between instances."""

    sent: float
    """Per second, as is the one after it."""
    handled: float
    in_flight: int
    """Sent, and neither handled nor lost."""
    lost: int
    """So far."""
    lost_by_cause: dict[str, int] = {}
    """The most frequent causes first."""
    faults: tuple[str, ...] = ()
    """What hinders the network now, and who of the control plane is down."""


class Note(msgspec.Struct, frozen=True):
    """Something that happened: a fault, a decision, a change."""

    at_s: float
    what: str
    text: str
    times: int = 1
    """How often, with nothing else between; then *at_s* is the last time."""


class PeerRow(msgspec.Struct, frozen=True):
    """Somebody who was asked."""

    role: str
    url: str
    answer: str
    """``answers``, ``is being asked``, ``refuses`` or ``does not answer``."""
    detail: str = ""
    """What it stands for, or why it says nothing."""


class Snapshot(msgspec.Struct, frozen=True):
    """One moment. Rows are the first ones of all, those with the most load; totals count all."""

    title: str
    at_s: float
    """Of a run, its time; of a deployment, seconds since 1970."""
    phase: str
    window_s: float
    seed: int | None = None
    speed: float | None = None
    """Times the wall clock; None = as fast as possible, or real."""
    nodes: tuple[NodeRow, ...] = ()
    nodes_total: int = 0
    nodes_by_state: dict[str, int] = {}
    workflows: tuple[WorkflowRow, ...] = ()
    workflows_total: int = 0
    workflows_by_state: dict[str, int] = {}
    network: NetworkRow | None = None
    notes: tuple[Note, ...] = ()
    """Oldest first."""
    peers: tuple[PeerRow, ...] = ()


def plain_lines(snapshot: Snapshot) -> list[str]:
    """One fact per line: what, name, key, value, separated by tabs; what is not known is left out.

    Control characters are escaped, tabs among them.
    """
    at = f"{snapshot.at_s:.3f}"
    facts: list[tuple[str, ...]] = [("top", at, "phase", snapshot.phase)]
    for node in snapshot.nodes:
        facts += _facts("node", node.name, node, ("domain", "state", *_NODE_NUMBERS))
    for workflow in snapshot.workflows:
        facts += _facts("workflow", workflow.name, workflow, ("domain", *_HANDLING))
        for each in workflow.components:
            name = f"{workflow.name}/{each.name}"
            facts += _facts("component", name, each, ("node", *_HANDLING))
    if snapshot.network is not None:
        facts += _facts("network", "", snapshot.network, ("sent", "handled", "in_flight", "lost"))
    facts += [("note", f"{note.at_s:.3f}", note.what, note.text) for note in snapshot.notes]
    for peer in snapshot.peers:
        facts.append(("peer", peer.url, peer.role, peer.answer, peer.detail))
    return ["\t".join(map(printable, fact)) for fact in facts]


def _facts(
    what: str, name: str, row: msgspec.Struct, keys: tuple[str, ...]
) -> list[tuple[str, ...]]:
    found = [(key, getattr(row, key)) for key in keys]
    return [(what, name, key, _text(value)) for key, value in found if value not in (None, "")]


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
