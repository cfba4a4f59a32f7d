"""How a node registers and refreshes (spec 5.1; reliability 3, times)."""

from typing import Any

import pytest

from edgeless_sim.api.codec import MsgpackCodec, encode_refusal, encode_result
from edgeless_sim.api.messages import UpdateNodeRequest, UpdateNodeResponse
from edgeless_sim.errors import RejectedError
from edgeless_transports import Address, Incoming, MemoryTransport
from edgeless_transports.rules import one_way_partition


class Register:
    """The ε-ORC's side of refreshes, and no more of it."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig
        self.codec = MsgpackCodec()
        self.times_s: list[float] = []
        self.requests: list[UpdateNodeRequest] = []
        self.answer: UpdateNodeResponse | RejectedError = UpdateNodeResponse(1.0)
        MemoryTransport(rig.scheduler, rig.network.memory, "orc/edge").attach(
            Address.parse("memory://orc/edge"), self.serve
        )

    def serve(self, incoming: Incoming) -> bytes:
        self.times_s.append(self.rig.scheduler.now_ns() / 1e9)
        self.requests.append(self.codec.decode(incoming.payload, UpdateNodeRequest))
        if isinstance(self.answer, RejectedError):
            return encode_refusal(self.codec, self.answer)
        return encode_result(self.codec, self.answer)


def test_a_node_registers_at_once_and_refreshes_as_often_as_it_is_told(play: Any) -> None:
    async def story(rig: Any) -> None:
        register, node = Register(rig), rig.node()
        node.start()
        await rig.after(10.5)
        assert register.times_s[0] == 0.001
        gaps = [b - a for a, b in zip(register.times_s, register.times_s[1:], strict=False)]
        assert all(0.94 <= gap <= 1.01 for gap in gaps[1:])
        assert node.subscriber.registered
        assert {request.nonce for request in register.requests} == {1}

    play(story)


def test_a_node_that_is_told_no_interval_keeps_its_own_and_says_how_long_it_lasts(
    play: Any,
) -> None:
    async def story(rig: Any) -> None:
        register, node = Register(rig), rig.node(refresh_interval_s=5.0)
        register.answer = UpdateNodeResponse(None)
        node.start()
        await rig.after(20.5)
        gaps = [b - a for a, b in zip(register.times_s, register.times_s[1:], strict=False)]
        assert len(gaps) == 4
        assert all(4.7 <= gap <= 5.01 for gap in gaps)
        assert {request.ttl_s for request in register.requests} == {11.0}

    play(story)


def test_the_loss_of_one_refresh_delays_no_other(play: Any) -> None:
    async def story(rig: Any) -> None:
        register, node = Register(rig), rig.node()
        node.start()
        await rig.after(5.5)
        rule = one_way_partition("node/edge/0", "orc/edge")
        with rig.network.memory.install(rule, first=True):
            await rig.after(1)
        before = len(register.times_s)
        last_s = register.times_s[-1]
        await rig.after(1.1)
        assert len(register.times_s) > before
        assert register.times_s[before] - last_s < 2.1

    play(story)


def test_a_refresh_tells_of_changes_and_is_sent_soon_after_one(play: Any) -> None:
    async def story(rig: Any) -> None:
        register, node = Register(rig), rig.node()
        register.answer = UpdateNodeResponse(60.0)
        node.start()
        await rig.after(5)
        count = len(register.requests)
        pid = await rig.start(node, "Relay")
        await rig.after(0.2)
        assert len(register.requests) == count + 1
        (entry,) = register.requests[-1].inventory or ()
        assert entry.instance_id == pid
        assert register.requests[-1].revision == 1

    play(story)


def test_a_node_that_is_refused_says_so_and_tries_again(play: Any) -> None:
    async def story(rig: Any) -> None:
        register, node = Register(rig), rig.node()
        register.answer = RejectedError("no", "not you")
        node.start()
        await rig.after(3)
        assert not node.subscriber.registered
        assert "not you" in node.subscriber.refusal
        register.answer = UpdateNodeResponse(1.0)
        await rig.after(3)
        assert node.subscriber.registered
        assert node.subscriber.refusal == ""

    play(story)


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_node_that_is_gone_refreshes_no_more(play: Any, how: str) -> None:
    async def story(rig: Any) -> None:
        register, node = Register(rig), rig.node()
        node.start()
        await rig.after(2)
        count = len(register.requests)
        if how == "stop":
            await node.stop()
        else:
            rig.crash(node)
        await rig.after(10)
        assert len(register.requests) == count

    play(story)


def test_a_node_tells_its_load_and_that_it_is_idle_again(play: Any) -> None:
    async def story(rig: Any) -> None:
        register, node = Register(rig), rig.node(cores=2)
        node.start()
        peer = rig.peer()
        pids = [await rig.start(node, "c(500)") for _ in range(2)]
        await rig.after(5)
        assert register.requests[-1].health_status.load_avg_1 == 0
        for second in range(6):
            for pid in pids:
                peer.cast(pid, str(second))
        await rig.after(2.5)
        assert register.requests[-1].health_status.load_avg_1 == 200
        await rig.after(10)
        assert register.requests[-1].health_status.load_avg_1 == 0

    play(story)
