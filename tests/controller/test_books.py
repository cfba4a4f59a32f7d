"""Deployment, ledger, register: the decisions without a network (case D07). Pure."""

from random import Random
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.api.messages import ComponentInventory, ComponentState, UpdateDomainRequest
from edgeless_sim.controller.deployment import (
    Assignment,
    Component,
    ComponentKind,
    Start,
    Stop,
    plan_deployment,
    plan_patches,
    plan_starts,
)
from edgeless_sim.controller.ledger import DomainLedger, retry_delay_ns
from edgeless_sim.controller.register import DomainRegister, News
from edgeless_sim.controller.workflows import Workflow, WorkflowTable
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.function import SpawnFunctionRequest, StatePolicy
from edgeless_sim.model.ids import DomainId, LogicalId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification

ONE, TWO = LogicalId(UUID(int=1)), LogicalId(UUID(int=2))
EDGE = DomainId("edge")
RESOURCE = ComponentKind.RESOURCE
SECOND_NS = 1_000_000_000


def start(lid: LogicalId) -> Start:
    message = ResourceInstanceSpecification("test-res", {}, WorkflowId(UUID(int=7)))
    return Start(lid, RESOURCE, "r", message)


def inventory(*lids: LogicalId) -> tuple[ComponentInventory, ...]:
    return tuple(ComponentInventory(lid, ComponentState.RUNNING, node="n") for lid in lids)


def test_starts_carry_ids_state_and_mapping(make_workflow: Any, make_function: Any) -> None:
    workflow_id = WorkflowId(UUID(int=7))
    request = make_workflow(make_function("f", {"init-payload": "x"}, out="r"), resources=("r",))
    deployment = plan_deployment(Assignment.whole(request, EDGE, ""), Random(1))
    first, second = plan_starts(workflow_id, (UUID(int=3),), deployment)
    function, resource = first.message, second.message
    assert isinstance(function, SpawnFunctionRequest)
    assert isinstance(resource, ResourceInstanceSpecification)
    assert function.state_specification.state_id == UUID(int=3)
    assert function.state_specification.policy is StatePolicy.NODE_LOCAL
    assert function.annotations == {"init-payload": "x"}
    assert function.output_mapping is not None
    assert function.output_mapping["out"].instance == resource.instance_id
    assert (resource.class_type, resource.workflow_id) == ("test-res", workflow_id)
    assert [s.lid for s in (first, second)] == [c.lid for c in deployment.components]


def test_only_components_with_outputs_are_patched(make_workflow: Any, make_function: Any) -> None:
    request = make_workflow(make_function("f", out="g"), "g")
    deployment = plan_deployment(Assignment.whole(request, EDGE, ""), Random(1))
    theirs = {deployment.components[1].lid: ONE}
    (patch,) = plan_patches(deployment.renamed(theirs), 4, EDGE)
    assert patch.lid == deployment.components[0].lid
    assert patch.message.output_mapping["out"].instance.function_id == ONE
    assert patch.message.generation == 4


def test_a_component_is_missing_only_in_the_second_report_after_its_start() -> None:
    ledger = DomainLedger()
    ledger.expect(start(ONE))
    ledger.report(())
    assert ledger.repairs(0) == ()
    ledger.succeeded(start(ONE))
    ledger.report(())
    assert (ledger.repairs(0), ledger.settled) == ((), False)
    ledger.report(())
    assert ledger.repairs(0) == (start(ONE),)


def test_a_ledger_settles_when_reports_have_shown_everything_twice() -> None:
    ledger = DomainLedger()
    assert ledger.settled
    ledger.expect(start(ONE))
    assert not ledger.settled
    ledger.succeeded(start(ONE))
    ledger.report(inventory(ONE))
    assert not ledger.settled
    ledger.report(inventory(ONE))
    assert ledger.settled
    ledger.discard(ONE)
    assert not ledger.settled


def test_what_is_discarded_is_stopped_until_it_has_left_the_reports() -> None:
    ledger = DomainLedger()
    ledger.expect(start(ONE))
    ledger.succeeded(start(ONE))
    ledger.discard(ONE)
    stop = Stop(ONE, RESOURCE)
    assert ledger.repairs(0) == (stop,)
    ledger.succeeded(stop)
    ledger.report(inventory(ONE))
    assert ledger.repairs(0) == ()
    ledger.report(inventory(ONE))
    assert ledger.repairs(0) == (stop,)
    ledger.succeeded(stop)
    ledger.report(())
    assert ledger.garbage == ()


