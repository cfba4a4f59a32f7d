"""Workflows in several domains: started, shown, moved, lost, repaired (D09, D10, I18, bug 65)."""

from typing import Any

from edgeless_sim.api.messages import ComponentState, MigrateWorkflow, StartWorkflow
from edgeless_sim.errors import RejectedError, UnknownComponentError
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowResource

JOINED = ("portal-domain=edge", "portal-domain=lab")
FUNCTIONS = {"num_nodes": 1, "runtimes": ("RUST_WASM",), "resource_classes": ("portal",)}
RESOURCES = {"num_nodes": 1, "resource_classes": ("portal", "test-res")}


async def domains(world: Any, lab: dict[str, Any] = RESOURCES) -> tuple[Any, Any, Any]:
    """Functions run in edge, resources in lab, and hub joins them."""
    edge, hub, lab_orc = (world.orchestrator(name) for name in ("edge", "hub", "lab"))
    edge.offer(**FUNCTIONS)
    hub.offer(num_nodes=2, resource_classes=("portal",), labels=JOINED)
    lab_orc.offer(**lab)
    for each in (edge, hub, lab_orc):
        await each.join()
    return edge, hub, lab_orc


def chain(make_function: Any) -> SpawnWorkflowRequest:
    return SpawnWorkflowRequest(
        (make_function("f", out="r"),), (WorkflowResource("r", "test-res", {"back": "f"}),)
    )


def kinds(orchestrator: Any) -> list[str]:
    """What runs there, without the numbers of portals."""
    return sorted(
        "-".join(name.split("-")[2:]) if name.startswith("portal-") else name
        for name in orchestrator.names()
    )


LOCAL = ["sink-local", "source-local"]
CROSSING = ["sink-portal", "sink-portal", "source-portal", "source-portal"]


