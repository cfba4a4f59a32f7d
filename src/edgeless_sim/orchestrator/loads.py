"""How much each node of a domain hosts, and where that has changed."""

from edgeless_sim.model.ids import NodeId
from edgeless_sim.orchestrator.changes import ChangeLog
from edgeless_sim.orchestrator.records import Node
from edgeless_sim.orchestrator.view import NodeView

__all__ = ["LiveLoads"]


class LiveLoads:
    """See `Loads`. A component that migrates counts on both nodes."""

    def __init__(self, nodes: dict[NodeId, Node]) -> None:
        self.changes: ChangeLog[NodeId] = ChangeLog()
        self._nodes = nodes

    def count(self, node: NodeView) -> int:
        """See `Loads.count`."""
        return len(self._nodes[node.node_id].instances)