def test_an_unknown_component_is_stopped_without_knowing_its_kind() -> None:
    ledger = DomainLedger()
    ledger.report(inventory(TWO))
    assert ledger.repairs(0) == (Stop(TWO, None),)


def test_the_late_reply_to_a_start_does_not_confirm_a_stop() -> None:
    ledger = DomainLedger()
    ledger.expect(start(ONE))
    ledger.discard(ONE)
    ledger.succeeded(start(ONE))
    assert ledger.repairs(0) == (Stop(ONE, RESOURCE),)


def test_a_failed_repair_rests_ever_longer_and_delays_no_other() -> None:
    ledger = DomainLedger()
    ledger.report(inventory(ONE, TWO))
    ledger.failed(Stop(ONE, None), 0, "no")
    assert ledger.repairs(0) == (Stop(TWO, None),)
    assert ledger.next_repair_ns() == 0
    assert ledger.repairs(SECOND_NS) == (Stop(ONE, None), Stop(TWO, None))
    ledger.failed(Stop(ONE, None), SECOND_NS, "no")
    assert ledger.repairs(3 * SECOND_NS - 1) == (Stop(TWO, None),)
    assert [retry_delay_ns(n) // SECOND_NS for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_without_inventory_a_confirmed_stop_is_the_end() -> None:
    ledger = DomainLedger()
    ledger.report(None)
    ledger.expect(start(ONE))
    ledger.succeeded(start(ONE))
    ledger.report(None)
    ledger.report(None)
    assert (ledger.repairs(0), ledger.settled) == ((), True)
    ledger.discard(ONE)
    ledger.succeeded(Stop(ONE, RESOURCE))
    assert ledger.garbage == ()


def test_a_component_is_described_by_the_report_or_by_what_is_known() -> None:
    ledger = DomainLedger()
    component = Component("r", RESOURCE, ONE, EDGE)
    ledger.expect(start(ONE))
    assert ledger.describe(component).state is ComponentState.PENDING
    ledger.succeeded(start(ONE))
    assert ledger.describe(component).state is ComponentState.RUNNING
    ledger.report(inventory(ONE))
    assert ledger.describe(component).node == "n"


def registration(**changes: Any) -> UpdateDomainRequest:
    fields: dict[str, Any] = {
        "domain_id": EDGE,
        "orchestrator_url": "memory://orc/edge",
        "capabilities": DomainCapabilities(num_nodes=1),
        "ttl_s": 5.0,
        "counter": 1,
        "nonce": 1,
        "components": (),
    }
    return UpdateDomainRequest(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "summary"),
    [
        ({"domain_id": ""}, "Empty domain identifier"),
        ({"domain_id": "a\x00"}, "Invalid domain identifier"),
        ({"orchestrator_url": ""}, "Invalid domain configuration"),
        ({"orchestrator_url": "nowhere"}, "Invalid domain configuration"),
        ({"ttl_s": float("nan")}, "Invalid domain configuration"),
    ],
)
def test_a_registration_that_makes_no_sense_is_refused(
    changes: dict[str, Any], summary: str
) -> None:
    with pytest.raises(RejectedError) as caught:
        DomainRegister(Random(1)).update(registration(**changes), 0)
    assert caught.value.summary == summary


def test_capabilities_are_taken_unless_the_counter_is_older() -> None:
    register = DomainRegister(Random(1))
    epoch = register.update(registration(), 0).response.epoch
    more = DomainCapabilities(num_nodes=2)
    assert register.update(registration(epoch=epoch), 0).news is News.USABLE
    changed = register.update(registration(epoch=epoch, counter=2, capabilities=more), 0)
    assert (changed.news, changed.entry.capabilities) == (News.CHANGED, more)
    late = register.update(registration(epoch=epoch), 0)
    assert (late.news, late.overtaken, late.entry.capabilities) == (News.NONE, True, more)


