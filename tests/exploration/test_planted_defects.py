"""Exploring finds what it is for: EDGELESS's defects, and slips of our own, planted one by one.

Each is planted into the product and found by the seed that stands beside it; how many seeds it
takes from 0 on is the number of that seed plus one. That a hundred seeds find nothing without them
is a step of `.ci/run`.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from edgeless_sim.controller.controller import Controller
from edgeless_sim.controller.ledger import DomainLedger
from edgeless_sim.controller.register import DomainRegister, News
from edgeless_sim.controller.workflow_service import WorkflowService
from edgeless_sim.controller.workflow_store import MemoryWorkflowStore
from edgeless_sim.controller.workflows import Phase
from edgeless_sim.dataplane.handle import DataplaneHandle
from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.exploration.run import explore_seed
from edgeless_sim.exploration.setting import built_in
from edgeless_sim.model.recent import Recent
from edgeless_sim.orchestrator import domain_state, plan, requirements
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.membership import Membership
from edgeless_sim.orchestrator.performer import NodePerformer
from edgeless_sim.orchestrator.plan import PatchInstance
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
        self._state.observe(placement, item.state, item.reason)

    patch.setattr(NodePerformer, "_unreachable", unreachable)
    patch.setattr(Membership, "_observe", observe)


def strays_on_nodes_are_left_alone(patch: Patch) -> None:
    original = DomainState.discard

    def discard(self: Any, node: Any, instance_id: Any, kind: ComponentKind | None) -> None:
        if kind is not None:
            original(self, node, instance_id, kind)

    patch.setattr(DomainState, "discard", discard)


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


def stopped_instances_are_forgotten(patch: Patch) -> None:
    patch.setattr(Recent, "add", nothing)


def requirements_are_not_looked_at(patch: Patch) -> None:
    patch.setattr(requirements, "_requirement_reason", nothing)


def cordons_are_not_looked_at(patch: Patch) -> None:
    original = requirements.infeasible_reason

    def reason(needs: Any, node: Any) -> str | None:
        found = original(needs, node)
        return None if found == "cordoned" else found

    for module in (requirements, plan, domain_state):
        patch.setattr(module, "infeasible_reason", reason)


def workflows_are_not_stored(patch: Patch) -> None:
    patch.setattr(MemoryWorkflowStore, "put", nothing)


def stops_are_not_stored(patch: Patch) -> None:
    patch.setattr(MemoryWorkflowStore, "remove", nothing)


def a_stopped_instance_keeps_its_inbox(patch: Patch) -> None:
    patch.setattr(Dataplane, "detach", nothing)


class Planted(NamedTuple):
    """A defect, and what finds it."""

    plant: Callable[[Patch], None]
    seed: int
    invariants: tuple[str, ...]
    """One of them is broken."""


PLANTED: Final[dict[str, Planted]] = {
    "U01": Planted(workflows_are_not_stored, 0, ("I07",)),
    "U02": Planted(a_stop_of_an_orphan_is_ignored, 6, ("I07", "I09")),
    "U03": Planted(nothing_is_deployed_again_after_a_restart_of_the_orchestrator, 12, ("I01",)),
    "U15": Planted(delayed_casts_outlive_their_sender, 50, ("I29",)),
    "U24": Planted(requirements_are_not_looked_at, 2, ("I06",)),
    "U30": Planted(a_stray_resource_is_stopped_as_a_function, 1, ("I13",)),
    "U34": Planted(a_stopped_instance_keeps_its_inbox, 0, ("I39",)),
    "U36": Planted(a_patch_without_an_answer_is_not_repeated, 11, ("I16",)),
    "U37 node": Planted(strays_on_nodes_are_left_alone, 1, ("I13",)),
    "U37 domain": Planted(
        components_that_the_controller_does_not_know_are_left_alone, 47, ("I13",)
    ),
    "U38": Planted(a_reset_without_an_echo_is_taken_for_done, 7, ("I13",)),
    "copies": Planted(copies_of_events_are_handled, 21, ("I22",)),
    "F44": Planted(stopped_instances_are_forgotten, 27, ("I28",)),
    "cordons": Planted(cordons_are_not_looked_at, 2, ("I14",)),
    "stops": Planted(stops_are_not_stored, 3, ("I07", "I09")),
}


def violations(seed: int) -> tuple[str, ...]:
    return explore_seed(seed, built_in()).violations


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_is_found(name: str, monkeypatch: Patch) -> None:
    planted = PLANTED[name]
    planted.plant(monkeypatch)
    found = violations(planted.seed)
    assert any(each.startswith(planted.invariants) for each in found), found


def test_nothing_is_found_where_nothing_is_planted() -> None:
    assert [violations(seed) for seed in (0, 1, 2)] == [(), (), ()]
