"""Which node is meant: people write names, and ids where they have no better."""

from edgeless_sim.errors import UnknownComponentError
from edgeless_sim.model.ids import NodeId, parse_uuid
from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.orchestrator.domain_state import DomainState

__all__ = ["node_id_of"]


def node_id_of(state: DomainState, node: NodeId | str) -> NodeId:
    """The id of *node*, which need not be here if that is an id already.

    Raises `UnknownComponentError` for a name that no node has.
    """
    if not isinstance(node, str):
        return node
    for view in state.views():
        if node in (view.name, str(view.node_id)):
            return view.node_id
    try:
        return NodeId(parse_uuid(node))
    except ValueError:
        names = [view.name for view in state.views()]
        detail = f"{quoted(node)}{suggestion(node, names)}"
        raise UnknownComponentError("unknown node", detail) from None
