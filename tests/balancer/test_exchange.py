"""Halves of portals: pairing, forwarding, waiting, and what is refused (spec 6.13, bugs 45, 72)."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.balancer import Exchange, PortalProvider
from edgeless_sim.balancer import exchange as exchanges
from edgeless_sim.balancer.exchange import WAITING_MAX
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel import current_scheduler, run
from edgeless_sim.model.event import (
    NO_REPLY,
    CallReturn,
    Event,
    EventType,
    PatchRequest,
    Target,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.portal import PortalSide
from edgeless_sim.model.resource import ResourceInstanceSpecification

LOCAL, PORTAL = PortalSide.LOCAL, PortalSide.PORTAL
NODES = {LOCAL: NodeId(UUID(int=1)), PORTAL: NodeId(UUID(int=2))}
TARGET = Target(InstanceId(NodeId(UUID(int=3)), FunctionId(UUID(int=4))), "memory://x")
SENDER = InstanceId(NodeId(UUID(int=5)), FunctionId(UUID(int=6)))
METADATA = bytes(range(24))
WAIT_S = 30.0


class Sink:
    """What a half sends with: calls are answered with what they carry."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str, bytes]] = []
        self.refused: list[tuple[str, str]] = []
        self.times_ns: list[int] = []

    def cast(self, channel: str, payload: str) -> None:
        raise AssertionError("it makes no events of its own")

    async def call(self, channel: str, payload: str, *, timeout_s: float) -> CallReturn:
        raise AssertionError("it makes no events of its own")

    def call_nowait(self, channel: str, payload: str, answer: Any, *, timeout_s: float) -> None:
        raise AssertionError("it makes no events of its own")

    def forward(self, channel: str, event: Event, answer: Callable[[CallReturn], None]) -> None:
        assert channel == "out"
        self.sent.append((event.kind, event.payload, event.metadata))
        answer(CallReturn.reply(event.payload) if event.kind == EventType.CALL else NO_REPLY)

    def refuse(self, event: Event, cause: str) -> None:
        self.refused.append((event.payload, cause))
        self.times_ns.append(current_scheduler().now_ns())

    @property
    def payloads(self) -> list[str]:
        return [payload for _, payload, _ in self.sent]


class Balancer:
    """That of the domain edge."""

    def __init__(self) -> None:
        self.exchange = Exchange("edge", current_scheduler(), wait_s=WAIT_S)
        self.providers = {side: PortalProvider(self.exchange, side) for side in PortalSide}
        self.answers: list[CallReturn] = []
        self._made = 0

    async def start(
        self,
        role: str,
        side: PortalSide,
        *,
        number: int | str = 7,
        pid: InstanceId | None = None,
        mapped: bool = False,
        **configuration: str,
    ) -> tuple[InstanceId, Sink]:
        self._made += 1
        pid = pid or InstanceId(NODES[side], FunctionId(UUID(int=self._made)))
        named = {"domain_name": "edge"} if side is PORTAL else {}
        whole = {"role": role, "domain": str(side), "id": str(number)} | named | configuration
        outputs = {"out": TARGET} if mapped else {}
        request = ResourceInstanceSpecification(
            "portal", whole, WorkflowId(UUID(int=9)), "p", pid, outputs
        )
        sink = Sink()
        await self.providers[side].start(pid, request, sink)
        return pid, sink

    async def patch(self, side: PortalSide, pid: InstanceId, *, mapped: bool) -> None:
        outputs = {"out": TARGET} if mapped else {}
        await self.providers[side].patch(PatchRequest(pid, outputs, 1))

    def send(self, pid: InstanceId, payload: str, kind: EventType = EventType.CAST) -> None:
        event = Event(kind, pid.key, SENDER.key, 1, payload, 0, METADATA, 1)
        side = LOCAL if pid.node_id == NODES[LOCAL] else PORTAL
        self.providers[side].handle(event, self.answers.append)


def play(story: Callable[[Balancer], Any]) -> None:
    async def main() -> None:
        await story(Balancer())

    run(main)


@pytest.mark.parametrize(
    ("role", "enters", "leaves"), [("sink", LOCAL, PORTAL), ("SOURCE", PORTAL, LOCAL)]
)
def test_events_pass_in_the_direction_of_the_role(
    role: str, enters: PortalSide, leaves: PortalSide
) -> None:
    async def story(balancer: Balancer) -> None:
        entry, entry_sink = await balancer.start(role, enters)
        _, sink = await balancer.start(role, leaves, mapped=True)
        balancer.send(entry, "cast")
        balancer.send(entry, "call", EventType.CALL)
        assert sink.sent == [
            (EventType.CAST, "cast", METADATA),
            (EventType.CALL, "call", METADATA),
        ]
        assert balancer.answers == [NO_REPLY, CallReturn.reply("call")]
        assert (entry_sink.sent, entry_sink.refused) == ([], [])

    play(story)


