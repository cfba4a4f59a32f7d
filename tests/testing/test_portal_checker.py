"""The checker of I18 is quiet where all is well, and finds what is planted."""

from random import Random
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.api.messages import ComponentMapping, WorkflowInfo, WorkflowStatus
from edgeless_sim.controller.portal import Portal, bridged
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.ids import DomainId, LogicalId, WorkflowId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource
from edgeless_sim.testing.portal_checker import portal_faults

EDGE, HUB, LAB = DomainId("edge"), DomainId("hub"), DomainId("lab")
PORTAL = Portal(HUB, (EDGE, LAB))
CODE = FunctionClassSpecification("f", "MODELLED", "1")
REQUEST = SpawnWorkflowRequest(
    (WorkflowFunction("f", CODE, {"out": "r"}),), (WorkflowResource("r", "file-log", {"b": "f"}),)
)


def shown(
    request: SpawnWorkflowRequest, places: dict[str, DomainId], **moved: DomainId
) -> WorkflowInfo:
    names = [part.name for part in request.functions]
    names += [part.name for part in request.resources]
    mapping = tuple(
        ComponentMapping(name, LogicalId(UUID(int=1)), moved.get(kind(name), places[name]))
        for name in names
    )
    return WorkflowInfo(request, WorkflowStatus(WorkflowId(UUID(int=9)), mapping))


def kind(name: str) -> str:
    return "_".join(name.split("-")[2:]) or name


def divided() -> tuple[SpawnWorkflowRequest, dict[str, DomainId]]:
    return bridged(REQUEST, {"f": EDGE, "r": LAB}, PORTAL, Random(1))


def changed(request: SpawnWorkflowRequest, which: str, **fields: object) -> SpawnWorkflowRequest:
    """*request*, with the first half of that kind changed."""
    halves = list(request.resources)
    place = next(at for at, half in enumerate(halves) if kind(half.name) == which)
    halves[place] = msgspec.structs.replace(halves[place], **fields)
    return msgspec.structs.replace(request, resources=tuple(halves))


def test_a_workflow_that_is_well_divided_has_no_faults() -> None:
    assert portal_faults("w", shown(*divided())) == []
    whole = shown(REQUEST, {"f": EDGE, "r": EDGE})
    assert portal_faults("w", whole) == []


def test_a_channel_without_portals_is_found() -> None:
    (fault, _) = portal_faults("w", shown(REQUEST, {"f": EDGE, "r": LAB}))
    assert fault == "I18: w: f.out leaves its domain for r"


@pytest.mark.parametrize(
    ("which", "fields", "fault"),
    [
        ("sink_portal", {"output_mapping": {}}, "it leads through"),
        ("source_local", {"output_mapping": {}}, "leads nowhere"),
        ("source_local", {"output_mapping": {"out": "f"}}, "leaves its domain"),
        ("source_portal", {"configurations": {"domain": "portal"}}, "it leads through"),
    ],
)
def test_a_broken_half_is_found(which: str, fields: dict[str, object], fault: str) -> None:
    request, places = divided()
    faults = portal_faults("w", shown(changed(request, which, **fields), places))
    assert any(fault in each for each in faults), faults


def test_the_wrong_balancer_is_found() -> None:
    request, places = divided()
    sink = next(half for half in request.resources if kind(half.name) == "sink_portal")
    wrong = sink.configurations | {"domain_name": "lab"}
    faults = portal_faults(
        "w", shown(changed(request, "sink_portal", configurations=wrong), places)
    )
    assert faults == [f"I18: w: f.out: {sink.name} is not that of edge"]


def test_portals_without_a_channel_are_found() -> None:
    request, places = divided()
    idle = msgspec.structs.replace(request, functions=(WorkflowFunction("f", CODE),))
    assert len(portal_faults("w", shown(idle, places))) == 4


def test_halves_in_the_wrong_domain_are_found() -> None:
    request, places = divided()
    faults = portal_faults("w", shown(request, places, source_portal=EDGE))
    assert any("is lost between the portal domains hub and edge" in each for each in faults)