def test_under_an_equal_counter_only_the_deadline_is_taken() -> None:
    register = DomainRegister(Random(1))
    other: dict[str, Any] = {
        "capabilities": DomainCapabilities(num_nodes=2),
        "orchestrator_url": "memory://orc/other",
    }
    epoch = register.update(registration(), 0).response.epoch
    confirmed = register.update(registration(epoch=epoch, **other), SECOND_NS)
    assert confirmed.news is News.USABLE
    again = register.update(registration(epoch=epoch, **other), 3 * SECOND_NS)
    entry = again.entry
    assert (again.news, again.overtaken, again.response.reset) == (News.NONE, False, False)
    assert (entry.capabilities.num_nodes, entry.url) == (1, "memory://orc/edge")
    assert entry.deadline_ns == 8 * SECOND_NS
    counted = register.update(registration(epoch=epoch, counter=2, **other), 3 * SECOND_NS)
    assert (counted.news, entry.capabilities.num_nodes, entry.url) == (
        News.CHANGED,
        2,
        "memory://orc/other",
    )


def test_a_new_process_is_taken_whole_whatever_its_counter() -> None:
    register = DomainRegister(Random(1))
    epoch = register.update(registration(), 0).response.epoch
    register.update(registration(epoch=epoch), 0)
    more = DomainCapabilities(num_nodes=2)
    restarted = register.update(registration(nonce=2, capabilities=more), 0)
    assert (restarted.news, restarted.response.reset) == (News.RESTARTED, True)
    assert restarted.entry.capabilities == more


def test_a_deadline_is_the_registers_own_time_plus_the_time_to_live() -> None:
    register = DomainRegister(Random(1))
    register.update(registration(), 10 * SECOND_NS)
    assert register.expire(15 * SECOND_NS) == []
    register.update(registration(), 15 * SECOND_NS)
    assert register.expire(20 * SECOND_NS) == []
    (entry,) = register.expire(20 * SECOND_NS + 1)
    assert (entry.domain_id, len(register)) == ("edge", 0)


def workflow(number: int) -> Workflow:
    needs: Any = None
    request: Any = None
    return Workflow(WorkflowId(UUID(int=number)), f"w{number}", request, needs, (), number)


def test_due_orphans_come_once_and_in_order() -> None:
    table = WorkflowTable()
    orphans = [workflow(n) for n in (3, 1, 2)]
    for orphan in orphans:
        table.add(orphan)
        table.orphan(orphan, "lost", 0)
    table.hurry(0)
    assert table.due(0, 2) == orphans[:2]
    orphans[0].busy = orphans[1].busy = True
    table.hurry(0)
    assert table.due(0, 9) == orphans[2:]
    assert table.due(0, 9) == []


def test_a_report_of_changes_builds_on_what_is_known() -> None:
    ledger = DomainLedger()
    ledger.report(inventory(ONE), version=4)
    ledger.report(inventory(TWO), base=4, version=6)
    assert ledger.repairs(0) == (Stop(ONE, None), Stop(TWO, None))
    for stop in ledger.repairs(0):
        ledger.succeeded(stop)
    ledger.report((), base=6, version=7, gone=(ONE,))
    assert ledger.garbage == (TWO,)


def test_a_report_that_leaves_a_gap_or_is_past_says_nothing() -> None:
    ledger = DomainLedger()
    ledger.report(inventory(ONE), base=3, version=4)
    assert (ledger.version, ledger.garbage) == (None, ())
    ledger.report(inventory(ONE), version=4)
    ledger.report(inventory(TWO), base=5, version=6)
    ledger.report((), version=3)
    ledger.report((), base=2, version=3, gone=(ONE,))
    assert (ledger.version, ledger.garbage, ledger.reports) == (4, (ONE,), 1)


def test_what_a_report_of_changes_calls_gone_is_missing() -> None:
    ledger = DomainLedger()
    ledger.expect(start(ONE))
    ledger.succeeded(start(ONE))
    for version in (1, 2, 3):
        ledger.report(inventory(ONE), version=version)
    assert ledger.settled
    ledger.report((), base=3, version=4, gone=(ONE,))
    assert ledger.repairs(0) == (start(ONE),)


def test_nothing_is_missing_before_the_last_part_of_a_report() -> None:
    ledger = DomainLedger()
    ledger.expect(start(ONE))
    ledger.succeeded(start(ONE))
    ledger.report(())
    ledger.report(inventory(TWO), version=1, more=True)
    assert ledger.repairs(0) == ()
    ledger.report(inventory(ONE), base=1, version=2)
    assert ledger.repairs(0) == (Stop(TWO, None),)