def test_events_wait_in_order_for_the_other_half_and_its_output() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL)
        balancer.send(entry, "1")
        leaving, sink = await balancer.start("sink", PORTAL)
        balancer.send(entry, "2")
        assert (sink.sent, balancer.answers) == ([], [])
        await balancer.patch(PORTAL, leaving, mapped=True)
        balancer.send(entry, "3")
        assert sink.payloads == ["1", "2", "3"]

    play(story)


def test_an_output_may_change_any_number_of_times() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL)
        leaving, sink = await balancer.start("sink", PORTAL, mapped=True)
        for number in range(3):
            await balancer.patch(PORTAL, leaving, mapped=False)
            balancer.send(entry, f"{number} waits")
            assert len(sink.payloads) == 2 * number
            await balancer.patch(PORTAL, leaving, mapped=True)
            await balancer.patch(PORTAL, leaving, mapped=True)
            balancer.send(entry, f"{number} passes")
        assert sink.payloads == [
            f"{number} {what}" for number in range(3) for what in ("waits", "passes")
        ]

    play(story)


def test_what_comes_while_others_are_let_go_waits_its_turn() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL)
        for payload in ("1", "2"):
            balancer.send(entry, payload)
        leaving, sink = await balancer.start("sink", PORTAL)
        forward = sink.forward

        def forwarded(channel: str, event: Event, answer: Callable[[CallReturn], None]) -> None:
            forward(channel, event, answer)
            if event.payload == "1":
                balancer.send(entry, "3")

        sink.forward = forwarded  # type: ignore[method-assign]  # a reaction of the receiver
        await balancer.patch(PORTAL, leaving, mapped=True)
        assert sink.payloads == ["1", "2", "3"]

    play(story)


def test_a_half_that_is_made_anew_gets_what_waited_for_it() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("source", PORTAL)
        leaving, old = await balancer.start("source", LOCAL, mapped=True)
        await balancer.providers[LOCAL].stop(leaving)
        balancer.send(entry, "1")
        _, new = await balancer.start("source", LOCAL, mapped=True)
        assert (old.payloads, new.payloads) == ([], ["1"])

    play(story)


def test_what_waits_too_long_is_dropped_with_the_reason() -> None:
    async def story(balancer: Balancer) -> None:
        begun_ns = current_scheduler().now_ns()
        entry, sink = await balancer.start("sink", LOCAL)
        balancer.send(entry, "1")
        await asyncio.sleep(20)
        balancer.send(entry, "2")
        await asyncio.sleep(15)
        await balancer.start("sink", PORTAL)
        await asyncio.sleep(20)
        assert sink.refused == [
            ("1", "the other half of the portal is missing"),
            ("2", "the portal leads nowhere"),
        ]
        waited = [(at_ns - begun_ns) / 1e9 for at_ns in sink.times_ns]
        assert waited == [WAIT_S, 20 + WAIT_S]

    play(story)


def test_more_than_a_half_can_hold_is_refused() -> None:
    async def story(balancer: Balancer) -> None:
        entry, sink = await balancer.start("sink", LOCAL)
        for number in range(WAITING_MAX + 2):
            balancer.send(entry, str(number))
        refused = [(str(number), "queue full") for number in (WAITING_MAX, WAITING_MAX + 1)]
        assert sink.refused == refused
        _, leaving = await balancer.start("sink", PORTAL, mapped=True)
        assert len(leaving.sent) == WAITING_MAX

    play(story)


def test_an_event_to_the_half_where_events_leave_is_refused() -> None:
    async def story(balancer: Balancer) -> None:
        leaving, sink = await balancer.start("sink", PORTAL, mapped=True)
        balancer.send(leaving, "x")
        assert sink.refused == [("x", "events do not enter this half of the portal")]

    play(story)


def test_pairs_do_not_mix() -> None:
    async def story(balancer: Balancer) -> None:
        one, _ = await balancer.start("sink", LOCAL, number=1)
        two, _ = await balancer.start("sink", LOCAL, number=2)
        _, out_two = await balancer.start("sink", PORTAL, number=2, mapped=True)
        balancer.send(one, "one")
        balancer.send(two, "two")
        assert out_two.payloads == ["two"]

    play(story)


def test_a_start_that_is_repeated_changes_nothing() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL)
        balancer.send(entry, "1")
        await balancer.start("sink", LOCAL, pid=entry)
        _, sink = await balancer.start("sink", PORTAL, mapped=True)
        assert sink.payloads == ["1"]
        assert len(balancer.exchange) == 2

    play(story)


