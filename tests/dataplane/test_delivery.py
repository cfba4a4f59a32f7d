"""Casts: who gets them, in which order, how often (C059, C062, C064, D26, D27, I22-I24, U15)."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.api.codec import encode_event
from edgeless_sim.dataplane import plane as plane_module
from edgeless_sim.dataplane.plane import EVENT_BYTES_MAX
from edgeless_sim.model.event import ERR, Event, EventType
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId
from edgeless_transports.rules import duplicate, reorder

TRACE = bytes(range(24))
CAST, CALL = int(EventType.CAST), int(EventType.CALL)
STRANGER = InstanceId(NodeId(UUID(int=0xFFFF)), FunctionId(UUID(int=1)))


@pytest.mark.parametrize("place", [0, 1])
def test_a_cast_arrives_with_its_source_and_metadata(play: Any, place: int) -> None:
    async def story(wire: Any) -> None:
        sender, receiver, other = wire.end(), wire.end(place), wire.end(place)
        wire.wire(sender, out=receiver)
        sender.handle.cast("out", "Test", TRACE)
        await wire.after(1)
        (event,) = receiver.received
        assert (event.kind, event.payload, event.source) == (CAST, "Test", sender.key)
        assert event.metadata == TRACE
        assert other.received == []
        assert [record[4] for record in wire.told("send")] == [4]

    play(story)


def test_a_local_cast_to_nobody_reaches_nobody_and_is_recorded(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, other = wire.end(), wire.end()
        missing = InstanceId(other.instance.node_id, FunctionId(UUID(int=1)))
        sender.handle.cast_raw(missing.key, "m")
        await wire.after(1)
        assert other.received == []
        assert sender.plane.counters == {"no such instance": 1}
        assert [record[0] for record in wire.told("drop")] == [wire.told("send")[0][0]]

    play(story)


def test_a_cast_to_an_unknown_node_is_not_sent_and_the_next_to_a_known_one_is(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver = wire.end(0), wire.end(1)
        wire.wire(sender, out=receiver)
        missing = InstanceId(receiver.instance.node_id, FunctionId(UUID(int=1)))
        sender.handle.cast_raw(STRANGER.key, "nowhere")
        sender.handle.cast_raw(missing.key, "known node, unknown instance")
        sender.handle.cast_raw(receiver.key, "m")
        await wire.after(1)
        assert receiver.payloads == ["m"]
        assert sender.plane.counters == {"raw cast to an unknown node": 1}
        assert receiver.plane.counters == {"no such instance": 1}
        assert len(wire.told("send")) == 2

    play(story)


def test_casts_to_an_unmapped_channel_are_ignored_and_counted(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender = wire.end()
        wire.wire(sender)
        sender.handle.cast("out", "m")
        sender.handle.delayed_cast(5, "out", "m")
        await wire.after(1)
        assert sender.plane.counters == {
            "cast to an unmapped channel": 1,
            "delayed cast to an unmapped channel": 1,
        }
        assert wire.told("send") == []

    play(story)


def test_self_is_always_oneself(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, other = wire.end(), wire.end()
        sender.handle.cast("self", "before the first patch")
        assert sender.handle.patch({"self": wire.target(other)}, 0)
        sender.handle.cast("self", "cast")
        sender.handle.delayed_cast(5, "self", "delayed")
        await wire.after(1)
        assert sender.payloads == ["before the first patch", "cast", "delayed"]
        assert other.received == []

    play(story)


def test_a_delayed_cast_goes_where_the_channel_leads_when_it_is_due(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, old, new = wire.end(), wire.end(), wire.end()
        wire.wire(sender, 0, out=old)
        sender.handle.delayed_cast(2**40, "out", "in 35 years")
        sender.handle.delayed_cast(100, "out", "m", TRACE)
        await wire.after(0.05)
        wire.wire(sender, 1, out=new)
        await wire.after(0.04)
        assert new.received == []
        await wire.after(0.02)
        assert (old.payloads, new.payloads) == ([], ["m"])
        assert new.received[0].metadata == TRACE
        sender.handle.detach()
        assert sender.plane.counters["delayed cast cancelled"] == 1
        assert wire.scheduler.foreground_pending() == 0

    play(story)


def test_sizes_in_the_journal_are_bytes(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender = wire.end()
        sender.handle.cast("self", "\u20ac")
        assert [record[4] for record in wire.told("send")] == [3]

    play(story)


def test_a_duplicated_frame_is_handled_once(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver = wire.end(0), wire.end(1)
        wire.wire(sender, out=receiver)
        wire.network.memory.install(duplicate(1.0))
        for number in range(5):
            sender.handle.cast("out", str(number))
        receiver.reply = ERR
        sender.call("out", "call")
        await wire.after(1)
        assert receiver.payloads == ["0", "1", "2", "3", "4", "call"]
        assert sender.answers == [ERR]
        assert receiver.plane.counters == {"duplicate": 6}
        assert sender.plane.counters == {"a return that nobody waits for": 1}

    play(story)


def test_an_overtaken_event_is_dropped_so_that_the_order_is_kept(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver, other = wire.end(0), wire.end(1), wire.end(1)
        wire.wire(sender, out=receiver, other=other)
        with wire.network.memory.install(reorder(10_000_000, 0.5)):
            for number in range(100):
                sender.handle.cast("out", f"{number:02}")
                sender.handle.cast("other", f"{number:02}")
        await wire.after(1)
        for end in (receiver, other):
            assert 2 < len(end.payloads) < 100
            assert end.payloads == sorted(set(end.payloads))
        lost = 200 - len(receiver.payloads) - len(other.payloads)
        assert receiver.plane.counters == {"duplicate or overtaken": lost}
        assert len(wire.told("drop")) == lost

    play(story)


def test_events_without_a_serial_are_taken_as_they_come(play: Any) -> None:
    async def story(wire: Any) -> None:
        receiver = wire.end(0)
        for _ in range(2):
            wire.inject(Event(CAST, receiver.key, STRANGER.key, 0, "m", 0, bytes(24), 0))
        await wire.after(1)
        assert receiver.payloads == ["m", "m"]

    play(story)


def test_what_is_remembered_of_senders_is_bounded_and_ends_with_the_receiver(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane_module, "SOURCES_MAX", 3)
    monkeypatch.setattr(plane_module, "PEERS_MAX", 4)

    async def story(wire: Any) -> None:
        receiver = wire.end(0)
        for number in range(10):
            source = InstanceId(NodeId(UUID(int=0x1000 + number)), FunctionId(UUID(int=1))).key
            event = Event(CAST, receiver.key, source, 0, "m", 0, bytes(24), number + 1)
            wire.inject(event, location=f"node/{number}")
        await wire.after(1)
        plane = receiver.plane
        assert len(receiver.received) == 10
        assert len(plane._seen[receiver.key]) == 3
        assert len(plane._peers) == 4
        receiver.handle.detach()
        assert plane._seen == {}
        assert plane.local == {}

    play(story)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x93\x01\x02",
        b"\xff" * 40,
        msgspec.msgpack.encode([1, b"t" * 32, b"s" * 31, 0, "m", 0, bytes(24), 1]),
        msgspec.msgpack.encode([1, b"t" * 32, b"", 0, "m", 0, bytes(24), 1]),
        msgspec.msgpack.encode([1, b"t" * 32, b"s" * 32, 0, "m", 0, bytes(23), 1]),
        msgspec.msgpack.encode([1, b"t" * 32, b"s" * 32, 0, b"\xff", 0, bytes(24), 1]),
        msgspec.msgpack.encode([1, b"t" * 32, b"s" * 32, "0", "m", 0, bytes(24), 1]),
    ],
)
def test_a_malformed_frame_is_counted_and_harms_nobody(play: Any, frame: bytes) -> None:
    async def story(wire: Any) -> None:
        receiver = wire.end(0)
        wire.inject(frame)
        await wire.after(1)
        assert receiver.plane.counters == {"malformed event": 1}
        assert receiver.plane._peers == {}

    play(story)


@pytest.mark.parametrize("kind", [-1, 5, 99, 2**40])
def test_an_event_of_an_unknown_kind_is_dropped(play: Any, kind: int) -> None:
    async def story(wire: Any) -> None:
        receiver = wire.end(0)
        wire.inject(Event(kind, receiver.key, STRANGER.key, 7, "m", 0, bytes(24), 1))
        await wire.after(1)
        assert receiver.received == []
        assert receiver.plane.counters == {"a return that nobody waits for": 1}

    play(story)


def test_an_event_for_another_node_or_a_short_key_is_dropped(play: Any) -> None:
    async def story(wire: Any) -> None:
        receiver = wire.end(0)
        for target in (STRANGER.key, b"short", b""):
            wire.inject(Event(CAST, target, STRANGER.key, 0, "m", 0, bytes(24), 1))
        await wire.after(1)
        assert receiver.plane.counters == {"no such instance": 3}

    play(story)


def test_a_peer_cannot_speak_in_our_own_name(play: Any) -> None:
    async def story(wire: Any) -> None:
        receiver, victim = wire.end(0), wire.end(0)
        for kind in (CAST, CALL):
            wire.inject(Event(kind, receiver.key, victim.key, 7, "m", 0, bytes(24), 1))
        await wire.after(1)
        assert receiver.received == []
        assert receiver.plane.counters == {"a peer used our name": 2}
        assert wire.told("send") == []

    play(story)


def test_an_event_that_is_too_large_is_refused(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver = wire.end(0), wire.end(1)
        wire.wire(sender, out=receiver)
        sender.handle.cast("out", "x" * (1 << 20))
        sender.handle.cast("out", "x" * EVENT_BYTES_MAX)
        sender.call("out", "x" * EVENT_BYTES_MAX)
        await wire.after(1)
        assert len(receiver.received) == 1
        assert receiver.plane.counters == {"event too large": 2}
        assert sender.answers == [ERR]

    play(story)


def test_made_up_names_do_not_fill_the_journal(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane_module, "_NUMBERS_MAX", 20)

    async def story(wire: Any) -> None:
        wire.end(0)
        for number in range(100):
            target = number.to_bytes(32, "big")
            wire.inject(Event(CALL, target, STRANGER.key, 1, "m", 0, bytes(24), number))
        await wire.after(1)
        assert len(wire.told("def")) < 30
        dropped = [record[2] for record in wire.told("drop")]
        assert dropped.count("no such instance") == 100

    play(story)


def test_replies_find_their_way_to_a_node_that_nobody_introduced(play: Any) -> None:
    async def story(wire: Any) -> None:
        sender, receiver = wire.end(0), wire.end(1)
        receiver.reply = ERR
        wire.wire(sender, out=receiver)
        assert receiver.plane.link_to(sender.key) is None
        sender.call("out", "m")
        await wire.after(1)
        assert sender.answers == [ERR]
        receiver.handle.cast_raw(sender.key, "back")
        await wire.after(1)
        assert sender.payloads == ["back"]

    play(story)


def test_encoded_events_of_a_mebibyte_fit_the_limit() -> None:
    event = Event(CALL, bytes(32), bytes(32), 2**63 - 1, "x" * (1 << 20), 2**62, bytes(24), 2**62)
    assert len(encode_event(event)) <= EVENT_BYTES_MAX