def test_a_workflow_that_fits_nowhere_is_divided_between_joined_domains(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge, hub, lab = await domains(world)
        status = await world.client.start(StartWorkflow(chain(make_function)))
        assert [(m.name, m.domain_id) for m in status.mapping[:2]] == [("f", "edge"), ("r", "lab")]
        assert kinds(edge) == ["f", *LOCAL]
        assert kinds(lab) == ["r", *LOCAL]
        assert kinds(hub) == CROSSING
        info = await world.client.inspect(status.workflow_id)
        assert len(info.request.resources) == 1 + 2 * 4
        assert info.request.functions[0].output_mapping["out"].endswith("-sink-local")
        assert all(m.state is ComponentState.RUNNING for m in info.status.mapping)
        shown = {m.name: m.domain_id for m in info.status.mapping}
        assert list(shown) == ["f", *(resource.name for resource in info.request.resources)]
        await world.client.stop(status.workflow_id)
        await world.sleep(6)
        assert (edge.running, hub.running, lab.running) == ({}, {}, {})

    play(story)


def test_a_domain_that_can_host_everything_still_wins(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        await domains(world)
        whole = await world.domain("whole")
        for _ in range(8):
            status = await world.client.start(StartWorkflow(chain(make_function)))
            assert [m.domain_id for m in status.mapping] == ["whole", "whole"]
        info = await world.client.inspect(status.workflow_id)
        assert info.request == chain(make_function)
        assert len(whole.running) == 16

    play(story)


def test_a_domain_about_to_be_usable_wins_over_a_division(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        edge, _, _ = await domains(world)
        whole = world.orchestrator("whole")
        whole.listen()
        assert (await whole.register()).reset
        world.start_later(make_function("f", out="r"), resources=("r",))
        await world.sleep(1)
        assert edge.told == []
        await whole.register()
        await world.settled()
        assert sorted(whole.names()) == ["f", "r"]

    play(story)


def test_without_a_portal_the_refusal_says_what_each_domain_lacks(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        _, hub, _ = await domains(world)
        hub.offer(num_nodes=2, resource_classes=("portal",), labels=JOINED[:1])
        await hub.register()
        error = await world.refused(world.client.start(StartWorkflow(chain(make_function))))
        assert error.summary == "Workflow creation failed"
        assert error.detail == (
            "0 of 3 domains feasible; edge: no resource class 'test-res' for 'r'; "
            "hub: no run-time 'RUST_WASM' for 'f'; lab: no run-time 'RUST_WASM' for 'f'"
        )

    play(story)


def test_what_no_joined_domain_can_host_is_named(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        await domains(world)
        request = SpawnWorkflowRequest((make_function("f"),), (WorkflowResource("x", "gold"),))
        error = await world.refused(world.client.start(StartWorkflow(request)))
        assert (error.detail or "").endswith("; portal hub: no domain of edge, lab for 'x'")

    play(story)


def test_when_one_domain_refuses_nothing_is_left_in_the_others(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge, hub, lab = await domains(world)
        lab.refusals["r"] = RejectedError("no room")
        error = await world.refused(world.client.start(StartWorkflow(chain(make_function))))
        assert error.summary == "Request rejected"
        assert error.detail == "could not start workflow: lab: 'r': no room"
        await world.sleep(6)
        assert (edge.running, hub.running, lab.running) == ({}, {}, {})
        assert await world.client.list_workflows() == ()

    play(story)


def test_another_joined_domain_is_tried_after_a_refusal(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        await domains(world)
        spare = world.orchestrator("spare")
        spare.offer(**FUNCTIONS)
        spare.refusals["f"] = RejectedError("no room")
        await spare.join()
        hub = world.orchestrator("hub2")
        labels = ("portal-domain=edge", "portal-domain=lab", "portal-domain=spare")
        hub.offer(num_nodes=3, resource_classes=("portal",), labels=labels)
        await hub.join()
        for _ in range(8):
            status = await world.client.start(StartWorkflow(chain(make_function)))
            assert status.mapping[0].domain_id == "edge"
        await world.sleep(6)
        assert spare.running == {}

    play(story)


def test_losing_one_domain_stops_the_rest_and_its_return_brings_all_back(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge, hub, lab = await domains(world)
        status = await world.client.start(StartWorkflow(chain(make_function)))
        old = set(edge.running) | set(hub.running)
        for _ in range(2):
            lab.crash()
            await world.sleep(8)
            (listed,) = await world.client.list_workflows()
            assert (listed.mapping, listed.reason[:24]) == ((), "Workflow creation failed")
            info = await world.client.inspect(status.workflow_id)
            assert info.request == chain(make_function)
            assert (edge.running, hub.running) == ({}, {})
            lab.nonce += 1
            lab.running.clear()
            lab.epoch = 0
            await lab.join()
            await world.sleep(6)
            assert (kinds(edge), kinds(lab)) == (["f", *LOCAL], ["r", *LOCAL])
            assert kinds(hub) == CROSSING
            assert not old & (set(edge.running) | set(hub.running))
        (listed,) = await world.client.list_workflows()
        assert listed.workflow_id == status.workflow_id

    play(story)


def test_the_restart_of_the_portal_domain_deploys_everything_anew(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        edge, hub, _ = await domains(world)
        await world.client.start(StartWorkflow(chain(make_function)))
        before = {request.configuration["id"] for request in hub.running.values()}
        hub.nonce += 1
        hub.epoch = 0
        await hub.register()
        await world.sleep(6)
        assert kinds(hub) == CROSSING
        assert kinds(edge) == ["f", *LOCAL]
        assert not before & {request.configuration["id"] for request in hub.running.values()}

    play(story)


def test_the_numbers_of_portals_differ_after_a_restart_of_the_controller(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        _, hub, _ = await domains(world)
        await world.client.start(StartWorkflow(chain(make_function)))
        before = {request.configuration["id"] for request in hub.running.values()}
        await world.restart_controller()
        await world.sleep(6)
        assert kinds(hub) == CROSSING
        assert not before & {request.configuration["id"] for request in hub.running.values()}

    play(story)


def test_a_component_moves_to_another_domain_and_back(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        both = {**FUNCTIONS, "resource_classes": ("portal", "test-res")}
        edge, hub, lab = await domains(world, both)
        edge.offer(**both)
        await edge.register()
        status = await world.client.start(StartWorkflow(chain(make_function)))
        here = status.mapping[0].domain_id
        there = "lab" if here == "edge" else "edge"
        moved = await world.client.migrate(
            MigrateWorkflow(status.workflow_id, DomainId(there), "r")
        )
        assert [m.domain_id for m in moved.mapping[:2]] == [here, there]
        assert len(moved.mapping) == 2 + 2 * 4
        await world.sleep(6)
        assert kinds(hub) == CROSSING
        assert sorted((*kinds(edge), *kinds(lab))) == sorted(("f", "r", *LOCAL, *LOCAL))
        back = await world.client.migrate(MigrateWorkflow(status.workflow_id, DomainId(here), "r"))
        assert [m.domain_id for m in back.mapping] == [here, here]
        await world.sleep(6)
        assert (hub.running, len(edge.running) + len(lab.running)) == ({}, 2)
        again = {"lab": lab, "edge": edge}[here]
        assert kinds(again) == ["f", "r"]

    play(story)


def test_a_component_cannot_move_where_it_does_not_fit(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        edge, _, _ = await domains(world)
        status = await world.client.start(StartWorkflow(chain(make_function)))
        wid = status.workflow_id
        portal = status.mapping[-1].name
        for domain, component, summary in (
            ("edge", "f", "Ignoring request to migrate component to the same domain"),
            ("lab", "f", "Migration request cannot be satified"),
            ("hub", "r", "Migration request cannot be satified"),
            ("edge", portal, "Invalid component name specified in migration request"),
        ):
            request = MigrateWorkflow(wid, DomainId(domain), component)
            assert (await world.refused(world.client.migrate(request))).summary == summary
        edge.crash()
        await world.sleep(8)
        request = MigrateWorkflow(wid, DomainId("lab"), "f")
        error = await world.refused(world.client.migrate(request))
        assert error.summary == "Cannot migrate a single component of an orphan workflow"
        assert not isinstance(error, UnknownComponentError)

    play(story)


def test_a_move_that_fails_leaves_the_division_as_it_was(play: Any, make_function: Any) -> None:
    async def story(world: Any) -> None:
        both = {**FUNCTIONS, "resource_classes": ("portal", "test-res")}
        edge, _, lab = await domains(world, both)
        status = await world.client.start(StartWorkflow(chain(make_function)))
        assert {m.domain_id for m in status.mapping} == {"lab"}
        edge.refusals["f"] = RejectedError("no room")
        request = MigrateWorkflow(status.workflow_id, DomainId("edge"), "f")
        error = await world.refused(world.client.migrate(request))
        assert error.summary == "Error when migrating the workflow"
        assert error.detail == f"{status.workflow_id}: edge: 'f': no room"
        await world.sleep(6)
        assert (kinds(lab), edge.running) == (["f", "r"], {})

    play(story)


def test_domains_of_edgeless_itself_are_patched_with_their_own_ids(
    play: Any, make_function: Any
) -> None:
    async def story(world: Any) -> None:
        orchestrators = [world.orchestrator(name) for name in ("edge", "hub", "lab")]
        for each, offer in zip(
            orchestrators,
            (
                FUNCTIONS,
                {"num_nodes": 2, "resource_classes": ("portal",), "labels": JOINED},
                RESOURCES,
            ),
            strict=True,
        ):
            each.foreign = True
            each.offer(**offer)
            each.listen()
            await each.register()
        await world.sleep(1.5)
        status = await world.client.start(StartWorkflow(chain(make_function)))
        lids = {m.name: m.logical_id for m in status.mapping}
        for each in orchestrators:
            patches = [p for method, p in each.told if method.startswith("patch")]
            assert len(patches) == 2, each.domain
            for patch in patches:
                assert patch.function_id.function_id in each.running
                for target in patch.output_mapping.values():
                    assert target.instance.function_id in each.running
        assert set(lids.values()) == {lid for each in orchestrators for lid in each.running}

    play(story)
