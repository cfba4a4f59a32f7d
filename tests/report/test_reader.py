"""The numbers of a run, from records written by hand."""

import json
from pathlib import Path

import pytest
from msgspec import structs

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.kernel.journal import Record
from edgeless_sim.report.folder import RunFolder
from edgeless_sim.report.logs import LogEntry, LogReader, log_line
from edgeless_sim.report.reader import RunReader
from edgeless_sim.report.summary import ExpectationSummary, RunFacts, Summary, summarise
from edgeless_sim.report.tables import aligned, duration, render

RECORDS: list[Record] = [
    (0, "def", 0, "node", "edge/10"),
    (0, "state", 0, "joined", ""),
    (0, "def", 1, "node", "edge/9"),
    (0, "def", 2, "workflow", "wf-id"),
    (0, "def", 3, "component", "wf-id/ping"),
    (0, "def", 4, "domain", "edge"),
    (1, "place", 3, 4, "game/ping: 1 of 1 domains feasible"),
    (2, "place", 3, 0, "RoundRobin: 2 of 2 feasible"),
    (5, "start", 10, 3, 0),
    (5, "begin", 0, 10, 0, 0),
    (5, "log", 10, "info", "ping", "hello"),
    (6, "end", 0, 10, 4, 1, "ok"),
    (10, "send", 1, 10, 11, 1, 5),
    (20, "recv", 1, 10),
    (20, "begin", 1, 10, 1, 10),
    (25, "end", 1, 10, 7, 5, "ok"),
    (26, "send", 2, 10, 10, 0, 5),
    (27, "begin", 2, 10, 2, 1),
    (28, "end", 2, 10, 9, 1, "trap: unreachable"),
    (28, "send", 3, 10, 10, 4, 0),
    (29, "recv", 3, 10),
    (29, "state", 10, "restarted", ""),
    (30, "send", 4, 10, 10, 1, 5),
    (31, "drop", 4, 10, "loss"),
    (32, "send", 5, 10, 10, 1, 5),
    (40, "fault", "crash", "edge/10"),
    (41, "state", 0, "lost", "silent"),
    (50, "start", 12, 3, 1),
]
FACTS = RunFacts(
    scenario="x",
    seed=3,
    world="sim",
    verdict="failed",
    digest="ab" * 16,
    ended_ns=2_000_000_000,
    wall_s=0.5,
    command="edgeless-sim run x --seed 3",
    expectations=[ExpectationSummary("no_losses()", False, "1 lost (loss: 1)", 50)],
)


def summary() -> Summary:
    reader = RunReader()
    reader.read(RECORDS[:9])
    reader.read(RECORDS[9:])
    return summarise(FACTS, reader)


def test_events_are_sent_handled_lost_or_in_flight() -> None:
    events = summary().events
    assert (events.sent, events.handled, events.lost, events.in_flight) == (5, 1, 1, 1)
    assert events.lost_by_cause == {"loss": 1}


def test_a_component_has_its_way_and_its_times() -> None:
    (ping,) = summary().components
    assert (ping.workflow, ping.component) == ("game", "ping")
    assert (ping.nodes, ping.moves) == (["edge/10", "edge/9"], 1)
    assert (ping.handled, ping.lost, ping.failures, ping.restarts, ping.fuel) == (1, 1, 1, 1, 20)
    assert ping.latency.p50_ns == ping.latency.max_ns == 15


def test_nodes_are_in_the_order_of_their_numbers() -> None:
    nine, ten = summary().nodes
    assert (nine.node, ten.node) == ("edge/9", "edge/10")
    assert (ten.joined, ten.lost, ten.crashes, ten.instances_started, ten.handled) == (
        1,
        1,
        1,
        1,
        1,
    )


