"""Log entries, refused outputs, metadata (I30; reliability 7.3; spec 1.1)."""

from typing import Any

from edgeless_sim.node.outputs import OutputPerformer
from edgeless_sim.node.telemetry import SAMPLES_MAX, Telemetry, TelemetryKind
from edgeless_sim.runtimes.base import Log, Refused

TRACE = bytes(range(100, 124))


async def hosted(rig: Any) -> tuple[Any, OutputPerformer]:
    node = rig.node()
    pid = await rig.start(node, "c(1)")
    return node, node.agent.functions[pid]._outputs


def test_a_function_may_log_1000_lines_at_once_and_100_a_second_after_that(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Chatty")
        peer.cast(pid, "1500")
        await rig.after(0.5)
        lines = [record[3] for record in rig.told("log")]
        assert lines == [f"line {number}" for number in range(1000)]
        assert node.plane.counters["log lines over the rate"] == 500
        await rig.after(2)
        peer.cast(pid, "500")
        await rig.after(1)
        # 2.5 s and the handling of the first message earned 250.
        assert len(rig.told("log")) == 1250
        assert node.plane.counters["log lines over the rate"] == 750

    play(story)


def test_an_unknown_log_level_counts_as_error_and_its_author_is_told(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, outputs = await hosted(rig)
        outputs.perform([Log(9, "t", "m"), Log(2, "t", "known")], bytes(24))
        assert [record[1:] for record in rig.told("log")] == [
            ("warn", "t", "unknown log level 9, taken for error"),
            ("error", "t", "m"),
            ("warn", "t", "known"),
        ]
        assert node.plane.counters["unknown log level"] == 1

    play(story)


def test_what_a_run_time_refused_is_counted_by_operation_and_recorded_with_its_cause(
    play: Any,
) -> None:
    async def story(rig: Any) -> None:
        node, outputs = await hosted(rig)
        outputs.perform([Refused("cast", f"cause {n}") for n in range(3)], bytes(24))
        assert node.plane.counters == {"cast refused": 3}
        causes = [record[2] for record in rig.told("drop")]
        assert causes == ["cast: cause 0", "cast: cause 1", "cast: cause 2"]

    play(story)


def test_metadata_pass_through_casts_calls_and_delays(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer, log = rig.node(), rig.peer(), rig.peer()
        last = await rig.start(node, "Wanderer", {"out": log})
        middle = await rig.start(node, "Relay", {"out": last})
        first = await rig.start(node, "Wanderer", {"out": middle})
        await rig.after(1)
        # A call to the relay, which calls the last one, which delays a cast; then a cast on.
        peer.cast(first, "rout dout end", TRACE)
        peer.cast(first, "cout cout end", bytes(24))
        await rig.after(1)
        assert [event.payload for event in log.received] == ["end", "end"]
        traces = {event.metadata for event in log.received}
        assert traces == {TRACE, bytes(24)}

    play(story)


def test_samples_are_collected_until_they_are_taken_and_bounded(play: Any) -> None:
    async def story(rig: Any) -> None:
        telemetry = Telemetry(rig.clock, performance_samples=True)
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Relay", {"out": peer})
        for number in range(SAMPLES_MAX + 5):
            telemetry.report(TelemetryKind.COMPLETED, pid, number)
        taken = telemetry.take()
        assert len(taken.function_execution_times[pid.function_id]) == SAMPLES_MAX
        assert telemetry.take().function_execution_times == {}
        telemetry.report(TelemetryKind.LOG, pid, "m", "info target")
        (entry,) = telemetry.take().function_log_entries[pid.function_id]
        assert (entry.target, entry.msg) == ("target", "m")

    play(story)


def test_samples_and_log_entries_say_when_in_calendar_time(play: Any) -> None:
    async def story(rig: Any) -> None:
        telemetry = Telemetry(rig.clock, performance_samples=True)
        pid = await rig.start(rig.node(), "Relay")
        await rig.after(2.5)
        telemetry.report(TelemetryKind.COMPLETED, pid, 1)
        telemetry.report(TelemetryKind.LOG, pid, "m", "info target")
        taken = telemetry.take()
        (sample,) = taken.function_execution_times[pid.function_id]
        (entry,) = taken.function_log_entries[pid.function_id]
        # A simulation begins with 2026.
        assert (sample.timestamp_sec, sample.timestamp_ns) == (1_767_225_602, 500_000_000)
        assert (entry.timestamp_sec, entry.timestamp_ns) == (1_767_225_602, 500_000_000)

    play(story)
