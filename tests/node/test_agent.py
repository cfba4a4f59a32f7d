"""What a node answers to its ε-ORC (D21, D22, D24, D25, F44, I38, U20, U37)."""

from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.api.messages import UpdatePeersRequest, UpdatePeersType
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import NO_REPLY, CallReturn, PatchRequest, Target
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.node import agent as agent_module

WORKFLOW = WorkflowId(UUID(int=1))
STRANGER = InstanceId(NodeId(UUID(int=0xA0)), FunctionId(UUID(int=1)))


def test_a_repeated_start_makes_one_instance(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        request = rig.request(node, "Relay", {"out": peer})
        first = await node.agent.start_function(request)
        second = await node.agent.start_function(request)
        assert first.instance_id == second.instance_id == request.instance_id
        assert second.revision > first.revision
        await rig.after(1)
        assert len(node.agent.inventory()) == 1
        assert [record[2] for record in rig.told("begin")] == [0]

    play(story)


def test_a_start_that_arrives_after_the_stop_of_the_same_instance_is_refused(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        request = rig.request(node, "Relay", {"out": peer})
        await node.agent.start_function(request)
        await node.agent.stop_function(request.instance_id)
        await rig.after(1)
        with pytest.raises(RejectedError, match="was stopped before"):
            await node.agent.start_function(request)
        assert node.agent.inventory() == ()

    play(story)


def test_a_stop_that_overtakes_its_start_wins(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        request = rig.request(node, "Relay", {"out": peer})
        await node.agent.stop_function(request.instance_id)
        with pytest.raises(RejectedError, match="was stopped before"):
            await node.agent.start_function(request)

    play(story)


def test_a_start_without_an_id_is_given_one_of_this_node(play: Any) -> None:
    async def story(rig: Any) -> None:
        node = rig.node()
        request = rig.request(node, "Relay", {})
        unnamed = type(request)(
            request.code, {}, request.state_specification, request.workflow_id, output_mapping={}
        )
        replies = [await node.agent.start_function(unnamed) for _ in range(2)]
        pids = [reply.instance_id for reply in replies]
        assert len(set(pids)) == 2
        assert {pid.node_id for pid in pids} == {node.settings.node_id}

    play(story)


def test_an_id_of_another_node_is_refused(play: Any) -> None:
    async def story(rig: Any) -> None:
        node = rig.node()
        foreign = InstanceId(NodeId(UUID(int=9)), FunctionId(UUID(int=1)))
        with pytest.raises(RejectedError, match="wrong node"):
            await rig.start(node, "Relay", instance=foreign)

    play(story)


def test_an_unknown_run_time_is_refused_by_name(play: Any) -> None:
    async def story(rig: Any) -> None:
        node = rig.node(runtimes=("MODELLED",))
        with pytest.raises(RejectedError) as caught:
            await rig.start(node, "Relay")
        assert caught.value.summary == "Error when creating a function instance"
        assert caught.value.detail == "Could not find runner for PYTHON"

    play(story)


def test_an_unknown_resource_class_is_refused_by_name(play: Any) -> None:
    async def story(rig: Any) -> None:
        node = rig.node()
        request = ResourceInstanceSpecification("no-such-class", {}, WORKFLOW)
        with pytest.raises(RejectedError) as caught:
            await node.agent.start_resource(request)
        assert caught.value.summary == "Error when creating a resource"
        assert caught.value.detail == "Provider for class_type does not exist: no-such-class"

    play(story)


def test_stop_and_patch_of_an_unknown_function_succeed(play: Any) -> None:
    async def story(rig: Any) -> None:
        node = rig.node()
        await node.agent.stop_function(STRANGER)
        await node.agent.patch_function(PatchRequest(STRANGER, {}, 1))
        assert node.agent.revision == 2

    play(story)


def test_a_patch_of_an_unknown_resource_is_refused_and_a_stop_succeeds(play: Any) -> None:
    async def story(rig: Any) -> None:
        node = rig.node()
        with pytest.raises(RejectedError, match="Cannot patch a resource, not found with fid"):
            await node.agent.patch_resource(PatchRequest(STRANGER, {}, 1))
        await node.agent.stop_resource(STRANGER)

    play(story)


def test_a_patch_replaces_all_outputs(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, old, new = rig.node(), rig.peer(), rig.peer()
        pid = await rig.start(node, "Messaging", {"test": old, "spare": old})
        await node.agent.patch_function(PatchRequest(pid, rig.mapping({"test": new}), 1))
        hosted = node.agent.functions[pid]
        assert hosted.handle.channels == ("test",)
        old.cast(pid, "test_cast_output")
        await rig.after(1)
        assert (old.payloads, new.payloads) == ([], ["cast_output"])
        await node.agent.patch_function(PatchRequest(pid, {}, 2))
        old.cast(pid, "test_cast_output")
        await rig.after(1)
        assert node.plane.counters["cast to an unmapped channel"] == 1

    play(story)


def test_a_patch_that_comes_late_is_ignored(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, old, new = rig.node(), rig.peer(), rig.peer()
        pid = await rig.start(node, "Messaging")
        await node.agent.patch_function(PatchRequest(pid, rig.mapping({"test": new}), 2))
        await node.agent.patch_function(PatchRequest(pid, rig.mapping({"test": old}), 1))
        old.cast(pid, "test_cast_output")
        await rig.after(1)
        assert (old.payloads, new.payloads) == ([], ["cast_output"])
        assert node.agent.inventory()[0].generation == 2
        assert [record[1] for record in rig.told("patch")] == [2]

    play(story)


def test_a_modelled_function_learns_its_channels_from_patches(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, first, second = rig.node(), rig.peer(), rig.peer()
        pid = await rig.start(node, "c(1)", {"a": first})
        first.cast(pid, "1")
        await rig.after(1)
        mapping = rig.mapping({"b": second, "a": first})
        await node.agent.patch_function(PatchRequest(pid, mapping, 1))
        first.cast(pid, "2")
        await rig.after(1)
        assert (first.payloads, second.payloads) == (["1", "2"], ["2"])

    play(story)


def test_self_leads_home_whatever_a_patch_says(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Timers", {"out": peer})
        mapping = rig.mapping({"self": peer, "out": peer})
        await node.agent.patch_function(PatchRequest(pid, mapping, 1))
        peer.cast(pid, "2")
        await rig.after(2)
        assert peer.payloads == ["due", "due"]
        assert {event.source for event in peer.received} == {pid.key}
        assert node.agent.functions[pid].handle.channels == ("out",)

    play(story)


def test_a_reset_stops_everything_and_keeps_the_peers(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        await rig.start(node, "Asker", {"log": peer})
        await rig.start(node, "c(1)")
        await rig.after(1)
        await node.agent.reset()
        assert node.agent.inventory() == ()
        await rig.after(1)
        assert peer.payloads == ["stopped"]
        assert node.plane.link_to(peer.instance.key) is not None

    play(story)


def test_peers_can_be_added_removed_and_cleared(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        key = peer.instance.key

        async def update(kind: UpdatePeersType, node_id: NodeId | None) -> None:
            await node.agent.update_peers(UpdatePeersRequest(kind, node_id, peer.url))

        await update(UpdatePeersType.ADD, peer.instance.node_id)
        assert node.plane.link_to(key) is not None
        await update(UpdatePeersType.DEL, peer.instance.node_id)
        assert node.plane.link_to(key) is None
        await update(UpdatePeersType.ADD, peer.instance.node_id)
        await update(UpdatePeersType.CLEAR, None)
        assert node.plane.link_to(key) is None
        await update(UpdatePeersType.ADD, node.settings.node_id)
        assert node.plane._peers == {}
        with pytest.raises(RejectedError, match="the node id is missing"):
            await update(UpdatePeersType.ADD, None)

    play(story)


def test_a_node_hosts_a_bounded_number_of_instances(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "INSTANCES_MAX", 3)

    async def story(rig: Any) -> None:
        node = rig.node()
        for _ in range(3):
            await rig.start(node, "c(1)")
        with pytest.raises(RejectedError, match="hosts 3 instances already"):
            await rig.start(node, "c(1)")
        assert len(node.agent.inventory()) == 3

    play(story)


def test_the_inventory_of_what_was_not_patched_yet_fits_the_wire(play: Any) -> None:
    # EDGELESS's own ε-ORC starts first and patches later, if there are outputs at all.
    async def story(rig: Any) -> None:
        node = rig.node()
        await node.agent.start_function(rig.request(node, "Relay", None))
        assert [entry.generation for entry in node.agent.inventory()] == [0]

    play(story)


def test_the_inventory_omits_what_is_stopping_and_keeps_the_order_of_start(play: Any) -> None:
    async def story(rig: Any) -> None:
        node = rig.node()
        pids = [await rig.start(node, kind) for kind in ("Slow", "Relay", "c(1)")]
        await node.agent.stop_function(pids[0])
        assert [entry.instance_id for entry in node.agent.inventory()] == pids[1:]
        assert pids[0] in node.agent.functions

    play(story)


def test_a_node_that_stops_waits_for_its_stop_hooks_and_starts_nothing_more(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        await rig.start(node, "c(300)")
        pid = await rig.start(node, "Asker", {"log": peer})
        await rig.after(1)
        busy = node.agent.inventory()[0].instance_id
        peer.cast(busy, "takes the only core for 300 ms")
        await rig.after(0.01)
        await node.stop()
        assert node.agent.functions == {}
        assert rig.scheduler.now_ns() > 1_300_000_000
        with pytest.raises(RejectedError, match="the node is stopping"):
            await rig.start(node, "c(1)")
        await rig.after(1)
        assert peer.payloads == ["stopped"]
        assert pid not in node.agent.functions

    play(story)


def test_init_may_send_to_targets_that_the_start_request_names(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        await rig.start(node, "Early", {"out": peer, "log": peer})
        await rig.after(1)
        assert peer.payloads == ["early 0", "early call", "REPLY"]
        assert node.plane.counters["cast to an unmapped channel"] == 1

    play(story)


def test_what_init_sends_before_the_first_patch_waits_for_it(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        request = rig.request(node, "Early", None, payload="3")
        pid = (await node.agent.start_function(request)).instance_id
        await rig.after(1)
        assert peer.received == []
        mapping = rig.mapping({"out": peer, "log": peer})
        await node.agent.patch_function(PatchRequest(pid, mapping, 1))
        await rig.after(1)
        assert peer.payloads == ["early 0", "early 1", "early 2", "early call", "REPLY"]
        assert node.plane.counters == {"the channel is not mapped": 1}

    play(story)


def test_a_call_into_nothing_is_answered_with_err_at_once(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, log = rig.node(), rig.peer()
        gone = await rig.start(node, "Relay")
        nowhere = Target(InstanceId(NodeId(UUID(int=5)), FunctionId(UUID(int=5))), "memory://none")
        own = await rig.start(node, "Asker", {"log": log})
        await node.agent.stop_function(gone)
        await rig.after(1)
        targets = {"unmapped": None, "stopped": gone, "itself": own}
        for generation, (name, target) in enumerate(targets.items(), start=1):
            mapping = rig.mapping({"log": log} | ({"out": target} if target else {}))
            await node.agent.patch_function(PatchRequest(own, mapping, generation))
            log.cast(own, name)
            await rig.after(0.1)
        assert log.payloads == ["unmapped: ERR", "stopped: ERR", "itself: ERR"]
        mapping = rig.mapping({"log": log, "out": nowhere})
        await node.agent.patch_function(PatchRequest(own, mapping, 9))
        log.cast(own, "dead")
        await rig.after(29.9)
        assert len(log.received) == 3
        await rig.after(0.2)
        assert log.payloads[3:] == ["dead: ERR"]
        assert len(node.plane.calls) == 0

    play(story)


def test_a_function_calls_another_on_its_node_and_on_the_next(play: Any) -> None:
    async def story(rig: Any) -> None:
        first, second, peer = rig.node(), rig.node(), rig.peer()
        peer.reply = CallReturn.reply("PONG")
        third = await rig.start(second, "wasm:relay", {"out": peer})
        middle = await rig.start(first, "wasm:relay", {"out": third})
        front = await rig.start(first, "Relay", {"out": middle})
        assert await peer.call(front, "PING") == CallReturn.reply("PONG")
        peer.reply = NO_REPLY
        assert await peer.call(middle, "PING") == NO_REPLY
        assert peer.payloads == ["PING", "PING"]

    play(story)
