"""EDGELESS's defects, and slips of our own, as small changes to the product, planted one by one.

Each takes a `pytest.MonkeyPatch`, which takes it out again. `tests/defects` shows that the test of
the behaviour fails with it, `tests/exploration` that seeds find it.
"""

from typing import Any

import pytest

from edgeless_sim.controller.controller import Controller
from edgeless_sim.controller.ledger import DomainLedger
from edgeless_sim.controller.register import DomainRegister, News
from edgeless_sim.controller.workflow_service import WorkflowService
from edgeless_sim.controller.workflow_store import MemoryWorkflowStore
from edgeless_sim.controller.workflows import Phase
from edgeless_sim.dataplane.correlation import PendingCalls
from edgeless_sim.dataplane.handle import DataplaneHandle
from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.model.recent import Recent
from edgeless_sim.node.agent import Agent
from edgeless_sim.orchestrator import candidates, plan, requirements
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.membership import Membership
from edgeless_sim.orchestrator.performer import NodePerformer
from edgeless_sim.orchestrator.plan import PatchInstance
from edgeless_sim.orchestrator.register import NodeRegister, Registration
from edgeless_sim.orchestrator.view import ComponentKind

Patch = pytest.MonkeyPatch


def nothing(*_: Any, **__: Any) -> None:
    """Instead of what should be done."""


def a_stop_of_an_orphan_is_ignored(patch: Patch) -> None:
    original = WorkflowService.stop

    async def stop(self: Any, workflow_id: Any) -> None:
        workflow = self._table.get(workflow_id)
        if workflow is None or workflow.phase is not Phase.ORPHAN:
            await original(self, workflow_id)

    patch.setattr(WorkflowService, "stop", stop)


def nothing_is_deployed_again_after_a_restart_of_the_orchestrator(patch: Patch) -> None:
    original = Controller._react

    def react(self: Any, link: Any, news: News) -> None:
        if news is News.RESTARTED:
            link.forget_all()
        else:
            original(self, link, news)

    patch.setattr(Controller, "_react", react)


def the_old_nonce_is_kept(patch: Patch) -> None:
    original = NodeRegister.update

    def update(self: Any, request: Any, now_ns: int) -> Registration:
        entry = self._entries.get(request.node_id)
        nonce = None if entry is None else entry.nonce
        found = original(self, request, now_ns)
        if entry is not None and found is Registration.RESTARTED:
            entry.nonce = nonce
            entry.nonces_before.clear()
        return found

    patch.setattr(NodeRegister, "update", update)
    patch.setattr(NodeRegister, "remember", nothing)


def a_patch_without_an_answer_is_not_repeated(patch: Patch) -> None:
    original = NodePerformer._unreachable

    def unreachable(self: Any, node: Any, step: Any, error: Any) -> None:
        original(self, node, step, error)
        if isinstance(step, PatchInstance):
            node.errands.pop(step.instance_id, None)

    def observe(self: Any, node: Any, component: Any, placement: Any, item: Any) -> None:
        if not placement.confirmed:
            self._state.confirm(
                component, placement, revision=node.revision, generation=item.generation
            )
        self._state.observe(component, placement, item.state, item.reason)

    patch.setattr(NodePerformer, "_unreachable", unreachable)
    patch.setattr(Membership, "_observe", observe)


def strays_on_nodes_are_left_alone(patch: Patch) -> None:
    original = DomainState.discard

    def discard(self: Any, node: Any, instance_id: Any, kind: ComponentKind | None) -> None:
        if kind is not None:
            original(self, node, instance_id, kind)

    patch.setattr(DomainState, "discard", discard)


def a_lost_instance_is_not_missed(patch: Patch) -> None:
    patch.setattr(Membership, "_find_lost", nothing)


def components_that_the_controller_does_not_know_are_left_alone(patch: Patch) -> None:
    original = DomainLedger._condemn

    def condemn(self: Any, lid: Any, kind: Any) -> None:
        if kind is not None:
            original(self, lid, kind)

    patch.setattr(DomainLedger, "_condemn", condemn)


def a_reset_without_an_echo_is_taken_for_done(patch: Patch) -> None:
    def acknowledge(self: Any, entry: Any, request: Any) -> Any:
        self.trust(entry)
        entry.epoch = request.epoch
        return self._refresh(entry, request)

    patch.setattr(DomainRegister, "_acknowledge", acknowledge)


def resets_are_not_confirmed_and_strays_not_looked_for(patch: Patch) -> None:
    """As in EDGELESS, which has neither: the one repairs most of what the other lets happen."""
    a_reset_without_an_echo_is_taken_for_done(patch)
    components_that_the_controller_does_not_know_are_left_alone(patch)


def a_stray_resource_is_stopped_as_a_function(patch: Patch) -> None:
    original = NodePerformer._stop

    async def stop(self: Any, node: Any, client: Any, step: Any) -> None:
        if step.kind is None:
            step = type(step)(step.instance_id, ComponentKind.FUNCTION)
        await original(self, node, client, step)

    patch.setattr(NodePerformer, "_stop", stop)


def delayed_casts_outlive_their_sender(patch: Patch) -> None:
    patch.setattr(DataplaneHandle, "cancel_timers", nothing)
    patch.setattr(DataplaneHandle, "end_timers", nothing)


def copies_of_events_are_handled(patch: Patch) -> None:
    original = Dataplane.receive

    def receive(self: Any, frame: Any) -> None:
        self._seen.clear()
        original(self, frame)

    patch.setattr(Dataplane, "receive", receive)


def old_patches_are_obeyed(patch: Patch) -> None:
    original = DataplaneHandle.patch

    def obey(self: Any, mapping: Any, generation: int) -> bool:
        self.generation = min(self.generation, generation)
        return original(self, mapping, generation)

    patch.setattr(DataplaneHandle, "patch", obey)


def stopped_instances_are_forgotten(patch: Patch) -> None:
    patch.setattr(Recent, "add", nothing)


def calls_have_no_deadline(patch: Patch) -> None:
    original = PendingCalls.open

    def opened(self: Any, *arguments: Any) -> int:
        self.timeout_ns = 10**15
        return original(self, *arguments)

    patch.setattr(PendingCalls, "open", opened)


def requirements_are_not_looked_at(patch: Patch) -> None:
    patch.setattr(requirements, "_requirement_reason", nothing)


def cordons_are_not_looked_at(patch: Patch) -> None:
    original = requirements.infeasible_reason

    def reason(needs: Any, node: Any) -> str | None:
        found = original(needs, node)
        return None if found == "cordoned" else found

    for module in (requirements, plan, candidates):
        patch.setattr(module, "infeasible_reason", reason)


def workflows_are_not_stored(patch: Patch) -> None:
    patch.setattr(MemoryWorkflowStore, "put", nothing)


def stops_are_not_stored(patch: Patch) -> None:
    patch.setattr(MemoryWorkflowStore, "remove", nothing)


def a_stopped_instance_keeps_its_inbox(patch: Patch) -> None:
    patch.setattr(Dataplane, "detach", nothing)


def a_stop_without_an_answer_is_not_repeated(patch: Patch) -> None:
    def failed(self: Any, step: Any, now_ns: int, reason: str) -> None:
        self._todo.pop(step.lid, None)

    patch.setattr(DomainLedger, "failed", failed)


def a_node_forgets_to_stop_what_it_should(patch: Patch) -> None:
    original = Agent.stop_function

    async def stop(self: Any, instance_id: Any) -> Any:
        if self.revision % 7:
            return await original(self, instance_id)
        return self._done()

    patch.setattr(Agent, "stop_function", stop)
