"""Which domain gets a workflow, and why not the others (case D09). Pure."""

from random import Random

import pytest

from edgeless_sim.controller.choice import DomainOffer, DomainView, choose, needs_of, shortfall
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

RICH = DomainOffer.of(
    DomainCapabilities(
        num_nodes=2,
        runtimes=("RUST_WASM",),
        resource_classes=("file-log",),
        labels=("green", "red"),
        resource_providers=("log-1",),
        num_tee=1,
        num_tpm=0,
    )
)
EMPTY = DomainOffer.of(DomainCapabilities())


def request(
    annotations: dict[str, str],
    configurations: dict[str, str] | None = None,
    *,
    function_type: str = "RUST_WASM",
    class_type: str = "file-log",
) -> SpawnWorkflowRequest:
    code = FunctionClassSpecification("fc", function_type, "0.1")
    return SpawnWorkflowRequest(
        (WorkflowFunction("f", code, {}, annotations),),
        (WorkflowResource("r", class_type, {}, configurations or {}),),
    )


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        (request({}), None),
        (request({}, function_type="PYTHON"), "no run-time 'PYTHON' for 'f'"),
        (request({}, class_type="redis"), "no resource class 'redis' for 'r'"),
        (request({"label_match_all": "red,green"}), None),
        (request({"label_match_all": "red,blue"}), "no node with label 'blue' for 'f'"),
        (request({}, {"label_match_all": "blue"}), "no node with label 'blue' for 'r'"),
        (request({"resource_match_all": "log-1"}), None),
        (request({"resource_match_all": "log-2"}), "no provider 'log-2' for 'f'"),
        (request({"tee": "required"}), None),
        (request({"tpm": "Required"}), "no node with a TPM for 'f'"),
        (request({"node_id_match_any": "edge/0", "max_instances": "1"}), None),
    ],
)
def test_a_domain_is_feasible_if_it_has_all_that_is_needed(
    workflow: SpawnWorkflowRequest, expected: str | None
) -> None:
    assert shortfall(needs_of(workflow), RICH) == expected


def test_an_empty_workflow_fits_an_empty_domain() -> None:
    assert shortfall(needs_of(SpawnWorkflowRequest()), EMPTY) is None


def view(name: str, *, offer: DomainOffer = RICH, **flags: bool) -> DomainView:
    return DomainView(DomainId(name), offer, **flags)


NEEDS = needs_of(request({}))


def test_the_draw_is_uniform_over_the_feasible_domains() -> None:
    views = [view("a"), view("b", offer=EMPTY), view("c"), view("d")]
    dice = Random(5)
    drawn = [choose(NEEDS, views, dice).domain_id for _ in range(3000)]
    assert sorted({str(name) for name in drawn}) == ["a", "c", "d"]
    assert all(900 < drawn.count(DomainId(name)) < 1100 for name in "acd")


def test_a_silent_domain_is_drawn_only_if_no_other_is_feasible() -> None:
    silent = view("a", silent=True)
    assert choose(NEEDS, [silent, view("b")], Random(1)).domain_id == "b"
    assert choose(NEEDS, [silent, view("b", offer=EMPTY)], Random(1)).domain_id == "a"


def test_a_domain_with_a_pending_reset_is_not_drawn_but_named() -> None:
    choice = choose(NEEDS, [view("a", reset_pending=True), view("b", offer=EMPTY)], Random(1))
    assert choice.domain_id is None
    assert choice.pending == ("a",)
    assert choice.reason == (
        "0 of 2 domains feasible; b: no run-time 'RUST_WASM' for 'f'; "
        "a: it has not confirmed its reset yet"
    )


def test_a_domain_that_was_tried_is_out_for_its_own_reason() -> None:
    choice = choose(NEEDS, [view("a"), view("b")], Random(1), {DomainId("a"): "full"})
    assert choice.domain_id == "b"
    assert choice.reason == "1 of 2 domains feasible; a: full"


def test_an_explanation_stays_short() -> None:
    views = [view(f"domain-{n:03}", offer=EMPTY) for n in range(200)]
    reason = choose(NEEDS, views, Random(1)).reason
    assert len(reason.encode()) <= 1024
    assert reason.endswith("; and 192 more")


def test_without_domains_the_explanation_says_so() -> None:
    assert choose(NEEDS, [], Random(1)).reason == "no domain is registered"
