"""Nodes join, restart, go and lie (cases C015, D13, D14, U05, U06, U23, U32, F03, F04)."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId
from edgeless_sim.orchestrator.membership import OLDER_INVENTORIES

NIL = NodeId(UUID(int=0))


def states(world: Any) -> list[str]:
    return [record[1] for record in world.said("state")]


def test_a_node_is_told_to_refresh_twice_in_each_keep_alive(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        assert node.last_answer().refresh_interval_s == 1.5

    play(story, keep_alive_s=3.0)


def test_a_silent_node_is_gone_after_two_keep_alives_and_a_tick(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.crash()
        await world.clock.sleep(3)
        assert len(world.orchestrator.snapshot().nodes) == 1
        await world.clock.sleep(2.1)
        assert world.orchestrator.snapshot().nodes == ()
        assert states(world)[-1] == "lost"

    play(story)


def test_a_node_that_says_farewell_is_gone_at_the_next_tick(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.alive = False
        node.send_refresh(ttl_s=0.0)
        await world.clock.sleep(1.1)
        assert world.orchestrator.snapshot().nodes == ()

    play(story)


def test_deadlines_count_from_arrival_whatever_the_network_did(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.clock.sleep(30)
        assert states(world).count("joined") == 1
        assert len(node.answers) >= 30

    play(story)


def test_a_restarted_node_is_taken_once_and_does_not_flap(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        node.restart()
        await world.clock.sleep(20)
        await world.settled()
        assert states(world).count("restarted") == 1
        assert states(world).count("joined") == 2
        assert len(node.told("start_function")) == 2
        assert node.told("reset") == []
        assert world.component(1).instance in node.instances

    play(story)


def test_a_late_refresh_of_the_process_before_is_refused(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.restart()
        await world.settled()
        node.send_refresh(nonce=7)
        await world.settled()
        with pytest.raises(RejectedError, match="stale registration"):
            node.last_answer()
        assert states(world).count("restarted") == 1

    play(story)


def test_a_late_refresh_of_the_process_before_the_one_before_is_refused(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        for _ in range(3):
            node.restart()
            await world.settled()
        node.send_refresh(nonce=7)
        await world.settled()
        with pytest.raises(RejectedError, match="stale registration"):
            node.last_answer()
        assert states(world).count("restarted") == 3

    play(story)


def test_a_late_refresh_from_before_a_node_was_lost_does_not_push_out_its_present_life(
    play: Any,
) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.crash()
        await world.clock.sleep(20)
        node.restart()
        await world.settled()
        node.send_refresh(nonce=7)
        await world.settled()
        with pytest.raises(RejectedError, match="stale registration"):
            node.last_answer()
        assert states(world).count("restarted") == 0

    play(story)


def test_a_node_that_was_lost_and_was_only_silent_is_taken_again(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.crash()
        await world.clock.sleep(20)
        node.send_refresh(nonce=7)
        await world.settled()
        node.last_answer()
        assert states(world).count("joined") == 2

    play(story)


def test_a_node_that_was_set_back_to_a_snapshot_gets_its_instances_again(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        snapshot = dict(node.instances), node.revision
        await world.function(2)
        await world.function(3)
        await world.settled()
        assert len(node.instances) == 3

        node.instances, node.revision = snapshot
        await world.clock.sleep(OLDER_INVENTORIES + 2)
        assert states(world).count("restarted") == 1
        await world.clock.sleep(2)
        assert len(node.instances) == 3
        placed = world.orchestrator.snapshot().components
        assert {component.instance for component in placed} == set(node.instances)
        await world.clock.sleep(20)
        assert states(world).count("restarted") == 1

    play(story)


def test_some_late_inventories_are_no_restart(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        await world.settled()
        for _ in range(OLDER_INVENTORIES - 1):
            node.send_refresh(revision=0, inventory=())
            await world.clock.sleep(0.01)
        await world.clock.sleep(5)
        assert "restarted" not in states(world)
        assert len(node.instances) == 1

    play(story)


def test_a_second_living_node_of_the_same_id_is_refused(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.send_refresh(nonce=99, agent_url="memory://node/edge/9")
        await world.settled()
        with pytest.raises(RejectedError, match="duplicate node id"):
            node.last_answer()
        await world.clock.sleep(10)
        assert states(world).count("joined") == 1
        assert "restarted" not in states(world)

    play(story)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agent_url": "nonsense"}, "invalid node configuration"),
        ({"agent_url": "http://"}, "invalid node configuration"),
        ({"agent_url": "http://:7021"}, "invalid node configuration"),
        ({"invocation_url": "file:///etc/passwd"}, "invalid node configuration"),
        ({"agent_url": "http://" + "h" * 10_000}, "invalid node configuration"),
        ({"agent_url": "memory://orc/edge"}, "invalid node configuration"),
        ({"ttl_s": float("inf")}, "invalid node configuration"),
        ({"ttl_s": -1.0}, "invalid node configuration"),
        ({"node_id": NIL}, "invalid node configuration"),
        ({"name": "a\nb"}, "invalid node configuration"),
    ],
)
def test_an_impossible_registration_is_refused(play: Any, changes: Any, message: str) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.alive = False
        await world.clock.sleep(8)
        node.send_refresh(**changes)
        await world.settled()
        with pytest.raises(RejectedError, match=message):
            node.last_answer()
        assert world.orchestrator.snapshot().nodes == ()

    play(story)


@pytest.mark.parametrize(
    "capabilities",
    [{"clock_freq_cpu": float("inf")}, {"num_cpus": 1 << 31}, {"runtimes": ("",)}],
)
def test_impossible_capabilities_are_refused(play: Any, capabilities: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        changed = msgspec.structs.replace(node.capabilities, **capabilities)
        node.send_refresh(capabilities=changed)
        await world.settled()
        with pytest.raises(RejectedError, match="invalid node capabilities"):
            node.last_answer()
        assert world.orchestrator.snapshot().nodes[0].capabilities == node.capabilities

    play(story)


def test_changed_capabilities_are_taken_without_a_restart(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.refused(world.function(1, annotations={"label_match_all": "red"}))
        node.capabilities = msgspec.structs.replace(node.capabilities, labels=("red",))
        node.send_refresh()
        await world.settled()
        await world.function(1, annotations={"label_match_all": "red"})
        assert world.controller.updates[-1].capabilities.labels == ("red",)

    play(story)


def test_a_changed_invocation_url_reaches_those_who_send_there(play: Any) -> None:
    async def story(world: Any) -> None:
        source, target = await world.nodes(2)
        await world.function(2, annotations={"node_id_match_any": "edge/1"})
        await world.function(1, {"out": 2}, {"node_id_match_any": "edge/0"})
        target.alive = False
        target.send_refresh(invocation_url="memory://elsewhere")
        await world.settled()
        (outputs,) = source.outputs.values()
        assert outputs["out"].invocation_url == "memory://elsewhere"

    play(story)


def test_an_instance_that_nobody_wants_is_stopped_and_the_node_is_not_reset(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        stray = InstanceId(node.node_id, FunctionId(UUID(int=0xBAD)))
        node.instances[stray] = 1
        await world.clock.sleep(1.1)
        await world.settled()
        assert stray not in node.instances
        assert len(node.instances) == 1
        assert node.told("reset") == []

    play(story)


def test_a_resource_that_nobody_wants_is_stopped_as_one(play: Any) -> None:
    """A start whose answer was lost may have left it (defects U30, U37)."""

    async def story(world: Any) -> None:
        node = await world.node(0)
        stray = InstanceId(node.node_id, FunctionId(UUID(int=0xDEAD)))
        node.instances[stray] = 0
        node.resources[stray] = None
        await world.clock.sleep(3)
        await world.settled()
        assert node.instances == {}

    play(story)


def test_a_function_whose_only_node_is_gone_waits_and_comes_back_with_it(play: Any) -> None:
    async def story(world: Any) -> None:
        stable = await world.node(0, labels=("stable",))
        unstable = await world.node(1, labels=("unstable",))
        await world.function(3, annotations={"label_match_all": "stable"})
        await world.function(2, {"out": 3}, {"label_match_all": "unstable"})
        await world.function(1, {"out": 2}, {"label_match_all": "stable"})
        first = world.component(1).instance
        unstable.crash()
        await world.clock.sleep(8)
        await world.settled()
        assert stable.outputs[first] == {}
        lost = world.component(2)
        assert (lost.state, lost.instance) == ("pending", None)
        assert "edge/0: label unstable missing" in lost.reason
        before = len(stable.calls)
        await world.clock.sleep(30)
        assert len(stable.calls) == before
        unstable.restart()
        await world.settled()
        again = world.component(2)
        assert (again.state, again.node) == ("running", "edge/1")
        assert stable.outputs[first]["out"].instance == again.instance
        starts = unstable.told("start_function")
        assert starts[0].state_specification == starts[1].state_specification
        assert starts[0].instance_id != starts[1].instance_id

    play(story)


def test_a_node_of_edgeless_is_reset_and_told_its_peers_and_they_of_it(play: Any) -> None:
    async def story(world: Any) -> None:
        ours = await world.node(0)
        foreign = await world.node(1, foreign=True)
        assert foreign.calls[0] == ("reset", None)
        told = [(request.kind, request.node_id) for request in foreign.told("update_peers")]
        assert told == [("add", UUID(int=0x1000)), ("add", UUID(int=0x1001))]
        late = await world.node(2)
        late.crash()
        await world.clock.sleep(8)
        told = [(request.kind, request.node_id) for request in foreign.told("update_peers")][2:]
        assert told == [("add", UUID(int=0x1002)), ("del", UUID(int=0x1002))]
        for node in (ours, late):
            assert [(kind, request.node_id) for kind, request in node.calls] == [
                ("update_peers", UUID(int=0x1001))
            ]

    play(story)


def test_a_node_of_edgeless_chooses_ids_and_is_patched_after_the_start(play: Any) -> None:
    async def story(world: Any) -> None:
        foreign = await world.node(1, foreign=True)
        await world.function(2)
        await world.function(1, {"out": 2})
        await world.settled()
        target, source = foreign.instances
        assert foreign.outputs[source]["out"].instance == target
        await world.client.stop_function(InstanceId(NIL, FunctionId(UUID(int=1))))
        await world.settled()
        assert list(foreign.instances) == [target]

    play(story)


def test_a_thousand_nodes_join_with_a_bounded_number_of_messages(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(1000)
        # One message of each node and one answer; the domain is refreshed a few times.
        assert world.network.counters.sent < 2 * 1000 + 40
        assert all(node.calls == [] for node in nodes)
        assert world.controller.updates[-1].capabilities.num_nodes == 1000

    play(story)


def test_a_refresh_that_says_nothing_new_is_answered_with_the_same_bytes(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        before = world.journal.digest()
        await world.clock.sleep(5)
        assert len(node.answers) >= 5
        # Not merely equal: nothing was decoded or encoded for it.
        assert len({id(answer) for answer in node.answers[1:]}) == 1
        assert world.journal.digest() == before

    play(story)
