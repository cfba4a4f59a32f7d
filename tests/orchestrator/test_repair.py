"""What goes wrong on the way is noticed and repaired (U36, U37, reliability 3, I01, I13, I16)."""

from typing import Any
from uuid import UUID

from edgeless_sim.api.messages import InstanceInventory, InstanceState
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import FunctionId, InstanceId, LogicalId, NodeId

LID = LogicalId(UUID(int=1))
ID = InstanceId(NodeId(UUID(int=0)), FunctionId(UUID(int=1)))


def test_a_lost_reply_to_a_start_makes_no_second_instance(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2)
        lost = world.lose_next("FunctionInstance/Start", "reply")
        await world.function(1)
        await world.settled()
        assert len(lost) == 1
        assert sum(len(node.told("start_function")) for node in nodes) == 1
        assert sum(len(node.instances) for node in nodes) == 1
        assert world.component(1).state == "running"

    play(story)


def test_a_lost_start_is_made_good_on_another_node(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2)
        lost = world.lose_next("FunctionInstance/Start", "request")
        began_ns = world.clock.now_ns()
        await world.function(1)
        assert world.clock.now_ns() - began_ns == 5_000_000_000
        await world.settled()
        assert len(lost) == 1
        assert sorted(len(node.told("start_function")) for node in nodes) == [0, 1]
        assert sum(len(node.instances) for node in nodes) == 1

    play(story)


def test_a_lost_patch_is_sent_again(play: Any) -> None:
    for kind in ("request", "reply"):

        async def story(world: Any, kind: str = kind) -> None:
            node, _ = await world.nodes(2)
            await world.function(1, {"out": 2}, {"node_id_match_any": "edge/0"})
            # Let the node say all that it has to say: no refresh will help.
            await world.clock.sleep(3)
            lost = world.lose_next("FunctionInstance/Patch", kind)
            await world.function(2, annotations={"node_id_match_any": "edge/1"})
            await world.settled()
            assert len(lost) == 1
            source = world.component(1).instance
            assert node.outputs[source]["out"].instance == world.component(2).instance

        play(story)


def test_a_lost_stop_is_sent_again(play: Any) -> None:
    for kind in ("request", "reply"):

        async def story(world: Any, kind: str = kind) -> None:
            node = await world.node(0)
            await world.function(1)
            lost = world.lose_next("FunctionInstance/Stop", kind)
            await world.client.stop_function(ID)
            await world.settled()
            assert len(lost) == 1
            assert node.instances == {}

        play(story)


def test_a_patch_that_the_node_forgot_is_sent_again(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1, {"out": 2})
        await world.function(2)
        await world.settled()
        pid = world.component(1).instance
        node.instances[pid] = 1
        node.outputs[pid] = {}
        node.revision += 1
        await world.clock.sleep(1.1)
        await world.settled()
        assert node.outputs[pid]["out"].instance == world.component(2).instance

    play(story)


