"""Which domains a portal joins, who goes where, and what joins them (spec 3.5, case D10, I18)."""

from random import Random
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.controller.choice import DomainOffer, DomainView
from edgeless_sim.controller.deployment import plan_deployment, plan_patches, plan_starts
from edgeless_sim.controller.portal import Division, Portal, bridged, divide, find_portals, reassign
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.ids import DomainId, LogicalId, WorkflowId
from edgeless_sim.model.workflow import COMPONENTS_MAX, SpawnWorkflowRequest, WorkflowResource

EDGE, HUB, LAB = DomainId("edge"), DomainId("hub"), DomainId("lab")
PORTAL = Portal(HUB, (EDGE, LAB))


def view(domain_id: str, *labels: str, **offer: Any) -> DomainView:
    state = {key: offer.pop(key) for key in ("reset_pending", "silent") if key in offer}
    offer.setdefault("resource_classes", ("portal",))
    capabilities = DomainCapabilities(num_nodes=1, labels=labels, **offer)
    return DomainView(DomainId(domain_id), DomainOffer.of(capabilities), **state)


def joined(**lab: Any) -> list[DomainView]:
    """Functions in edge, resources in lab, and a hub between them."""
    return [
        view("edge", runtimes=("RUST_WASM",)),
        view("hub", "portal-domain=edge", "portal-domain=lab"),
        view("lab", **({"resource_classes": ("portal", "test-res")} | lab)),
    ]


def places_of(division: Division) -> dict[str, DomainId]:
    assert division.assignment is not None, division.reason
    return {name: d for name, d in division.assignment.places.items() if "portal" not in name}


@pytest.mark.parametrize(
    ("views", "found"),
    [
        ([view("hub", "portal-domain=edge", "portal-domain=lab")], []),
        ([view("edge"), view("hub", "portal-domain=edge", "portal-domain=lab")], []),
        (
            [
                view("edge"),
                view("hub", "portal-domain=edge", "portal-domain=lab"),
                view("lab", resource_classes=()),
            ],
            [],
        ),
        ([view("edge"), view("hub", "portal-domain=edge"), view("lab")], []),
        (joined(), [(HUB, (EDGE, LAB))]),
        (
            [view("edge", "portal-domain=edge", "portal-domain=lab"), *joined()[1:]],
            [(EDGE, (EDGE, LAB)), (HUB, (EDGE, LAB))],
        ),
    ],
    ids=["nobody registered", "one of two", "without the class", "one label", "hub", "two portals"],
)
def test_a_portal_joins_two_registered_domains_that_offer_the_class(
    views: list[DomainView], found: list[Any]
) -> None:
    assert [(portal.domain_id, portal.connected) for portal in find_portals(views)] == found


def test_a_portal_that_does_not_answer_comes_last() -> None:
    labels = ("portal-domain=edge", "portal-domain=lab")
    views = [view("a", *labels, silent=True), view("edge"), view("hub", *labels), view("lab")]
    assert [portal.domain_id for portal in find_portals(views)] == [HUB, "a"]


def test_each_component_goes_to_a_joined_domain_that_can_host_it(make_workflow: Any) -> None:
    outsider = view("world", runtimes=("RUST_WASM",), resource_classes=("test-res",))
    request = make_workflow("f", resources=("r",))
    division = divide(request, [*joined(), outsider], Random(1), Random(2))
    assert places_of(division) == {"f": EDGE, "r": LAB}
    assert division.assignment is not None
    assert division.assignment.domains == (EDGE, LAB)
    assert division.assignment.reason == "divided between edge, lab by portal hub"
    assert division.assignment.request.resources == request.resources


def test_the_dice_decide_between_domains_that_can_both(make_workflow: Any) -> None:
    views = joined(runtimes=("RUST_WASM",))
    request = make_workflow("f", "g", "h", resources=("r",))
    seen = {
        tuple(places_of(divide(request, views, Random(seed), Random(2))).values())
        for seed in range(100)
    }
    assert len(seen) == 8
    assert all(places[3] == LAB for places in seen)


