"""What one domain should be and what is known of it: nodes, components, who maps to whom.

All changes are plain functions that never wait, so nobody sees a half-made one. Each leaves behind
what it made necessary: components to place (``unplaced``) and nodes to talk to (``called``).
Not here: what to do about them (`plan`), and doing it (`performer`).
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from operator import attrgetter
from typing import Final

from edgeless_sim.api.messages import ComponentInventory, InstanceState
from edgeless_sim.model.domain import DomainTotals
from edgeless_sim.model.event import UNPLACED, FurtherTarget, Target
from edgeless_sim.model.ids import InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.orchestrator.candidates import Candidates
from edgeless_sim.orchestrator.changes import ChangeLog
from edgeless_sim.orchestrator.loads import LiveLoads
from edgeless_sim.orchestrator.records import Changes, Component, Node, Placement
from edgeless_sim.orchestrator.requirements import Feasibility, Needs
from edgeless_sim.orchestrator.view import ComponentKind, DomainView, NodeView
from edgeless_sim.orchestrator.waiting import Waiting

__all__ = ["DomainState"]

#: Components that were stopped and of which it is remembered when.
_GONE_MAX: Final = 16_384


class DomainState:
    """The state of one domain."""

    def __init__(self) -> None:
        self.nodes: dict[NodeId, Node] = {}
        self.components: dict[LogicalId, Component] = {}
        self.cordoned: dict[NodeId, None] = {}
        """By id, so that a cordon outlives the registration."""
        self.totals = DomainTotals()
        self.waiting = Waiting(self.components)
        self.called: dict[NodeId, None] = {}
        """Nodes to which something is to be said."""
        self.totals_version = 0
        """Grows with every change of ``totals``."""
        self.changes: ChangeLog[LogicalId] = ChangeLog()
        """Of components, as far as the ε-CON can see them; also of those that are gone."""
        self.predecessors: dict[LogicalId, dict[LogicalId, None]] = {}
        """Target -> components that map to it; the target need not exist."""
        self.unmirrored = Changes()
        """Since somebody last took them."""
        self.component_order: list[int] = []
        """The ids of all components as numbers, sorted: mirrors are read in that order."""
        self.workflows: dict[WorkflowId, dict[LogicalId, None]] = {}
        """The components of each workflow."""
        self.loads = LiveLoads(self.nodes)
        self._candidates = Candidates()
        self._foreign = 0
        self._gone: dict[LogicalId, None] = {}

    @property
    def version(self) -> int:
        """Grows with every change of a component that the ε-CON can see."""
        return self.changes.version

    # --- nodes

    def add_node(self, node: Node) -> None:
        """A node has joined."""
        assert node.node_id not in self.nodes, node.node_id
        self.nodes[node.node_id] = node
        self._foreign += not node.own
        self._count(node.view, present=True)
        self._nodes_changed(node)
        self._peers_changed()

    def set_view(self, node: Node, view: NodeView) -> None:
        """A node says something else of itself, or may be used again, or not."""
        if view == node.view:
            return
        old, node.view = node.view, view
        if old.name != view.name:
            for logical_id in node.instances.values():
                self.changes.note(logical_id)
        if (old.capabilities, old.providers) != (view.capabilities, view.providers):
            self._count(old, present=False)
            self._count(view, present=True)
        self._nodes_changed(node)

    def set_invocation_url(self, node: Node, url: str) -> None:
        """A node takes events elsewhere: everybody who sends to it has to know."""
        node.invocation_url = url
        for logical_id in list(node.instances.values()):
            self.rewire_predecessors(logical_id)
        self._peers_changed()

    def remove_node(self, node: Node) -> None:
        """A node has gone, with all that ran there; what it should stop has ended by itself."""
        self.lose_instances(node)
        del self.nodes[node.node_id]
        self.called.pop(node.node_id, None)
        self._foreign -= not node.own
        self._count(node.view, present=False)
        self.unmirrored.nodes[node.node_id] = None
        self._candidates.discard(node.view)
        self.loads.changes.forget(node.node_id)
        node.garbage.clear()
        node.errands.clear()
        self._peers_changed()

    def lose_instances(self, node: Node) -> None:
        """Whatever ran on *node* does not run any more."""
        for instance_id, logical_id in list(node.instances.items()):
            component = self.components[logical_id]
            placement = component.placement_of(instance_id)
            assert placement is not None, instance_id
            self.drop(component, placement, may_run=False)

    def feasible(self, needs: Needs) -> Feasibility:
        """The nodes that can host a component with *needs*; the same object until nodes change."""
        return self._candidates.feasible(needs)

    def views(self) -> tuple[NodeView, ...]:
        """All nodes, sorted by id."""
        return self._candidates.views()

    # --- components

    def add(self, component: Component) -> None:
        """A component is wanted."""
        assert component.logical_id not in self.components, component.logical_id
        self.components[component.logical_id] = component
        self._gone.pop(component.logical_id, None)
        insort(self.component_order, component.logical_id.int)
        workflow_id = component.request.workflow_id
        self.workflows.setdefault(workflow_id, {})[component.logical_id] = None
        self._index(component)
        component.targets = self.resolved(component)
        self.waiting.unplaced[component.logical_id] = None
        self.unmirrored.dependencies[component.logical_id] = None
        self._moved(component)

    def count_anew(self) -> None:
        """All components count as changed just now, and nothing as gone: a listing begins."""
        for logical_id in self._gone:
            self.changes.forget(logical_id)
        self._gone.clear()
        for logical_id in self.components:
            self.changes.note(logical_id)

    def workflow_id(self, workflow_id: WorkflowId) -> WorkflowId:
        """The object that its components share, if there are any."""
        siblings = self.workflows.get(workflow_id)
        if not siblings:
            return workflow_id
        return self.components[next(iter(siblings))].request.workflow_id

    def remove(self, component: Component) -> None:
        """A component is not wanted any more; its instances are to be stopped."""
        logical_id = component.logical_id
        self._unindex(component)
        for placement in component.placements():
            self.drop(component, placement, may_run=True)
        del self.components[logical_id]
        del self.component_order[bisect_left(self.component_order, logical_id.int)]
        self.waiting.forget(logical_id)
        siblings = self.workflows[component.request.workflow_id]
        del siblings[logical_id]
        if not siblings:
            del self.workflows[component.request.workflow_id]
        self.unmirrored.dependencies[logical_id] = None
        self._moved(component)
        self._gone[logical_id] = None
        if len(self._gone) > _GONE_MAX:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            self.changes.forget(oldest)

    def set_mapping(self, component: Component, mapping: dict[str, LogicalId]) -> None:
        """The ε-CON wants other outputs: they replace all that were there (case D21)."""
        self._unindex(component)
        component.mapping = mapping
        self._index(component)
        self.unmirrored.dependencies[component.logical_id] = None
        self.changes.note(component.logical_id)
        self._rewire(component)

    def place(self, component: Component, placement: Placement, *, migrates: bool = False) -> None:
        """It has been decided where a component is to run."""
        node = self.nodes[placement.instance_id.node_id]
        if migrates:
            assert component.successor is None, component.logical_id
            component.successor = placement
        elif component.current is not None:
            assert component.short, component.logical_id
            component.further = (*component.further, placement)
            self.waiting.note_short(component)
        else:
            assert component.current is None, component.logical_id
            component.current = placement
            self.waiting.placed(component.logical_id)
        node.instances[placement.instance_id] = component.logical_id
        self.loads.changes.note(node.node_id)
        self.call(node, placement.instance_id)
        self._moved(component)

    def confirm(
        self, component: Component, placement: Placement, *, revision: int, generation: int
    ) -> None:
        """A node has the instance, with the outputs of *generation*."""
        placement.confirmed = True
        placement.revision = max(placement.revision, revision)
        placement.patch_revision = max(placement.patch_revision, revision)
        placement.generation = generation
        if placement in component.further:
            component.further_failures = 0
            component.further_tried = ()
        else:
            component.failures = 0
            component.tried = ()
        if placement is component.successor:
            predecessor, component.current, component.successor = (
                component.current,
                placement,
                None,
            )
            if predecessor is not None:
                self._retire(component, predecessor)
        if placement.generation < component.generation:
            self.call(self.nodes[placement.instance_id.node_id], placement.instance_id)
        self.waiting.note_short(component)
        self.rewire_predecessors(component.logical_id)
        self._moved(component)

    def rename(self, component: Component, placement: Placement, instance_id: InstanceId) -> None:
        """The node chose the instance's id itself, as EDGELESS's own nodes do."""
        node = self.nodes[placement.instance_id.node_id]
        del node.instances[placement.instance_id]
        placement.instance_id = instance_id
        node.instances[instance_id] = component.logical_id

    def drop(self, component: Component, placement: Placement, *, may_run: bool) -> None:
        """A component has lost an instance. *may_run* = it has to be stopped, if it was started."""
        instance_id = placement.instance_id
        node = self.nodes.get(instance_id.node_id)
        if placement is component.successor:
            component.successor = None
        elif placement is component.current:
            component.succeed()
            if component.current is None:
                self.waiting.unplaced[component.logical_id] = None
            self.rewire_predecessors(component.logical_id)
        else:
            component.give_up(placement)
            self.rewire_predecessors(component.logical_id)
        self.waiting.note_short(component)
        if node is not None:
            del node.instances[instance_id]
            self.loads.changes.note(node.node_id)
            if may_run and placement.sent:
                self.discard(node, instance_id, component.kind)
        self._moved(component)

    def observe(
        self, component: Component, placement: Placement, state: InstanceState, reason: str
    ) -> bool:
        """A node says how an instance fares; return whether that is news."""
        if (placement.state, placement.reason) == (state, reason):
            return False
        placement.state, placement.reason = state, reason
        self.changes.note(component.logical_id)
        return True

    def discard(self, node: Node, instance_id: InstanceId, kind: ComponentKind | None) -> None:
        """An instance on *node* is to be stopped."""
        node.garbage[instance_id] = kind
        self.call(node, instance_id)

    def call(self, node: Node, instance_id: InstanceId) -> None:
        """Something is to be said to *node* about an instance."""
        node.errands[instance_id] = None
        self.called[node.node_id] = None

    def hold(self, component: Component, reason: str) -> None:
        """A component cannot run at present."""
        self.waiting.hold(component)
        if component.reason != reason:
            component.reason = reason
            self.changes.note(component.logical_id)

    # --- wiring

    def rewire_predecessors(self, logical_id: LogicalId) -> None:
        """A component has moved, come or gone: those that send to it get new outputs."""
        for source in list(self.predecessors.get(logical_id, ())):
            self._rewire(self.components[source])

    # --- views

    def view(self, *, components: bool) -> DomainView:
        """The domain as a value."""
        if not components:
            return DomainView(self.views())
        ordered = sorted(self.components.values(), key=attrgetter("logical_id"))
        return DomainView(
            self.views(),
            tuple(component.view(self.host_of(component)) for component in ordered),
            {view.node_id: self.nodes[view.node_id].health for view in self.views()},
        )

    def inventory(self, component: Component) -> ComponentInventory:
        """*component* as the ε-CON is told of it."""
        state, reason = component.condition()
        current = component.current
        return ComponentInventory(
            component.logical_id,
            state,
            reason,
            None if current is None else current.instance_id,
            self.host_of(component),
            tuple(placement.instance_id for placement in component.further),
        )

    def host_of(self, component: Component) -> str:
        """Name of the node that hosts *component*; empty if there is none."""
        if component.current is None:
            return ""
        return self.nodes[component.current.instance_id.node_id].view.name

    # --- inside

    def _moved(self, component: Component) -> None:
        self.unmirrored.instances[component.logical_id] = None
        self.changes.note(component.logical_id)

    def _retire(self, component: Component, placement: Placement) -> None:
        node = self.nodes[placement.instance_id.node_id]
        del node.instances[placement.instance_id]
        self.loads.changes.note(node.node_id)
        if placement.sent:
            self.discard(node, placement.instance_id, component.kind)

    def _rewire(self, component: Component) -> None:
        targets = self.resolved(component)
        if targets == component.targets:
            return
        component.targets = targets
        component.generation += 1
        for placement in component.placements():
            self.call(self.nodes[placement.instance_id.node_id], placement.instance_id)

    def resolved(self, component: Component) -> dict[str, Target]:
        """The outputs of *component* as they should be now, without targets that do not run."""
        targets: dict[str, Target] = {}
        for channel, logical_id in sorted(component.mapping.items()):
            targets[channel] = self._target(logical_id)
        return targets

    def _target(self, logical_id: LogicalId) -> Target:
        """Where a component can be reached now.

        Without an instance it is not left out: nodes hold what is sent to it until it has one.
        """
        component = self.components.get(logical_id)
        running = () if component is None else component.running()
        if not running:
            return Target(UNPLACED, "")
        pids = [placement.instance_id for placement in running]
        urls = [self.nodes[pid.node_id].invocation_url for pid in pids]
        return Target(pids[0], urls[0], tuple(map(FurtherTarget, pids[1:], urls[1:])))

    def _index(self, component: Component) -> None:
        for target in component.mapping.values():
            self.predecessors.setdefault(target, {})[component.logical_id] = None

    def _unindex(self, component: Component) -> None:
        for target in component.mapping.values():
            sources = self.predecessors.get(target, {})
            sources.pop(component.logical_id, None)
            if not sources:
                self.predecessors.pop(target, None)

    def _count(self, view: NodeView, *, present: bool) -> None:
        change: Callable[..., None] = self.totals.add if present else self.totals.remove
        change(view.capabilities, view.providers)
        self.totals_version += 1

    def _nodes_changed(self, node: Node) -> None:
        """Look again at the components that waited for a node like *node*."""
        self.unmirrored.nodes[node.node_id] = None
        self._candidates.put(node.view)
        self.waiting.recall(node.view)

    def _peers_changed(self) -> None:
        # Our own nodes are told the URL with each target (decision 7), and say theirs with what
        # they send. A node of EDGELESS's own does neither: it has to know all others, and they
        # have to know it, or their answers would not find it.
        if self._foreign:
            for node in self.nodes.values():
                node.peers_wanted = True
                self.called[node.node_id] = None
