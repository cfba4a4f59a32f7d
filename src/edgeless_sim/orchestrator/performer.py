"""Says to the nodes what is to be said: one task per node that has work, none for the others.

A node that does not answer costs the others nothing. Answers are compared with the state as it is
when they arrive: what has been overtaken meanwhile changes nothing. Not here: what is to be said
(`plan`), and where components go (`orchestrator`).
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import Any, Final

from edgeless_sim.api.clients import AgentClient
from edgeless_sim.api.messages import StartReply, UpdatePeersType
from edgeless_sim.api.wires import OUR_WIRES, Wires
from edgeless_sim.errors import RejectedError, UnreachableError
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import InstanceId, LogicalId, NodeId
from edgeless_sim.orchestrator.backoff import after_pause
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.plan import (
    NodeStep,
    PatchInstance,
    ResetNode,
    StartInstance,
    StopInstance,
    TellPeer,
    plan_instance,
    plan_node,
)
from edgeless_sim.orchestrator.records import Component, Node, Placement
from edgeless_sim.orchestrator.view import ComponentKind

__all__ = ["TALKS_MAX", "Connect", "NodePerformer", "Reports"]

#: Most nodes that are talked to at once; more wait for their turn.
TALKS_MAX: Final = 1_024

#: From a URL to a connection of the transport, whose type only `api` may name. Made at once; the
#: peer is looked for at the first call.
Connect = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Reports:
    """Whom a performer tells."""

    started: Callable[[Component], None]
    """The component runs."""
    failed: Callable[[Component, RejectedError], None]
    """A node did not start the component, which has no instance any more."""
    changed: Callable[[], None]
    """The state may want attention."""


class NodePerformer:
    """Talks to all nodes of a domain, to each in order."""

    def __init__(
        self,
        context: ActorContext,
        state: DomainState,
        connect: Connect,
        reports: Reports,
        *,
        chronicle: Chronicle,
        timeout_s: float,
        wires: Wires = OUR_WIRES,
    ) -> None:
        self._context = context
        self._state = state
        self._connect = connect
        self._reports = reports
        self._chronicle = chronicle
        self._timeout_s = timeout_s
        self._wires = wires
        self._clients: dict[NodeId, tuple[str, AgentClient]] = {}
        self._talks = 0
        self._waiting: OrderedDict[NodeId, None] = OrderedDict()
        self._stopped = False
        self.steps_total = 0
        """Requests that were sent to nodes."""

    def stop(self) -> None:
        """Say nothing more; answers on their way are ignored."""
        self._stopped = True

    def talk(self, node: Node) -> None:
        """See to it that *node* hears what is to be said to it."""
        if node.busy or node.idle or not node.view.reachable or not self._current(node):
            return
        if self._talks >= TALKS_MAX:
            self._waiting[node.node_id] = None
            return
        node.busy = True
        self._talks += 1
        self._context.spawn(self._talk(node), f"{self._context.name} to {node.view.name}")

    def forget(self, node_id: NodeId) -> None:
        """A node has gone for good."""
        self._clients.pop(node_id, None)
        self._waiting.pop(node_id, None)

    async def _talk(self, node: Node) -> None:
        try:
            while self._current(node):
                step = self._next(node)
                if step is None or not await self._say(node, step):
                    break
        finally:
            node.busy = False
            self._talks -= 1
        self._next_in_line()

    def _next_in_line(self) -> None:
        while self._waiting and self._talks < TALKS_MAX:
            node_id, _ = self._waiting.popitem(last=False)
            node = self._state.nodes.get(node_id)
            if node is not None:
                self.talk(node)

    def _current(self, node: Node) -> bool:
        return not self._stopped and self._state.nodes.get(node.node_id) is node

    def _next(self, node: Node) -> NodeStep | None:
        step: NodeStep | None = plan_node(self._state, node)
        if step is None:
            node.peers_wanted = False
        while step is None and node.errands:
            instance_id, _ = node.errands.popitem(last=False)
            step = plan_instance(self._state, node, instance_id)
        return step

    async def _say(self, node: Node, step: NodeStep) -> bool:
        """Perform *step*; return whether the node answered."""
        self.steps_total += 1
        client = self._client(node)
        try:
            match step:
                case StartInstance():
                    await self._start(node, client, step)
                case PatchInstance():
                    await self._patch(node, client, step)
                case StopInstance():
                    await self._stop(node, client, step)
                case ResetNode():
                    await self._reset(node, client)
                case TellPeer():
                    await self._tell_peer(node, client, step)
        except UnreachableError as error:
            if self._current(node):
                self._unreachable(node, step, error)
            return False
        node.failures = 0
        return True

    # --- starting

    async def _start(self, node: Node, client: AgentClient, step: StartInstance) -> None:
        found = self._placement(step.logical_id, step.instance_id)
        assert found is not None, step
        found[1].sent = True
        request = step.request
        try:
            if isinstance(request, SpawnFunctionRequest):
                reply = await client.start_function(request)
            else:
                reply = await client.start_resource(request)
        except RejectedError as error:
            self._refused(node, step, error)
            return
        if not self._current(node):
            return
        found = self._placement(step.logical_id, step.instance_id)
        if found is None:
            # Overtaken by a stop: the errand about it is in the queue already.
            if reply.instance_id != step.instance_id and step.instance_id in node.garbage:
                kind = node.garbage.pop(step.instance_id)
                self._state.discard(node, reply.instance_id, kind)
            return
        self._started(found[0], found[1], step, reply)

    def _started(
        self, component: Component, placement: Placement, step: StartInstance, reply: StartReply
    ) -> None:
        generation = step.request.generation
        if reply.instance_id != step.instance_id:
            # A node that chose the id itself did not see the outputs either (decision 5).
            self._state.rename(component, placement, reply.instance_id)
            generation = 0
        self._state.confirm(
            component,
            placement,
            revision=reply.revision,
            generation=max(generation, placement.generation),
        )
        self._reports.started(component)
        self._reports.changed()

    def _refused(self, node: Node, step: StartInstance, error: RejectedError) -> None:
        found = self._placement(step.logical_id, step.instance_id)
        if self._current(node) and found is not None and not found[1].confirmed:
            self._failed(node, *found, error, may_run=False)

    def _failed(
        self,
        node: Node,
        component: Component,
        placement: Placement,
        error: RejectedError,
        *,
        may_run: bool,
    ) -> None:
        beside = placement is component.successor or placement in component.further
        if placement in component.further:
            component.further_tried = (*component.further_tried, node.node_id)
        self._state.drop(component, placement, may_run=may_run)
        self._chronicle.component(component, "refused", f"{node.view.name}: {error}")
        if not beside:
            component.tried = (*component.tried, node.node_id)
            component.refusal = error
            self._reports.failed(component, error)
        self._reports.changed()

    # --- everything else

    async def _patch(self, node: Node, client: AgentClient, step: PatchInstance) -> None:
        try:
            if step.kind is ComponentKind.FUNCTION:
                reply = await client.patch_function(step.request)
            else:
                reply = await client.patch_resource(step.request)
        except RejectedError:
            # Perhaps it does not know the instance: its inventory will tell. Ask again later.
            self._again_later(node, step)
            return
        found = self._placement(step.logical_id, step.instance_id)
        if self._current(node) and found is not None:
            found[1].refusals = 0
            found[1].generation = max(found[1].generation, step.request.generation)
            found[1].patch_revision = max(found[1].patch_revision, reply.revision)

    async def _stop(self, node: Node, client: AgentClient, step: StopInstance) -> None:
        # What is refused is not there; should it be, the next inventory says so.
        revision = 0
        if step.kind is not ComponentKind.RESOURCE:
            with suppress(RejectedError):
                revision = (await client.stop_function(step.instance_id)).revision
        if step.kind is not ComponentKind.FUNCTION:
            with suppress(RejectedError):
                revision = max(revision, (await client.stop_resource(step.instance_id)).revision)
        node.garbage.pop(step.instance_id, None)
        node.stop_revision = max(node.stop_revision, revision)

    async def _reset(self, node: Node, client: AgentClient) -> None:
        try:
            await client.reset()
        except RejectedError as error:
            self._chronicle.node(node.view, "reset refused", str(error))
        node.reset_wanted = False
        node.garbage.clear()

    async def _tell_peer(self, node: Node, client: AgentClient, step: TellPeer) -> None:
        request = step.request
        assert request.node_id is not None, request
        try:
            await client.update_peers(request)
        except RejectedError as error:
            self._chronicle.node(node.view, "peer refused", str(error))
        if request.kind is UpdatePeersType.ADD:
            node.peers[request.node_id] = request.invocation_url
        else:
            node.peers.pop(request.node_id, None)

    # --- silence

    def _unreachable(self, node: Node, step: NodeStep, error: UnreachableError) -> None:
        """Leave the node alone for a while, and give away what it was to start."""
        node.failures += 1
        self._chronicle.node(node.view, "silent", str(error))
        self._state.set_view(node, replaced(node.view, reachable=False))
        if isinstance(step, StartInstance | PatchInstance | StopInstance):
            self._state.call(node, step.instance_id)
        if isinstance(step, StartInstance):
            self._silent_start(node, step)
        for instance_id, logical_id in list(node.instances.items()):
            component = self._state.components[logical_id]
            placement = component.placement_of(instance_id)
            if placement is not None and not placement.sent:
                self._failed(node, component, placement, _silence(component, node), may_run=False)
        after_pause(self._context.scheduler, node.failures, self._try_again, node)
        self._reports.changed()

    def _silent_start(self, node: Node, step: StartInstance) -> None:
        found = self._placement(step.logical_id, step.instance_id)
        if found is None or found[1].confirmed:
            # An inventory that came meanwhile has it: only the answer was lost.
            return
        if not node.own:
            # Nobody will ever tell under which id it runs there, if it does (decision 5).
            node.reset_wanted = True
            self._state.lose_instances(node)
        else:
            self._failed(node, *found, _silence(found[0], node), may_run=True)

    def _try_again(self, node: Node) -> None:
        if self._current(node):
            self._state.set_view(node, replaced(node.view, reachable=True))
            self._state.called[node.node_id] = None
            self._reports.changed()

    def _again_later(self, node: Node, step: PatchInstance) -> None:
        found = self._placement(step.logical_id, step.instance_id)
        if found is not None:
            found[1].refusals += 1
            scheduler = self._context.scheduler
            after_pause(scheduler, found[1].refusals, self._call_again, node, step.instance_id)

    def _call_again(self, node: Node, instance_id: InstanceId) -> None:
        if self._current(node):
            self._state.call(node, instance_id)
            self._reports.changed()

    # --- looking up

    def _placement(
        self, logical_id: LogicalId, instance_id: InstanceId
    ) -> tuple[Component, Placement] | None:
        """The component and its placement, unless they have been overtaken."""
        component = self._state.components.get(logical_id)
        if component is None:
            return None
        placement = component.placement_of(instance_id)
        return None if placement is None else (component, placement)

    def _client(self, node: Node) -> AgentClient:
        url, client = self._clients.get(node.node_id, ("", None))
        if client is None or url != node.agent_url:
            connection = self._connect(node.agent_url)
            wire = self._wires.calling(node.agent_url)
            client = AgentClient(connection, wire, timeout_s=self._timeout_s)
            self._clients[node.node_id] = (node.agent_url, client)
        return client


def _silence(component: Component, node: Node) -> RejectedError:
    """How the ε-CON hears that a node did not answer (spec 4.3)."""
    where = f"{node.view.name} does not answer"
    if component.kind is ComponentKind.FUNCTION:
        return RejectedError(
            "Function instance creation request rejected",
            f"Could not start a function instance for lid {component.logical_id}: {where}",
        )
    return RejectedError(
        "could not start resource",
        f"resource type {component.needs.type_name}, lid {component.logical_id}: {where}",
    )