def test_why_a_workflow_cannot_be_divided(make_workflow: Any) -> None:
    request = make_workflow("f", resources=("r",))
    dice = Random(1), Random(2)
    assert divide(request, joined()[::2], *dice) == Division(None)
    assert divide(request, joined(resource_classes=("portal",)), *dice) == Division(
        None, "portal hub: no domain of edge, lab for 'r'"
    )
    assert divide(request, joined(), *dice, {LAB: "full"}) == Division(
        None, "portal hub: no domain of edge, lab for 'r'"
    )
    assert divide(request, joined(), *dice, {HUB: "it was restarted"}) == Division(
        None, "portal hub: it was restarted"
    )


def test_a_domain_that_has_not_confirmed_its_reset_is_waited_for(make_workflow: Any) -> None:
    request = make_workflow("f", resources=("r",))
    division = divide(request, joined(reset_pending=True), Random(1), Random(2))
    assert (division.assignment, division.pending) == (None, True)
    assert division.reason == "portal hub: no domain for 'r' has confirmed its reset yet"


def test_a_domain_that_does_not_answer_is_the_last_choice(make_workflow: Any) -> None:
    views = joined(runtimes=("RUST_WASM",))
    views[0] = view("edge", runtimes=("RUST_WASM",), silent=True)
    request = make_workflow("f", resources=("r",))
    for seed in range(20):
        division = divide(request, views, Random(seed), Random(2))
        assert places_of(division) == {"f": LAB, "r": LAB}


def test_a_channel_that_crosses_gets_four_resources(make_workflow: Any, make_function: Any) -> None:
    request = make_workflow(make_function("f", out="r", log="g"), "g", resources=("r",))
    whole, places = bridged(request, {"f": EDGE, "g": EDGE, "r": LAB}, PORTAL, Random(1))
    assert whole.functions[1] == request.functions[1]
    assert whole.functions[0].output_mapping["log"] == "g"
    entry = whole.functions[0].output_mapping["out"]
    number = int(entry.removeprefix("portal-").removesuffix("-sink-local"))
    sink, source = str(number), str(number + 1)
    assert whole.resources == (
        request.resources[0],
        WorkflowResource(
            f"portal-{sink}-sink-local",
            "portal",
            {},
            {"role": "sink", "domain": "local", "id": sink},
        ),
        WorkflowResource(
            f"portal-{sink}-sink-portal",
            "portal",
            {"out": f"portal-{source}-source-portal"},
            {"role": "sink", "domain": "portal", "id": sink, "domain_name": "edge"},
        ),
        WorkflowResource(
            f"portal-{source}-source-portal",
            "portal",
            {},
            {"role": "source", "domain": "portal", "id": source, "domain_name": "lab"},
        ),
        WorkflowResource(
            f"portal-{source}-source-local",
            "portal",
            {"out": "r"},
            {"role": "source", "domain": "local", "id": source},
        ),
    )
    assert [places[part.name] for part in whole.resources] == [LAB, EDGE, HUB, HUB, LAB]


def test_where_there_are_two_portals_local_halves_go_to_the_balancers_of_theirs(
    make_workflow: Any, make_function: Any
) -> None:
    request = make_workflow(make_function("f", out="r"), resources=("r",))

    def marks(*own: str) -> list[str | None]:
        labels = ("portal-domain=edge", "portal-domain=lab")
        views = [
            view("edge", *own, runtimes=("RUST_WASM",)),
            view("hub", *labels),
            view("hub2", *labels),
            view("lab", *own, resource_classes=("portal", "test-res")),
        ]
        division = divide(request, views, Random(1), Random(2))
        assert division.assignment is not None
        halves = division.assignment.request.resources[1:]
        return [half.configurations.get("label_match_all") for half in halves]

    assert marks("portal-by=hub", "portal-by=hub2") == [
        "portal-by=hub",
        None,
        None,
        "portal-by=hub",
    ]
    # One balancer is enough to know, and those of EDGELESS's own do not tell.
    assert marks("portal-by=hub") == [None] * 4
    assert marks() == [None] * 4


