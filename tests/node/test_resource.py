"""Resource instances on their node: bounds, stop, crash, calls of the provider (I25, I38, U34)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import ERR, CallReturn, Event, PatchRequest
from edgeless_sim.model.ids import FunctionId, InstanceId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.node.resource import CALLS_MAX, OPEN_EVENTS_MAX
from edgeless_sim.node.telemetry import TelemetryKind
from edgeless_sim.resources.base import EventSink, ForwardingSink, ResourceHost
from edgeless_sim.resources.file_log import FileLogProvider
from edgeless_sim.resources.files import VirtualFiles

WORKFLOW = WorkflowId(UUID(int=1))


class Window:
    """A provider whose instances keep every event until the test answers it."""

    class_type: ClassVar[str] = "window"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "Keeps every event"
    configurations: ClassVar[Mapping[str, str]] = {}
    outputs: ClassVar[tuple[str, ...]] = ("out",)
    real_time_only: ClassVar[bool] = False

    def __init__(self) -> None:
        self.opened = False
        self.closed = False
        self.specification = ResourceProviderSpecification("w", "window", ("out",))
        self.events: list[Event] = []
        self.answers: list[Callable[[CallReturn], None]] = []
        self.sinks: dict[InstanceId, EventSink] = {}
        self.stopped: list[InstanceId] = []
        self.patches: list[int] = []
        self.refuses = False
        self.opens: asyncio.Event | None = None

    async def open(self) -> None:
        self.opened = True

    def close(self) -> None:
        self.closed = True

    async def start(
        self, pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
    ) -> None:
        if self.opens is not None:
            await self.opens.wait()
        if self.refuses:
            raise RejectedError("bad configuration", "it is closed")
        self.sinks[pid] = sink

    def handle(self, event: Event, answer: Callable[[CallReturn], None]) -> None:
        self.events.append(event)
        self.answers.append(answer)

    async def patch(self, request: PatchRequest) -> None:
        self.patches.append(request.generation)

    async def stop(self, pid: InstanceId) -> None:
        self.sinks.pop(pid, None)
        self.stopped.append(pid)


def specification(
    rig: Any, node: Any, outputs: dict[str, Any] | None = None, number: int = 1
) -> ResourceInstanceSpecification:
    pid = InstanceId(node.settings.node_id, FunctionId(UUID(int=0xE000 + number)))
    mapping = rig.mapping(outputs or {})
    return ResourceInstanceSpecification("window", {}, WORKFLOW, "w", pid, mapping)


async def opened(rig: Any, outputs: dict[str, Any] | None = None) -> tuple[Any, Window, InstanceId]:
    window = Window()
    node = rig.node(providers={"w": window})
    reply = await node.agent.start_resource(specification(rig, node, outputs))
    return node, window, reply.instance_id


def test_an_event_ends_when_the_provider_answers_it(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, window, pid = await opened(rig)
        peer = rig.peer()
        seen = rig.watch(node)
        reply = peer.call(pid, "question")
        await rig.after(2)
        assert not reply.done()
        window.answers[0](CallReturn.reply("answer"))
        window.answers[0](CallReturn.reply("again"))
        assert await reply == CallReturn.reply("answer")
        assert [(e.kind, e.value, e.tag) for e in seen] == [
            (TelemetryKind.TRANSFER, 1_000_000, ""),
            (TelemetryKind.COMPLETED, 1_999_000_000, "CALL"),
        ]
        assert [record[4] for record in rig.told("end")] == ["ok"]

    play(story)


def test_a_provider_holds_a_bounded_number_of_events(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, window, pid = await opened(rig)
        peer = rig.peer()
        for _ in range(OPEN_EVENTS_MAX + 2):
            peer.cast(pid, "m")
        await rig.after(1)
        assert len(window.events) == OPEN_EVENTS_MAX
        assert node.plane.counters["queue full"] == 2
        assert await peer.call(pid, "m") == ERR
        window.answers[0](ERR)
        peer.cast(pid, "m")
        await rig.after(1)
        assert len(window.events) == OPEN_EVENTS_MAX + 1

    play(story)


def test_a_provider_holds_a_bounded_number_of_bytes(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, window, pid = await opened(rig)
        peer = rig.peer()
        for _ in range(22):
            peer.cast(pid, "\u20ac" * (1 << 18))
        await rig.after(1)
        assert len(window.events) == 21
        assert node.plane.counters["queue full"] == 1

    play(story)


def test_a_stop_gives_err_to_callers_and_to_the_provider(play: Any) -> None:
    async def story(rig: Any) -> None:
        mute, peer = rig.peer(reply=None), rig.peer()
        node, window, pid = await opened(rig, {"out": mute})
        sink = window.sinks[pid]
        question = peer.call(pid, "question")
        results: list[CallReturn] = []
        sink.call_nowait("out", "m", results.append, timeout_s=10)
        await rig.after(1)
        await node.agent.stop_resource(pid)
        assert results == [ERR]
        assert await question == ERR
        window.answers[0](CallReturn.reply("too late"))
        sink.cast("out", "too late")
        assert await sink.call("out", "too late", timeout_s=1) == ERR
        await rig.after(1)
        assert mute.payloads == ["m"]
        assert window.stopped == [pid]
        assert node.agent.resources == {}
        assert node.plane.local == {}
        assert len(node.plane.calls) == 0

    play(story)


def test_a_call_of_the_provider_ends_by_its_own_deadline(play: Any) -> None:
    async def story(rig: Any) -> None:
        mute = rig.peer(reply=None)
        node, window, pid = await opened(rig, {"out": mute})
        sink = window.sinks[pid]
        assert await sink.call("out", "m", timeout_s=3) == ERR
        assert rig.scheduler.now_ns() == 3_000_000_000
        mute.reply = CallReturn.reply("ok")
        assert await sink.call("out", "m", timeout_s=3) == CallReturn.reply("ok")
        assert await sink.call("unmapped", "m", timeout_s=3) == ERR
        assert len(node.plane.calls) == 0
        assert node.agent.resources[pid]._deadlines == {}

    play(story)


def test_a_provider_speaks_for_many_clients_but_not_for_any_number(play: Any) -> None:
    async def story(rig: Any) -> None:
        mute = rig.peer(reply=None)
        node, window, pid = await opened(rig, {"out": mute})
        results: list[CallReturn] = []
        for _ in range(CALLS_MAX + 1):
            window.sinks[pid].call_nowait("out", "m", results.append, timeout_s=10)
        await rig.after(1)
        assert results == [ERR]
        assert len(mute.received) == CALLS_MAX
        assert node.plane.counters["too many open calls"] == 1
        await rig.after(10)
        assert results == [ERR] * (CALLS_MAX + 1)

    play(story)


def test_a_crash_tells_nobody_and_explains_everything(play: Any) -> None:
    async def story(rig: Any) -> None:
        mute, peer = rig.peer(reply=None), rig.peer()
        node, window, pid = await opened(rig, {"out": mute})
        question = peer.call(pid, "question")
        results: list[CallReturn] = []
        window.sinks[pid].call_nowait("out", "m", results.append, timeout_s=100)
        await rig.after(1)
        rig.crash(node)
        await rig.after(1)
        assert [record[2] for record in rig.told("drop")] == ["node crashed"]
        assert not question.done()
        assert results == []
        assert len(peer.plane.calls) == 1
        await rig.after(30)
        assert question.result() == ERR
        assert rig.scheduler.foreground_pending() == 0

    play(story)


def test_a_start_that_is_refused_leaves_nothing(play: Any) -> None:
    async def story(rig: Any) -> None:
        window = Window()
        window.refuses = True
        node = rig.node(providers={"w": window})
        with pytest.raises(RejectedError, match="it is closed"):
            await node.agent.start_resource(specification(rig, node))
        assert node.agent.inventory() == ()
        assert node.plane.local == {}

    play(story)


def test_a_resource_that_is_starting_is_in_no_inventory(play: Any) -> None:
    async def story(rig: Any) -> None:
        window = Window()
        window.opens = asyncio.Event()
        node = rig.node(providers={"w": window})
        request = specification(rig, node)
        starting = asyncio.ensure_future(node.agent.start_resource(request))
        await rig.after(1)
        assert node.agent.inventory() == ()
        window.opens.set()
        await starting
        assert [item.instance_id for item in node.agent.inventory()] == [request.instance_id]

    play(story)


def test_a_start_that_is_repeated_while_it_lasts_ends_as_the_first_one(play: Any) -> None:
    async def story(rig: Any) -> None:
        window = Window()
        window.opens = asyncio.Event()
        window.refuses = True
        node = rig.node(providers={"w": window})
        request = specification(rig, node)
        starts = [asyncio.ensure_future(node.agent.start_resource(request)) for _ in range(3)]
        await rig.after(1)
        assert not any(start.done() for start in starts)
        window.opens.set()
        for start in starts:
            with pytest.raises(RejectedError, match="it is closed"):
                await start
        assert node.plane.local == {}

    play(story)


def test_a_stop_while_it_starts_wins(play: Any) -> None:
    async def story(rig: Any) -> None:
        window = Window()
        window.opens = asyncio.Event()
        node = rig.node(providers={"w": window})
        request = specification(rig, node)
        starting = asyncio.ensure_future(node.agent.start_resource(request))
        await rig.after(1)
        await node.agent.stop_resource(request.instance_id)
        window.opens.set()
        with pytest.raises(RejectedError, match="stopped while it was starting"):
            await starting
        assert window.sinks == {}
        assert node.agent.inventory() == ()
        assert node.plane.local == {}

    play(story)


def test_a_late_patch_does_not_reach_the_provider(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, window, pid = await opened(rig)
        for generation in (3, 2, 4):
            await node.agent.patch_resource(PatchRequest(pid, {}, generation))
        assert window.patches == [3, 4]

    play(story)


def test_a_repeated_start_makes_one_resource_and_a_repeated_stop_is_no_error(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, window, pid = await opened(rig)
        await node.agent.start_resource(specification(rig, node))
        assert len(window.sinks) == len(node.agent.inventory()) == 1
        for _ in range(2):
            await node.agent.stop_resource(pid)
        assert window.stopped == [pid]
        assert node.agent.resources == {}
        assert node.agent.inventory() == ()

    play(story)


def test_a_failure_of_the_provider_is_err_to_the_caller_and_no_success_in_the_journal(
    play: Any,
) -> None:
    async def story(rig: Any) -> None:
        node, window, pid = await opened(rig)
        reply = rig.peer().call(pid, "m")
        await rig.after(1)
        window.answers[0](ERR)
        assert await reply == ERR
        assert [record[4] for record in rig.told("end")] == ["the provider failed"]
        assert len(node.agent.inventory()) == 1

    play(story)


def test_a_function_writes_to_a_file_log_of_another_node(play: Any) -> None:
    async def story(rig: Any) -> None:
        files = VirtualFiles()
        host = ResourceHost("edge/0", rig.clock, rig.scheduler, files)
        first = rig.node(providers={"log": FileLogProvider("log", host)})
        second = rig.node()
        pid = InstanceId(first.settings.node_id, FunctionId(UUID(int=0xE001)))
        request = ResourceInstanceSpecification(
            "file-log", {"filename": "a.log"}, WORKFLOW, "log", pid, {}
        )
        await first.agent.start_resource(request)
        writer = await rig.start(second, "c(1)", {"out": pid})
        peer = rig.peer()
        for line in ("one", "two"):
            peer.cast(writer, line)
        await rig.after(1)
        assert files.contents() == {"a.log": b"one\ntwo\n"}

    play(story)


def test_a_provider_forwards_with_the_metadata_of_what_it_got(play: Any) -> None:
    async def story(rig: Any) -> None:
        target = rig.peer()
        _, window, pid = await opened(rig, {"out": target})
        asker = rig.peer()
        metadata = bytes(range(24))
        asker.cast(pid, "cast", metadata)
        replies: list[CallReturn] = []
        asker.handle.call_raw_nowait(pid.key, "call", replies.append, metadata)
        await rig.after(0.1)
        sink = window.sinks[pid]
        assert isinstance(sink, ForwardingSink)
        for event, answer in zip(window.events, window.answers, strict=True):
            sink.forward("out", event, answer)
        await rig.after(0.1)
        assert replies == [CallReturn.reply("ok")]
        assert target.payloads == ["cast", "call"]
        assert [event.metadata for event in target.received] == [metadata, metadata]
        assert all(event.source == pid.key for event in target.received)

    play(story)


def test_what_a_provider_refuses_is_a_loss_and_an_error_to_who_called(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, window, pid = await opened(rig)
        asker = rig.peer()
        asker.cast(pid, "cast")
        reply = asker.call(pid, "call")
        await rig.after(0.1)
        sink = window.sinks[pid]
        assert isinstance(sink, ForwardingSink)
        for event in window.events:
            sink.refuse(event, "no way")
            sink.refuse(event, "twice")
        assert await reply == ERR
        assert node.plane.counters == {"no way": 2}
        assert [record[2] for record in rig.told("drop")] == ["no way"] * 2
        # Too late.
        for answer in window.answers:
            answer(CallReturn.reply("x"))
        assert rig.told("end") == []

    play(story)