def test_the_table_has_what_people_ask() -> None:
    lines = render(summary(), "table").splitlines()
    assert (
        lines[0] == "component  ran on                  handled  lost  failed    p50    p95    p99"
    )
    assert (
        lines[1] == "game/ping  edge/10 > edge/9 @0.0s        1     1       1  15 ns  15 ns  15 ns"
    )
    assert "events: 5 sent (answers included), 1 handled, 1 lost, 1 in flight" in lines
    assert "time: 2.000 s simulated in 0.50 s (4 x, 2 events/s)" in lines
    assert "FAIL no_losses(): 1 lost (loss: 1)" in lines
    assert lines[-1] == f"digest {'ab' * 16}  edgeless-sim run x --seed 3"


def test_the_table_of_a_real_run_calls_nothing_simulated() -> None:
    reader = RunReader()
    facts = structs.replace(FACTS, world="grpc", begun_ns=500_000_000, command="edgeless-sim")
    *_, time, _, _, last = render(summarise(facts, reader), "table").splitlines()
    assert time == (
        "time: 2.000 s in the world grpc; the cluster was up at 0.500 s, from when the scenario's"
        " times count"
    )
    assert (
        last == f"digest {'ab' * 16}  edgeless-sim  (real time: every run has a digest of its own)"
    )


def test_json_has_stable_keys() -> None:
    keys = json.loads(render(summary(), "json"))
    assert list(keys) == [
        "version",
        "run",
        "records",
        "simulated_s",
        "speed_up",
        "events_per_wall_s",
        "events",
        "components",
        "nodes",
        "faults",
        "faults_total",
    ]
    assert keys["records"] == len(RECORDS)


def test_plain_is_for_programs() -> None:
    assert "expect\tno_losses()\tfail\t1 lost (loss: 1)\n" in render(summary(), "plain")


def test_columns_are_aligned() -> None:
    assert aligned(("a", "n"), [("long", "5"), ("b", "10")], right=[1]) == [
        "a      n",
        "long   5",
        "b     10",
    ]


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1_234, "1.23 us"), (39_500_000, "39.5 ms"), (10**12, "1000 s")],
)
def test_a_duration_is_short(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_logs_know_who_speaks_even_before_the_start_has_returned() -> None:
    entries: list[LogEntry] = []
    LogReader(entries.append).read(RECORDS)
    assert entries == [LogEntry(5, "edge/10", "game", "ping", "info", "ping", "hello")]
    assert log_line(entries[0]) == "[   0.000000s] edge/10 game/ping INFO hello"


def test_a_log_line_commands_no_terminal() -> None:
    entry = LogEntry(1_500_000_000, "n", "w", "c", "warn", "t", "a\x1b[2Jb\r\n")
    assert log_line(entry) == "[   1.500000s] n w/c WARN a\\u001b[2Jb\\u000d"


def test_a_folder_keeps_a_run(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "new" / "out") as folder:
        folder.journal.write(b"[1]\n")
        folder.log(LogEntry(5, "n", "w", "c", "info", "t", "x"))
        folder.finish(summary(), {"edge/0/a/b.log": b"content"})
    out = tmp_path / "new" / "out"
    assert (out / "journal.jsonl").read_bytes() == b"[1]\n"
    assert json.loads((out / "logs.jsonl").read_text())["text"] == "x"
    assert (out / "files/edge/0/a/b.log").read_bytes() == b"content"
    assert json.loads((out / "summary.json").read_text())["run"]["seed"] == 3


def test_a_link_in_the_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    out = tmp_path / "out"
    out.mkdir()
    (out / "files").symlink_to(tmp_path / "precious")
    with RunFolder(out, force=True):
        pass
    assert (tmp_path / "precious" / "file").read_text() == "x"
    assert not (out / "files").exists()


def test_a_file_or_a_device_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RejectedError, match="is a file"), RunFolder(tmp_path / "file"):
        pass
    with (
        pytest.raises((RejectedError, ResourceError), match=r"file|written"),
        RunFolder(tmp_path / "file" / "below"),
    ):
        pass