def test_a_full_balancer_refuses_further_halves_and_no_repeated_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchanges, "HALVES_MAX", 2)

    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL)
        await balancer.start("sink", PORTAL, mapped=True)
        await balancer.start("sink", LOCAL, pid=entry)
        with pytest.raises(RejectedError, match="2 halves already"):
            await balancer.start("sink", LOCAL, number=8)

    play(story)


def test_nothing_is_waited_for_when_all_that_waited_has_gone_on() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL)
        balancer.send(entry, "1")
        await balancer.start("sink", PORTAL, mapped=True)
        assert balancer.exchange._halves[entry.key].timer is None

    play(story)


def test_portals_that_lead_in_a_circle_end_no_balancer() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL)
        leaving, sink = await balancer.start("sink", PORTAL)
        passed: list[str] = []

        def again(channel: str, event: Event, answer: Callable[[CallReturn], None]) -> None:
            passed.append(event.payload)
            balancer.send(entry, event.payload)

        sink.forward = again  # type: ignore[method-assign]  # what leaves comes back
        balancer.send(entry, "1")
        balancer.send(entry, "2")
        await balancer.patch(PORTAL, leaving, mapped=True)
        turns = len(passed)
        assert 0 < turns <= 2 * exchanges.WAITING_MAX
        await asyncio.sleep(0.01)
        assert len(passed) > turns, "it goes on, and lets others have a turn"
        await balancer.patch(PORTAL, leaving, mapped=False)
        balancer.exchange.remove(entry.key)
        entry, second_sink = await balancer.start("sink", LOCAL)
        passed.clear()
        await balancer.patch(PORTAL, leaving, mapped=True)
        balancer.send(entry, "straight on")
        assert len(passed) == exchanges.NESTED_MAX
        assert second_sink.refused == [("straight on", "portals lead in a circle")]

    play(story)


def test_a_half_may_be_configured_anew() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL, number=1)
        await balancer.start("sink", LOCAL, number=2, pid=entry)
        await balancer.start("sink", LOCAL, number=1)
        _, sink = await balancer.start("sink", PORTAL, number=2, mapped=True)
        balancer.send(entry, "x")
        assert sink.payloads == ["x"]

    play(story)


def test_nothing_is_left_when_the_nodes_end() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL)
        await balancer.start("sink", PORTAL)
        balancer.send(entry, "1")
        for provider in balancer.providers.values():
            provider.close()
            provider.close()
        assert len(balancer.exchange) == 0

    play(story)


@pytest.mark.parametrize(
    ("role", "side", "changes", "detail"),
    [
        ("sink", LOCAL, {"number": 1}, "id: there is a local half 1 already"),
        ("source", PORTAL, {"number": 1}, "role: the other half of 1 is a sink"),
        ("both", LOCAL, {}, "role: 'both' is none of sink, source"),
        ("", LOCAL, {}, "role: '' is none of sink, source"),
        ("sink", LOCAL, {"domain": "edge"}, "domain: 'edge' is none of local, portal"),
        ("sink", LOCAL, {"domain": "portal"}, "domain: 'portal' on a node in the local domain"),
        ("sink", PORTAL, {"domain": "local"}, "domain: 'local' on a node in the portal domain"),
        ("sink", LOCAL, {"domain_name": "edge"}, "domain_name: 'edge'; a local half has none"),
        ("sink", PORTAL, {"domain_name": "lab"}, "domain_name: 'lab'; this is the balancer of 'e"),
        ("sink", PORTAL, {"domain_name": ""}, "domain_name: ''; this is the balancer of 'edge'"),
        ("sink", LOCAL, {"number": -1}, "id: '-1' is not a number from 0 to 2^64 - 1"),
        ("sink", LOCAL, {"number": 1 << 64}, "is not a number from 0 to 2^64 - 1"),
        ("sink", LOCAL, {"number": "٣"}, "is not a number from 0 to 2^64 - 1"),
        ("sink", LOCAL, {"number": ""}, "id: '' is not a number"),
    ],
)
def test_halves_that_cannot_be_are_refused(
    role: str, side: PortalSide, changes: dict[str, Any], detail: str
) -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL, number=1)
        with pytest.raises(RejectedError) as refused:
            await balancer.start(role, side, **changes)
        assert refused.value.summary == "Invalid resource configuration"
        assert detail in (refused.value.detail or "")
        assert len(balancer.exchange) == 1
        # The one that is there is none the worse.
        _, sink = await balancer.start("sink", PORTAL, number=1, mapped=True)
        balancer.send(entry, "x")
        assert sink.payloads == ["x"]

    play(story)


def test_the_largest_number_is_taken() -> None:
    async def story(balancer: Balancer) -> None:
        entry, _ = await balancer.start("sink", LOCAL, number=(1 << 64) - 1)
        _, sink = await balancer.start("sink", PORTAL, number=(1 << 64) - 1, mapped=True)
        balancer.send(entry, "x")
        assert sink.payloads == ["x"]

    play(story)
