"""The pure parts: feasibility, strategies, plans, the register, the proxy (C022, C023, D15-D20)."""

import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.model.annotations import DeploymentRequirements
from edgeless_sim.model.event import UNPLACED, Target
from edgeless_sim.model.ids import FunctionId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.intent import Cordon
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.model.resource import (
    ResourceInstanceSpecification,
    ResourceProviderSpecification,
)
from edgeless_sim.orchestrator.backoff import pause_ns
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.intents import IntentInbox
from edgeless_sim.orchestrator.judge import Judge
from edgeless_sim.orchestrator.placement import (
    RandomPlacement,
    RoundRobinPlacement,
    compute_weight,
    create_strategy,
    strategy_fault,
)
from edgeless_sim.orchestrator.plan import (
    Hold,
    PatchInstance,
    Place,
    StartInstance,
    StopInstance,
    plan_instance,
    plan_refresh,
)
from edgeless_sim.orchestrator.proxy import INTENTS_MAX, INTENTS_PER_TICK_MAX
from edgeless_sim.orchestrator.records import Component, Node, Placement
from edgeless_sim.orchestrator.requirements import (
    Needs,
    explained,
    feasible_nodes,
    infeasible_reason,
    resource_needs,
)
from edgeless_sim.orchestrator.view import (
    ComponentKind,
    ComponentView,
    DomainView,
    NodeView,
)

MINIMUM = NodeCapabilities(num_cpus=1, num_cores=1, runtimes=("RUST_WASM",))
FUNCTION, RESOURCE = ComponentKind.FUNCTION, ComponentKind.RESOURCE
WORKFLOW = WorkflowId(UUID(int=0xF1))
SEEN = ComponentView(LogicalId(UUID(int=1)), "f", WORKFLOW, FUNCTION, "RUST_WASM")


def view(number: int, providers: tuple[str, ...] = (), **capabilities: Any) -> NodeView:
    return NodeView(
        NodeId(UUID(int=number)),
        f"edge/{number}",
        msgspec.structs.replace(MINIMUM, **capabilities),
        tuple(ResourceProviderSpecification(name, "file") for name in providers),
    )


def needs(runtime: str = "RUST_WASM", **requirements: Any) -> Needs:
    return Needs(FUNCTION, runtime, DeploymentRequirements(**requirements))


NODE_ID = "00000000-0000-0000-0000-000000000001"
OTHER_ID = "00000000-0000-0000-0000-000000000002"


@pytest.mark.parametrize(
    ("wanted", "node", "reason"),
    [
        (needs(), view(1), None),
        (needs(nodes=(NODE_ID,)), view(1), None),
        (needs(nodes=(OTHER_ID, NODE_ID)), view(1), None),
        (needs(nodes=("edge/1",)), view(1), None),
        (needs(nodes=(OTHER_ID,)), view(1), "not among the wanted nodes"),
        (needs(labels=("red",)), view(1, labels=("green",)), "label red missing"),
        (needs(labels=("red",)), view(1, labels=("green", "red")), None),
        (needs(labels=("red", "blue")), view(1, labels=("green", "red")), "label blue missing"),
        (needs(labels=("red", "blue")), view(1, labels=("green", "red", "blue")), None),
        (needs(providers=("file-1",)), view(1), "provider file-1 missing"),
        (needs(providers=("file-1",)), view(1, ("file-1", "file-2")), None),
        (needs(providers=("file-1", "file-9")), view(1, ("file-1",)), "provider file-9 missing"),
        (needs(tee_required=True), view(1), "no TEE"),
        (needs(tee_required=True), view(1, is_tee_running=True), None),
        (needs(tpm_required=True), view(1), "no TPM"),
        (needs(tpm_required=True), view(1, has_tpm=True), None),
        (needs("CONTAINER"), view(1), "no run-time CONTAINER"),
        (needs(""), view(1), "no run-time "),
        (needs(), view(1, num_cores=0), "no CPU"),
    ],
)
def test_a_function_is_feasible_where_everything_holds(
    wanted: Needs, node: NodeView, reason: str | None
) -> None:
    assert infeasible_reason(wanted, node) == reason


@pytest.mark.parametrize(
    ("wanted", "node", "reason"),
    [
        (Needs(RESOURCE, "file"), view(1, ("file-1",)), None),
        (Needs(RESOURCE, "file"), view(1, ("file-1",), num_cpus=0), None),
        (Needs(RESOURCE, "redis"), view(1, ("file-1",)), "no provider of redis"),
        (
            Needs(RESOURCE, "file", DeploymentRequirements(providers=("file-1",))),
            view(1, ("file-1",)),
            None,
        ),
    ],
)
def test_a_resource_needs_a_provider_of_its_class_and_no_cpu(
    wanted: Needs, node: NodeView, reason: str | None
) -> None:
    assert infeasible_reason(wanted, node) == reason