def test_numbers_differ_from_those_of_other_workflows_and_lives(
    make_workflow: Any, make_function: Any
) -> None:
    request = make_workflow(make_function("f", a="r", b="r"), resources=("r",))
    places = {"f": EDGE, "r": LAB}
    ids = Random(1)
    numbers = [
        int(resource.configurations["id"])
        for stream in (ids, ids, Random(2))
        for resource in bridged(request, places, PORTAL, stream)[0].resources[1:]
    ]
    assert len(numbers) == 3 * 2 * 4
    assert len(dict.fromkeys(numbers)) == len(numbers) // 2
    assert max(numbers) < 1 << 62


def test_too_many_channels_that_cross_are_not_joined(
    make_workflow: Any, make_function: Any
) -> None:
    channels = {f"c{number}": "r" for number in range(COMPONENTS_MAX // 4)}
    request = make_workflow(make_function("f", **channels), resources=("r",))
    division = divide(request, joined(), Random(1), Random(2))
    assert division.assignment is None
    assert "components with those that join domains" in division.reason


def test_outputs_never_leave_their_domain(make_workflow: Any, make_function: Any) -> None:
    request = make_workflow(make_function("f", out="r"), resources=("r",))
    division = divide(request, joined(), Random(1), Random(2))
    assert division.assignment is not None
    assert division.assignment.domains == (EDGE, LAB, HUB)
    deployment = plan_deployment(division.assignment, Random(3))
    home = {component.lid: component.domain_id for component in deployment.components}
    starts = plan_starts(WorkflowId(UUID(int=7)), (UUID(int=8),), deployment)
    targets = [
        (home[start.lid], home[LogicalId(target.instance.function_id)])
        for start in starts
        for target in (start.message.output_mapping or {}).values()
    ]
    assert targets == [(EDGE, EDGE), (HUB, HUB), (LAB, LAB)]
    assert len(plan_patches(deployment, 1, HUB)) == 1


def test_a_component_moves_where_a_portal_leads(make_workflow: Any, make_function: Any) -> None:
    request = make_workflow(make_function("f", out="g"), "g")
    views = joined(runtimes=("RUST_WASM",))
    assignment, why = reassign(request, LAB, {"f": EDGE}, views, Random(1))
    assert assignment is not None, why
    assert {name: d for name, d in assignment.places.items() if name in "fg"} == {
        "f": EDGE,
        "g": LAB,
    }
    back, why = reassign(request, EDGE, {"f": EDGE}, views, Random(1))
    assert back is not None, why
    assert (back.request, back.domains) == (request, (EDGE,))


@pytest.mark.parametrize(
    ("target", "views", "reason"),
    [
        ("lab", joined(), "no run-time 'RUST_WASM' for 'g'"),
        ("moon", joined(), "domain 'moon' is not registered"),
        ("lab", joined(reset_pending=True), "domain 'lab' has not confirmed its reset yet"),
        (
            "lab",
            [joined()[0], view("hub"), view("lab", runtimes=("RUST_WASM",))],
            "no portal joins the domains edge, lab",
        ),
        (
            "world",
            [*joined(), view("world", runtimes=("RUST_WASM",))],
            "no portal joins the domains edge, world",
        ),
    ],
)
def test_why_a_component_cannot_move(
    target: str, views: list[DomainView], reason: str, make_workflow: Any
) -> None:
    request = make_workflow("f", "g")
    found = reassign(request, DomainId(target), {"f": EDGE}, views, Random(1))
    assert found == (None, reason)


def test_an_empty_workflow_moves_to_any_registered_domain() -> None:
    assignment, _ = reassign(SpawnWorkflowRequest(), LAB, {}, joined(), Random(1))
    assert assignment is not None
    assert assignment.domains == (LAB,)