def test_an_instance_that_vanished_is_started_anew(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        before = world.component(1).instance
        node.instances.clear()
        await world.clock.sleep(1.1)
        await world.settled()
        assert world.component(1).instance != before
        assert list(node.instances) == [world.component(1).instance]

    play(story)


def test_an_inventory_older_than_a_start_does_not_take_the_instance_away(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        before = world.component(1).instance
        node.send_refresh(inventory=(), revision=0, ttl_s=3.9)
        await world.settled()
        assert world.component(1).instance == before
        assert len(node.told("start_function")) == 1

    play(story)


def test_an_inventory_older_than_the_last_one_says_nothing(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        await world.clock.sleep(1.1)
        pid = world.component(1).instance
        old = InstanceInventory(pid, 1, InstanceState.FAILED, "long ago")
        node.send_refresh(inventory=(old,), revision=0)
        await world.settled()
        assert world.component(1).state == "running"

    play(story)


def test_an_inventory_older_than_a_stop_does_not_cause_another(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        await world.clock.sleep(1.1)
        request = node.request()
        await world.client.stop_function(ID)
        await world.settled()
        node.send_refresh(inventory=request.inventory, revision=request.revision, ttl_s=3.9)
        await world.settled()
        assert len(node.told("stop_function")) == 1
        assert node.told("stop_resource") == []

    play(story)


def test_a_failed_instance_is_visible_and_stays_where_it_is(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        pid = world.component(1).instance
        for state in (InstanceState.BACKOFF, InstanceState.FAILED):
            node.states[pid] = (state, "trap: unreachable")
            await world.clock.sleep(3)
            await world.settled()
            found = world.component(1)
            assert (found.state, found.reason) == ("degraded", f"{state}: trap: unreachable")
            assert found.instance == pid
            (item,) = world.controller.updates[-1].components
            assert (item.state, item.reason) == (found.state, found.reason)
        node.states.clear()
        await world.clock.sleep(3)
        assert world.component(1).state == "running"

    play(story)


def test_a_dead_node_is_replaced_within_the_promised_time(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = {node.name: node for node in await world.nodes(3)}
        await world.function(1, {"out": 2})
        await world.function(2, {"out": 1})
        await world.settled()
        host = world.component(2).node
        nodes[host].crash()
        crashed_ns = world.clock.now_ns()
        while world.component(2).node == host or world.component(2).state != "running":
            await world.clock.sleep(0.1)
        # 2 k + one tick, and k/2 for the refresh that was due.
        assert world.clock.now_ns() - crashed_ns < 5.2e9
        await world.settled()
        alive = [node for node in nodes.values() if node.alive]
        assert sum(len(node.instances) for node in alive) == 2
        source = world.component(1)
        wired = nodes[source.node].outputs[source.instance]["out"].instance
        assert wired == world.component(2).instance

    play(story)


def test_a_hung_node_stops_nobody(play: Any) -> None:
    async def story(world: Any) -> None:
        hung, healthy = await world.nodes(2)
        hung.hangs = True
        pinned = {"node_id_match_any": "edge/0"}
        stuck = [
            world.supervisor.spawn(_ignore(world, world.function(n, annotations=pinned)), f"s{n}")
            for n in range(50, 53)
        ]
        assert len(stuck) == 3
        began_ns = world.clock.now_ns()
        for number in range(1, 20):
            await world.function(number, annotations={"node_id_match_any": "edge/1"})
        assert world.clock.now_ns() == began_ns
        assert len(healthy.instances) == 19
        await world.clock.sleep(6)
        # What was queued behind the first start did not wait for a deadline each.
        assert all(world.component(number) is None for number in range(50, 53))
        assert len(hung.told("start_function")) == 1

    play(story)


async def _ignore(world: Any, request: Any) -> None:
    await world.refused(request)


def test_a_function_whose_node_hangs_goes_to_another_and_leaves_nothing(play: Any) -> None:
    async def story(world: Any) -> None:
        hung = await world.node(0)
        hung.hangs = True
        other = await world.node(1, cpus=0)
        other.capabilities = hung.capabilities
        other.send_refresh()
        await world.settled()
        for number in range(1, 9):
            await world.function(number)
        assert len(other.instances) == 8
        hung.hangs = False
        await world.clock.sleep(40)
        await world.settled()
        assert hung.instances == {}
        # The node may have started it after all: it is told to stop it, and knows which kind it is.
        started = hung.told("start_function")[0].instance_id
        assert started in hung.told("stop_function")
        assert hung.told("stop_resource") == []

    play(story)


def test_a_node_that_was_cut_off_is_cleaned_when_it_returns(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = {node.name: node for node in await world.nodes(2)}
        await world.function(1)
        lonely = nodes[world.component(1).node]
        lonely.alive = False
        lost_pid = world.component(1).instance
        await world.clock.sleep(8)
        await world.settled()
        assert lost_pid in lonely.instances
        lonely.alive = True
        lonely._refresh_soon()
        await world.clock.sleep(1)
        await world.settled()
        assert lonely.instances == {}
        assert sum(len(node.instances) for node in nodes.values()) == 1

    play(story)


def test_a_component_that_every_node_refuses_now_waits_and_is_tried_again(play: Any) -> None:
    async def story(world: Any) -> None:
        first, second = await world.nodes(2)
        await world.function(1)
        host, other = (first, second) if first.instances else (second, first)
        other.refusal = RejectedError("full", "no memory")
        host.crash()
        await world.clock.sleep(30)
        found = world.component(1)
        assert (found.state, found.reason) == ("pending", "full [detail: no memory]")
        attempts = len(other.told("start_function"))
        assert 2 <= attempts <= 6
        other.refusal = None
        await world.clock.sleep(31)
        assert world.component(1).state == "running"

    play(story)


def test_a_stop_overtakes_a_start_that_hangs(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.hangs = True
        world.supervisor.spawn(_ignore(world, world.function(1)), "start")
        await world.clock.sleep(0.1)
        await world.client.stop_function(ID)
        node.hangs = False
        await world.clock.sleep(20)
        await world.settled()
        assert node.instances == {}
        assert world.component(1) is None

    play(story)


def test_the_same_seed_gives_the_same_journal(play: Any) -> None:
    digests = []
    for _ in range(2):

        async def story(world: Any) -> None:
            nodes = await world.nodes(4)
            for number in range(1, 30):
                await world.function(number, {"out": number - 1})
            nodes[1].crash()
            await world.clock.sleep(10)
            await world.settled()
            digests.append(world.journal.digest())

        play(story)
    assert digests[0] == digests[1]