def test_the_half_in_the_portal_domain_goes_to_the_balancer_of_the_domain_it_names() -> None:
    portal = {"domain": "portal", "domain_name": "edge"}
    request = ResourceInstanceSpecification("portal", portal, WORKFLOW)
    assert resource_needs(request).provider_id == "portal-edge"
    for class_type, configuration in (
        ("portal", {"domain": "local", "domain_name": "edge"}),
        ("portal", {}),
        ("other", portal),
    ):
        request = ResourceInstanceSpecification(class_type, configuration, WORKFLOW)
        assert resource_needs(request).provider_id == ""


def test_an_explanation_counts_and_gives_reasons_within_bounds() -> None:
    nodes = [view(n, labels=("red",) if n < 4 else ()) for n in range(1, 400)]
    found = feasible_nodes(needs(labels=("red",)), nodes)
    text = explained("Random", found)
    assert text.startswith("Random: 3 of 399 feasible; edge/4: label red missing; edge/5")
    assert len(text) <= 300


def test_the_weight_of_a_node_is_its_larger_number_of_cpus_times_its_clock() -> None:
    fast = NodeCapabilities(num_cpus=8, num_cores=4, clock_freq_cpu=2000.0)
    assert compute_weight(fast) == 16000.0
    assert compute_weight(MINIMUM) == 1.0


def test_random_placement_follows_the_weights() -> None:
    nodes = (view(1, clock_freq_cpu=1000.0), view(2, clock_freq_cpu=3000.0))
    strategy, dice = RandomPlacement(), Random(3)
    drawn = Counter(strategy.choose(nodes, SEEN, DomainView(nodes), dice) for _ in range(4000))
    assert 850 < drawn[nodes[0].node_id] < 1150


def test_round_robin_takes_turns_in_the_order_of_ids_and_skips_the_infeasible() -> None:
    nodes = tuple(view(n) for n in (2, 4, 6, 8))
    strategy, dice = RoundRobinPlacement(), Random(3)

    def chosen(feasible: tuple[NodeView, ...]) -> int:
        return strategy.choose(feasible, SEEN, DomainView(nodes), dice).int

    assert [chosen(nodes) for _ in range(5)] == [2, 4, 6, 8, 2]
    assert [chosen((nodes[0], nodes[2])) for _ in range(3)] == [6, 2, 6]
    assert chosen((*nodes, view(9))) == 8


def test_a_strategy_is_found_by_name_or_by_place() -> None:
    assert isinstance(create_strategy("RoundRobin"), RoundRobinPlacement)
    place = "edgeless_sim.orchestrator.placement:RandomPlacement"
    assert isinstance(create_strategy(place), RandomPlacement)
    with pytest.raises(SettingsError, match="did you mean 'Random'"):
        create_strategy("Randon")
    with pytest.raises(SettingsError, match="no_such_module"):
        create_strategy("no_such_module:Strategy")


@pytest.mark.parametrize("name", ["sys:exit", "os:abort", "os:system", "random:Random"])
def test_what_cannot_be_a_strategy_is_refused_and_never_called(name: str) -> None:
    with pytest.raises(SettingsError, match="is no class with a method choose"):
        create_strategy(name)
    assert "is no class with a method choose" in (strategy_fault(name) or "")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError"),
        ("", "AttributeError"),
        ("class Mine:\n choose = print\n def __init__(self): raise SystemExit(4)", "SystemExit: 4"),
        ("class Mine:\n choose = print\n def __init__(self): raise KeyError('k')", "KeyError: 'k'"),
    ],
)
def test_a_strategy_that_cannot_be_made_is_refused_by_its_name(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strategy_of_a_test.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "strategy_of_a_test", raising=False)
    with pytest.raises(SettingsError, match="strategy_of_a_test:Mine") as refused:
        create_strategy("strategy_of_a_test:Mine")
    sys.modules.pop("strategy_of_a_test", None)
    assert reason in str(refused.value)


def test_a_strategy_that_can_be_made_has_no_fault() -> None:
    assert strategy_fault("RoundRobin") is None
    assert strategy_fault("edgeless_sim.orchestrator.placement:RandomPlacement") is None
    assert "did you mean 'Random'" in (strategy_fault("Randon") or "")


def make_state(*views: NodeView) -> DomainState:
    state = DomainState()
    for seen in views:
        url = f"memory://node/{seen.name}"
        state.add_node(Node(seen, url, url, own=True))
    return state


def component(number: int, mapping: dict[str, int] | None = None, **changes: Any) -> Component:
    request = ResourceInstanceSpecification("file", {}, WORKFLOW, f"r{number}")
    targets = {c: LogicalId(UUID(int=n)) for c, n in (mapping or {}).items()}
    return Component(
        LogicalId(UUID(int=number)), RESOURCE, request, Needs(RESOURCE, "file"), targets, **changes
    )


JUDGE = Judge("Random", RandomPlacement())


def test_a_new_component_is_placed_on_a_feasible_node() -> None:
    state = make_state(view(1), view(2, ("file-2",)))
    state.add(component(7))
    (step,) = plan_refresh(state, Random(1), JUDGE)
    assert isinstance(step, Place)
    assert step.instance_id.node_id == UUID(int=2)
    assert step.provider_id == "file-2"
    assert step.reason == "Random: 1 of 2 feasible; edge/1: no provider of file"


