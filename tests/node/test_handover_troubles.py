"""Migrations beside busy nodes, copies of requests, peers that send what they should not."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.node.test_handover import STATE, Pair

from edgeless_sim.dataplane.marks import mark
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import (
    METADATA_ROOT,
    UNPLACED,
    Event,
    EventType,
    PatchRequest,
    Target,
)
from edgeless_sim.model.function import Predecessor
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.node import gate as gates
from edgeless_sim.node.gate import Gate
from edgeless_sim.node.phase import Phase
from edgeless_sim.node.restart import RESTARTS_MAX
from edgeless_sim.node.state_store import MemoryStateStore
from edgeless_transports import RemoteError

COLLECT = "/edgeless_sim.Handover/Collect"


@pytest.mark.parametrize("copies", [2, 3, 5])
def test_copies_of_a_start_that_is_refused_try_one_after_the_other(play: Any, copies: int) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig)
        await pair.begin()
        agent = pair.new_node.agent
        fault = rig.network.partition(["edge/1"], ["edge/0"])
        request = pair.request()
        starts = (agent.start_function(request) for _ in range(copies))
        replies = await asyncio.gather(*starts, return_exceptions=True)
        assert all(isinstance(reply, RejectedError) for reply in replies), replies
        assert (len(agent.handovers), len(agent.functions)) == (0, 0)
        fault.heal()
        assert (await agent.start_function(request)).instance_id == request.instance_id
        await rig.after(0.1)
        assert pair.out.payloads == ["begins with None", "stops", "begins with None"]

    play(story)


def test_an_old_node_that_has_too_much_to_do_for_a_while_is_asked_again(play: Any) -> None:
    async def story(rig: Any) -> None:
        async def busy(_: bytes) -> bytes:
            raise RemoteError("overloaded", "too much is being served")

        pair = Pair(rig, kind="Relay")
        await pair.begin()
        await pair.move()
        await rig.after(0.5)
        routes = pair.old_node._dispatcher._routes
        serving, routes[COLLECT] = routes[COLLECT], (busy, True)
        await rig.after(1.5)
        routes[COLLECT] = serving
        pair.out.cast(pair.old, "late")
        await rig.after(3)
        assert pair.out.payloads == ["late"]
        assert rig.told("drop") == []

    play(story)


def test_a_function_that_has_failed_for_good_does_not_begin_anew_since_nobody_takes_it(
    play: Any,
) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig, kind="Fragile")
        await pair.begin()
        for _ in range(RESTARTS_MAX + 1):
            pair.out.cast(pair.old, "fail")
            await rig.after(64)
        hosted = pair.old_node.agent.functions[pair.old]
        assert hosted.phase is Phase.FAILED
        fault = rig.network.one_way(["edge/0"], ["edge/1"])
        await pair.refused()
        fault.heal()
        await rig.after(5)
        assert hosted.phase is Phase.FAILED
        pair.out.cast(pair.old, "anything")
        await rig.after(1)
        assert rig.told("drop")[-1][-1] == "the function has failed"

    play(story)


class Gated:
    """A gate in front of an inbox that remembers."""

    def __init__(self, rig: Any) -> None:
        self.plane = rig.peer().plane
        self.key = bytes(self.plane.node_bytes) + b"k" * 16
        self.got: list[Event] = []
        self.gate = Gate(self.plane, self.key, self)
        self.gate.mark(mark(b"s" * 32, self.key, self.key))

    def deliver(self, event: Event) -> None:
        self.got.append(event)

    def send(self, payload: str, serial: int) -> None:
        kind = int(EventType.CAST)
        event = Event(kind, self.key, b"s" * 32, 0, payload, 0, METADATA_ROOT, serial)
        self.gate.deliver(event)


def test_a_gate_holds_as_many_bytes_as_an_instance(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "QUEUE_BYTES_MAX", 100)

    async def story(rig: Any) -> None:
        gated = Gated(rig)
        for serial in range(1, 5):
            gated.send("x" * 40, serial)
        gated.gate.open()
        assert [event.serial for event in gated.got] == [1, 2]
        again = Gated(rig)
        again.send("x" * 90, 1)
        assert len(again.got) == 0
        again.gate.open()
        assert len(again.got) == 1

    play(story)


def test_a_gate_holds_a_bounded_number_of_marks(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "HELD_EVENTS_MAX", 3)

    async def story(rig: Any) -> None:
        gated = Gated(rig)
        gated.send("first", 1)
        for _ in range(10):
            gated.gate.mark(mark(b"s" * 32, gated.key, b"e" * 32))
        assert gated.gate._held_total == 3

    play(story)


def test_a_backlog_goes_along_over_a_link_that_takes_seconds_for_it(play: Any) -> None:
    async def story(rig: Any) -> None:
        pair = Pair(rig, kind="Patient")
        await pair.begin()
        for _ in range(60):
            pair.out.cast(pair.old, "x" * 20_000)
        await rig.after(0.1)
        # 1.2 MB at 2.5 MB/s; a collection has half a second at first.
        rig.network.bandwidth(2_500_000, ["edge/0"], ["edge/1"])
        await pair.move()
        await rig.after(200)
        assert rig.told("drop") == []
        assert len(pair.out.payloads) == 60

    play(story)


def test_a_sender_that_is_patched_twice_without_a_word_between_keeps_its_order(play: Any) -> None:
    async def story(rig: Any) -> None:
        stores = [MemoryStateStore() for _ in range(3)]
        first, second, third = (rig.node(states=each) for each in stores)
        sending, peer = rig.node(), rig.peer()

        async def move(old: InstanceId, of: Any, to: Any) -> InstanceId:
            request = rig.request(to, "Ledger", {"out": peer})
            predecessor = Predecessor(old, of.settings.url)
            request = msgspec.structs.replace(request, takes_over=predecessor)
            moved: InstanceId = (await to.agent.start_function(request)).instance_id
            return moved

        async def patch(target: InstanceId, generation: int) -> None:
            mapping = rig.mapping({"out": target})
            await sending.agent.patch_function(PatchRequest(sender, mapping, generation))

        one = await rig.start(first, "Ledger", {"out": peer})
        sender = await rig.start(sending, "Relay", {"out": one})
        two = await move(one, first, second)
        rig.network.delay(500_000_000, 0, ["edge/3"], ["edge/0"])
        peer.cast(sender, "1")
        peer.cast(sender, "2")
        await rig.after(0.05)
        await patch(two, 1)
        await rig.after(0.05)
        three = await move(two, second, third)
        await patch(three, 2)
        peer.cast(sender, "3")
        peer.cast(sender, "4")
        await rig.after(3)
        assert stores[2].load(STATE) == "1,2,3,4"
        assert rig.told("drop") == []

    play(story)


def test_what_waits_for_a_place_has_a_fate_if_its_sender_has_left_and_the_node_dies(
    play: Any,
) -> None:
    async def story(rig: Any) -> None:
        old, new, peer = rig.node(), rig.node(), rig.peer()
        leaving = await rig.start(old, "Relay", {"out": Target(UNPLACED, "")})
        peer.cast(leaving, "x")
        await rig.after(0.1)
        request = rig.request(new, "Relay", {"out": peer})
        predecessor = Predecessor(leaving, old.settings.url)
        await new.agent.start_function(msgspec.structs.replace(request, takes_over=predecessor))
        await rig.after(0.1)
        rig.crash(old)
        await rig.after(5)
        rig.journal.flush()
        assert rig.checker.unexplained() == []

    play(story)
