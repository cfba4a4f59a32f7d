"""The state as a strategy sees it: what it does not look at is not made.

Good until the state changes, which it does not while a strategy chooses. Not here: the views of
moments, which last (`view`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from edgeless_sim.model.ids import LogicalId, NodeId, WorkflowId
from edgeless_sim.model.node import NodeHealthStatus
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.view import ComponentView, DomainView, Loads

__all__ = ["LiveView"]


class LiveView(DomainView):
    """See `DomainView`."""

    def __init__(self, state: DomainState) -> None:
        super().__init__(state.views())
        self._state = state
        self._made: tuple[ComponentView, ...] | None = None

    @property
    def components(self) -> tuple[ComponentView, ...]:
        """See `DomainView.components`."""
        if self._made is None:
            self._made = self._state.view(components=True).components
        return self._made

    @property
    def health(self) -> Mapping[NodeId, NodeHealthStatus]:
        """See `DomainView.health`."""
        return {view.node_id: self._state.nodes[view.node_id].health for view in self.nodes}

    @property
    def loads(self) -> Loads:
        """See `DomainView.loads`."""
        return self._state.loads

    def workflow_hosts(self, workflow_id: WorkflowId) -> Counter[str]:
        """See `DomainView.workflow_hosts`."""
        return self._hosts(self._state.workflows.get(workflow_id, ()))

    def partner_hosts(self, component: ComponentView) -> Counter[str]:
        """See `DomainView.partner_hosts`."""
        own = component.logical_id
        partners = dict(self._state.predecessors.get(own, ()))
        partners.update((target, None) for _, target in component.outputs)
        partners.pop(own, None)
        return self._hosts(partners)

    def _hosts(self, logical_ids: Iterable[LogicalId]) -> Counter[str]:
        state = self._state
        found: Counter[str] = Counter()
        for logical_id in logical_ids:
            component = state.components.get(logical_id)
            host = "" if component is None else state.host_of(component)
            if host:
                found[host] += 1
        return found