def test_without_a_feasible_node_a_component_is_held_until_nodes_change() -> None:
    state = make_state(view(1))
    held = component(7)
    state.add(held)
    (step,) = plan_refresh(state, Random(1), JUDGE)
    assert step == Hold(
        held.logical_id, "Random: 0 of 1 feasible; edge/1: no provider of file", False
    )
    state.hold(held, step.reason)
    assert list(plan_refresh(state, Random(1), JUDGE)) == []
    state.add_node(Node(view(2), "memory://n/2", "memory://n/2", own=True))
    assert list(plan_refresh(state, Random(1), JUDGE)) == []
    state.add_node(Node(view(3, ("file-3",)), "memory://n/3", "memory://n/3", own=True))
    (step,) = plan_refresh(state, Random(1), JUDGE)
    assert isinstance(step, Place)


def test_a_node_that_was_tried_is_not_tried_again_before_a_pause() -> None:
    state = make_state(view(1, ("a",)), view(2, ("b",)))
    tried = component(7)
    state.add(tried)
    tried.tried = (*tried.tried, NodeId(UUID(int=1)))
    (step,) = plan_refresh(state, Random(1), JUDGE)
    assert isinstance(step, Place)
    assert step.instance_id.node_id == UUID(int=2)
    tried.tried = (*tried.tried, NodeId(UUID(int=2)))
    (step,) = plan_refresh(state, Random(1), JUDGE)
    assert isinstance(step, Hold)
    assert step.retry


class Bad:
    """A strategy that answers, or raises, what it is told."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def choose(self, feasible: Any, component: Any, view: DomainView, dice: Any) -> Any:
        assert len(view.components) == 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class Spiteful:
    """Not even its looks can be had."""

    def __repr__(self) -> str:
        raise RuntimeError("never ask me")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("never compare me")

    def __hash__(self) -> int:
        raise RuntimeError("never hash me")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NodeId(UUID(int=1)), "it chose UUID('00000000-0000-0000-0000-000000000001')"),
        (NodeId(UUID(int=99)), "which is not feasible"),
        (None, "it chose None"),
        (float("nan"), "it chose nan"),
        ([], "it chose []"),
        (Spiteful(), "RuntimeError: never ask me"),
        ("x" * 10_000, "it chose 'xxx"),
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:30],
)
def test_a_strategy_that_fails_is_blamed_and_nothing_changes(answer: Any, said: str) -> None:
    state = make_state(view(1), view(2, ("file-2",)))
    state.add(component(7))
    before = state.version
    (step,) = plan_refresh(state, Random(1), Judge("Bad", Bad(answer)))
    assert isinstance(step, Hold)
    assert step.reason.startswith("the strategy Bad has failed: ")
    assert said in step.reason
    assert len(step.reason) < 300
    assert (step.retry, step.fault, state.version) == (True, True, before)


def test_what_to_say_about_an_instance_follows_from_what_is_known() -> None:
    state = make_state(view(1, ("file-1",)))
    node = state.nodes[NodeId(UUID(int=1))]
    source, target = component(7, {"out": 8}), component(8)
    state.add(source)
    state.add(target)
    first, second = (InstanceId(node.node_id, FunctionId(UUID(int=n))) for n in (70, 80))
    state.place(source, Placement(first, "file-1"))
    step = plan_instance(state, node, first)
    assert isinstance(step, StartInstance)
    waiting = {"out": Target(UNPLACED, "")}
    assert (step.request.output_mapping, step.request.generation) == (waiting, 1)
    state.confirm(source, source.placements()[0], revision=1, generation=1)
    assert plan_instance(state, node, first) is None

    state.place(target, Placement(second, "file-1", sent=True))
    assert plan_instance(state, node, first) is None
    state.confirm(target, target.placements()[0], revision=2, generation=1)
    patch = plan_instance(state, node, first)
    assert isinstance(patch, PatchInstance)
    assert patch.request.generation == 2
    assert patch.request.output_mapping["out"].instance == second

    state.remove(target)
    assert plan_instance(state, node, second) == StopInstance(second, RESOURCE)
    patch = plan_instance(state, node, first)
    assert isinstance(patch, PatchInstance)
    assert (patch.request.generation, patch.request.output_mapping) == (3, waiting)


def test_pauses_double_up_to_half_a_minute() -> None:
    assert [pause_ns(n) // 10**9 for n in (1, 2, 3, 4, 5, 6, 60)] == [1, 2, 4, 8, 16, 30, 30]


def test_an_inbox_takes_a_bounded_number_and_gives_each_intent_out_once() -> None:
    inbox = IntentInbox()
    intents = [Cordon(NodeId(UUID(int=number))) for number in range(INTENTS_MAX)]
    for intent in intents:
        inbox.put(intent)
    with pytest.raises(RejectedError, match="too many intents"):
        inbox.put(intents[0])
    taken = []
    while given := inbox.take():
        assert len(given) <= INTENTS_PER_TICK_MAX
        taken += given
    assert taken == intents
