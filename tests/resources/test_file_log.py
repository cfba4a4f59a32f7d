"""file-log: configuration, lines, answers (spec 6.6, case D33)."""

from typing import Final
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.clock import EPOCH, LoopClock
from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_sim.model.compat import COMPAT, STRICT, Compatibility
from edgeless_sim.model.event import (
    ERR,
    METADATA_ROOT,
    NO_REPLY,
    CallReturn,
    Event,
    EventType,
    PatchRequest,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import ResourceHost, ResourceProvider
from edgeless_sim.resources.file_log import FileLogProvider
from edgeless_sim.resources.files import FileQuotas, VirtualFiles

PID: Final = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=2)))
SENDER: Final = InstanceId(NodeId(UUID(int=3)), FunctionId(UUID(int=4)))
AMPLE: Final = FileQuotas()


class NoSink:
    """A sink for a resource that makes no events."""

    def cast(self, channel: str, payload: str) -> None:
        raise AssertionError("a file-log makes no events")

    async def call(self, channel: str, payload: str, *, timeout_s: float) -> CallReturn:
        raise AssertionError("a file-log makes no events")

    def call_nowait(self, channel: str, payload: str, answer: object, *, timeout_s: float) -> None:
        raise AssertionError("a file-log makes no events")


class Bench:
    """A provider on a virtual node, with what it wrote, answered and complained about."""

    def __init__(self, compatibility: Compatibility = STRICT, quotas: FileQuotas = AMPLE) -> None:
        self.files = VirtualFiles(quotas)
        self.time = TimerQueue()
        self.warnings: list[tuple[InstanceId, str]] = []
        host = ResourceHost(
            node_name="edge/0",
            clock=LoopClock(self.time, EPOCH),
            scheduler=self.time,
            files=self.files,
            compatibility=compatibility,
            warn=lambda pid, message: self.warnings.append((pid, message)),
        )
        self.provider: ResourceProvider = FileLogProvider("file-log-1", host)

    async def start(self, pid: InstanceId = PID, **configuration: str) -> None:
        named = {key.replace("_", "-"): value for key, value in configuration.items()}
        specification = ResourceInstanceSpecification("file-log", named, WorkflowId(UUID(int=9)))
        await self.provider.start(pid, specification, NoSink())

    def send(self, payload: str, kind: EventType = EventType.CAST) -> CallReturn:
        answers: list[CallReturn] = []
        event = Event(kind, PID.key, SENDER.key, 0, payload, 0, METADATA_ROOT, 1)
        self.provider.handle(event, answers.append)
        [answer] = answers
        return answer

    def text(self, path: str = "a.log") -> str:
        return self.files.read(path).decode()


def test_it_announces_itself_as_edgeless_does() -> None:
    assert Bench().provider.specification == ResourceProviderSpecification(
        "file-log-1", "file-log", ()
    )
    assert FileLogProvider.version == "1.1"


async def test_the_file_is_there_once_the_instance_started() -> None:
    bench = Bench()
    await bench.start(filename="logs/a.log")
    assert bench.files.contents() == {"logs/a.log": b""}


async def test_d33_a_cast_is_a_line() -> None:
    bench = Bench()
    await bench.start(filename="a.log")
    assert bench.send("one") == NO_REPLY
    assert bench.send("") == NO_REPLY
    assert bench.text() == "one\n\n"


async def test_d33_a_call_is_a_line_and_an_empty_reply() -> None:
    bench = Bench()
    await bench.start(filename="a.log")
    assert bench.send("one", EventType.CALL) == CallReturn.reply("")
    assert bench.text() == "one\n"


async def test_d33_timestamp_and_source_stand_before_the_message_in_this_order() -> None:
    bench = Bench()
    await bench.start(filename="a.log", add_timestamp="", add_source_id="false")
    bench.time.now = 3_723_000_456_789
    bench.send("x")
    assert bench.text() == (
        "2026-01-01T01:02:03.000456789+00:00 "
        "InstanceId(node_id: 00000000-0000-0000-0000-000000000003, "
        "function_id: 00000000-0000-0000-0000-000000000004) x\n"
    )


