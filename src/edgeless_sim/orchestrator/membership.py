"""What a registration does to the state: nodes join, restart, change, go, and tell what they host.

Not here: whether a registration is accepted and when it runs out (`register`), and what is done
about the differences found (`plan`).
"""

import logging
from dataclasses import replace as replaced
from typing import Final

from edgeless_sim.api.messages import InstanceInventory, UpdateNodeRequest
from edgeless_sim.model.ids import NodeId
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.records import Component, Node, Placement
from edgeless_sim.orchestrator.view import NodeView

__all__ = ["OLDER_INVENTORIES", "Membership"]

OLDER_INVENTORIES: Final = 4

_log = logging.getLogger(__name__)


class Membership:
    """Applies registrations to a `DomainState`."""

    def __init__(self, state: DomainState, chronicle: Chronicle) -> None:
        self._state = state
        self._chronicle = chronicle

    def join(self, request: UpdateNodeRequest) -> None:
        """A node is new here."""
        view = _view_of(request, cordoned=request.node_id in self._state.cordoned)
        own = request.inventory is not None
        node = Node(view, request.agent_url, request.invocation_url, own)
        node.reset_wanted = not own
        node.health = request.health_status
        self._state.add_node(node)
        self._chronicle.node(view, "joined")
        self._log_node(request)

    def _log_node(self, request: UpdateNodeRequest) -> None:
        """Tell the operator what has been added, in EDGELESS's words."""
        if not _log.isEnabledFor(logging.INFO):
            return
        for provider in request.resource_providers:
            _log.info(
                "new resource advertised by node %s: provider_id %s, class_type %s, outputs [%s]",
                request.node_id,
                provider.provider_id,
                provider.class_type,
                ",".join(provider.outputs),
            )
        _log.info(
            "added function instance client: node_id %s, agent URL %s, invocation URL %s, "
            "capabilities %s",
            request.node_id,
            request.agent_url,
            request.invocation_url,
            request.capabilities,
        )

    def leave(self, node_id: NodeId, state: str, reason: str) -> None:
        """A node is gone, or has restarted: nothing that ran there runs."""
        node = self._state.nodes[node_id]
        self._chronicle.node(node.view, state, reason)
        self._state.remove_node(node)

    def refresh(self, request: UpdateNodeRequest) -> None:
        """A known node may have changed; upstream would look only at restarted ones."""
        node = self._state.nodes[request.node_id]
        view = replaced(
            _view_of(request, cordoned=node.view.cordoned), reachable=node.view.reachable
        )
        self._state.set_view(node, view)
        node.health = request.health_status
        node.agent_url = request.agent_url
        if request.invocation_url != node.invocation_url:
            self._state.set_invocation_url(node, request.invocation_url)

    def went_back(self, request: UpdateNodeRequest) -> bool:
        """Whether a known node goes on as it was at an earlier time (reliability F03).

        So does a machine that was set back to a snapshot: it has its nonce, and what it hosted
        then. Fewer than `OLDER_INVENTORIES` in a row are taken for late messages (F44).
        """
        node = self._state.nodes[request.node_id]
        older = request.inventory is not None and request.revision < self._revision_of(node)
        node.older = node.older + 1 if older else 0
        return node.older >= OLDER_INVENTORIES

    def _revision_of(self, node: Node) -> int:
        """The last that it is known to have had, by what it reported and answered."""
        answered = (
            max(placement.revision, placement.patch_revision)
            for instance_id, logical_id in node.instances.items()
            if (placement := self._state.components[logical_id].placement_of(instance_id))
        )
        return max(node.revision, node.stop_revision, *answered)

    def compare(self, request: UpdateNodeRequest) -> list[Component]:
        """Compare what a node hosts with what it should; return what it turned out to have started.

        An inventory older than the last one, or than an answer, says nothing about what that
        answer was about (reliability F44).
        """
        node = self._state.nodes[request.node_id]
        inventory = request.inventory
        if inventory is None or request.revision < node.revision:
            return []
        node.revision = request.revision
        started: list[Component] = []
        present: set[object] = set()
        for item in inventory:
            present.add(item.instance_id)
            found = self._placement(node, item)
            if found is not None:
                component, placement = found
                if not placement.confirmed:
                    started.append(component)
                self._observe(node, component, placement, item)
            elif item.instance_id not in node.garbage and request.revision >= node.stop_revision:
                self._chronicle.node(node.view, "stray", str(item.instance_id))
                self._state.discard(node, item.instance_id, None)
        self._find_lost(node, present)
        return started

    def cordon(self, node_id: NodeId, *, cordoned: bool) -> None:
        """Give a node nothing new, or end that; the node need not be here."""
        if cordoned:
            self._state.cordoned[node_id] = None
        else:
            self._state.cordoned.pop(node_id, None)
        node = self._state.nodes.get(node_id)
        if node is not None and node.view.cordoned != cordoned:
            self._state.set_view(node, replaced(node.view, cordoned=cordoned))
            self._chronicle.node(node.view, "cordoned" if cordoned else "uncordoned")

    def _placement(self, node: Node, item: InstanceInventory) -> tuple[Component, Placement] | None:
        logical_id = node.instances.get(item.instance_id)
        if logical_id is None:
            return None
        component = self._state.components[logical_id]
        placement = component.placement_of(item.instance_id)
        assert placement is not None, item.instance_id
        return component, placement

    def _observe(
        self, node: Node, component: Component, placement: Placement, item: InstanceInventory
    ) -> None:
        revision = node.revision
        if not placement.confirmed:
            self._state.confirm(component, placement, revision=revision, generation=item.generation)
        elif item.generation > placement.generation or revision >= placement.patch_revision:
            placement.generation = item.generation
            if placement.generation < component.generation:
                self._state.call(node, placement.instance_id)
        if self._state.observe(component, placement, item.state, item.reason):
            self._chronicle.component(component, item.state.value, item.reason)

    def _find_lost(self, node: Node, present: set[object]) -> None:
        """Instances that the node had, and has no more."""
        for instance_id, logical_id in list(node.instances.items()):
            if instance_id in present:
                continue
            component = self._state.components[logical_id]
            placement = component.placement_of(instance_id)
            assert placement is not None, instance_id
            if placement.confirmed and placement.revision <= node.revision:
                self._chronicle.component(component, "lost", f"not on {node.view.name} any more")
                self._state.drop(component, placement, may_run=False)


def _view_of(request: UpdateNodeRequest, *, cordoned: bool) -> NodeView:
    return NodeView(
        request.node_id,
        request.name or str(request.node_id),
        request.capabilities,
        request.resource_providers,
        cordoned,
    )