async def test_either_prefix_comes_alone() -> None:
    bench = Bench()
    await bench.start(filename="a.log", add_timestamp="1")
    bench.send("x")
    await bench.start(filename="b.log", add_source_id="1")
    bench.send("y")
    assert bench.text() == "2026-01-01T00:00:00.000000000+00:00 x\n"
    assert bench.text("b.log") == f"{SENDER} y\n"


async def test_one_event_is_one_line_whatever_it_says() -> None:
    bench = Bench()
    await bench.start(filename="a.log")
    bench.send("a\nb\r\tc\x00\x1b[31m\x85\u2028\u2029 \\n ö")
    assert bench.text() == "a\\nb\\r\\tc\\x00\\x1b[31m\\x85\\u2028\\u2029 \\n ö\n"
    assert len(bench.text().splitlines()) == 1


async def test_in_compat_profile_the_message_is_written_as_it_is() -> None:
    bench = Bench(COMPAT)
    await bench.start(filename="a.log")
    bench.send("a\nb\x1b")
    assert bench.text() == "a\nb\x1b\n"


async def test_d33_a_configuration_without_filename_is_refused_in_the_words_of_edgeless() -> None:
    with pytest.raises(RejectedError) as refusal:
        await Bench().start(add_timestamp="")
    assert refusal.value.summary == "Invalid resource configuration"
    assert refusal.value.detail == "Field 'filename' missing"


@pytest.mark.parametrize("filename", ["", "/etc/passwd", "../x", "a/../../x", "a\x00", "CON", "a."])
async def test_b25_a_bad_filename_is_refused_and_nothing_is_started(filename: str) -> None:
    bench = Bench()
    with pytest.raises(RejectedError, match="Invalid resource configuration"):
        await bench.start(filename=filename)
    assert bench.files.contents() == {}
    assert bench.send("x") == ERR


async def test_a_file_that_cannot_be_opened_refuses_the_start() -> None:
    bench = Bench()
    await bench.start(filename="a.log")
    with pytest.raises(RejectedError, match=r"a\.log/b: a\.log is a file"):
        await bench.start(filename="a.log/b")


async def test_a_second_start_configures_anew() -> None:
    bench = Bench()
    await bench.start(filename="a.log", add_source_id="")
    await bench.start(filename="b.log")
    bench.send("x")
    assert bench.files.contents() == {"a.log": b"", "b.log": b"x\n"}


async def test_two_instances_may_write_one_file() -> None:
    bench = Bench()
    await bench.start(SENDER, filename="a.log")
    await bench.start(PID, filename="a.log")
    bench.send("x")
    await bench.provider.stop(SENDER)
    bench.send("y")
    assert bench.text() == "x\ny\n"


async def test_a_stopped_instance_writes_nothing_and_stopping_twice_does_no_harm() -> None:
    bench = Bench()
    await bench.start(filename="a.log")
    await bench.provider.stop(PID)
    await bench.provider.stop(PID)
    assert bench.send("x", EventType.CALL) == ERR
    assert bench.text() == ""


async def test_a_patch_is_accepted_and_changes_nothing() -> None:
    bench = Bench()
    await bench.start(filename="a.log")
    await bench.provider.patch(PatchRequest(PID, {}, 1))
    bench.send("x")
    assert bench.text() == "x\n"


async def test_a_full_file_is_an_error_to_the_caller_and_a_warning_to_the_node() -> None:
    bench = Bench(quotas=FileQuotas(file_bytes_max=4))
    await bench.start(filename="a.log")
    assert bench.send("abc") == NO_REPLY
    assert bench.send("d") == ERR
    assert bench.send("d", EventType.CALL) == ERR
    assert bench.text() == "abc\n"
    warning = (PID, "a.log: the file may have 4 bytes at most")
    assert bench.warnings == [warning, warning]


async def test_a_provider_has_a_largest_number_of_instances() -> None:
    bench = Bench()
    for number in range(10_000):
        pid = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=number)))
        await bench.start(pid, filename="a.log")
    with pytest.raises(RejectedError, match="10000 instances"):
        await bench.start(SENDER, filename="a.log")
    await bench.start(PID, filename="b.log")
