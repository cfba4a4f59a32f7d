"""What a frame of ``top`` looks like: columns and rows that fit, whatever the names are."""

from io import StringIO
from typing import Final

import pytest
from msgspec.structs import replace
from rich.console import Console

from edgeless_sim.cli.layout import frame, text
from edgeless_sim.report.snapshot import (
    ComponentRow,
    NetworkRow,
    NodeRow,
    Note,
    PeerRow,
    Snapshot,
    WorkflowRow,
)

MS: Final = 1_000_000
RUN: Final = Snapshot(
    title="node-crash",
    at_s=9.0,
    phase="next: restart_node at 18 s",
    window_s=5.0,
    seed=42,
    speed=20.0,
    nodes=(
        NodeRow("edge/1", "edge", "crashed", 2, 0.0, 0, 0, 3.25, 4.8, 1),
        NodeRow("edge/0", "edge", "alive", 2, 0.426, 12, 3, 1234.5, 0.04, 0),
        NodeRow("cloud/0", "cloud", "cordoned", None, None, 2, 0, 123_456.0, 3.0, 0),
    ),
    nodes_total=5,
    nodes_by_state={"alive": 3, "cordoned": 1, "crashed": 1},
    workflows=(
        WorkflowRow(
            "sensors",
            "edge",
            "degraded",
            "sensor: edge/1 crashed",
            7.2,
            4_470_000,
            25_400_000,
            (
                ComponentRow("sensor", "edge/1", "degraded", "edge/1 crashed", 1.6, 1325, 1341),
                ComponentRow("log", "edge/0", "running", "", 1.6, 4_833_280, 5_700_000),
            ),
            2,
        ),
        WorkflowRow(
            "counting",
            "cloud",
            "running",
            events=3.0,
            p50_ns=151,
            p95_ns=5_420_000,
            components=(ComponentRow("double", "cloud/0", "running", "", 1.0, 151, 151),),
            components_total=1,
        ),
    ),
    workflows_total=2,
    workflows_by_state={"degraded": 1, "running": 1},
    network=NetworkRow(12.2, 10.2, 1, 7, {"nobody listens": 6, "loss": 1}, ("partition a | b",)),
    notes=(
        Note(8.0, "fault", "crash edge/1", 2),
        Note(12.0, "place", "sensors/sensor on edge/2 (RoundRobin: 2 of 2 feasible)"),
    ),
)
AT_60: Final = """\
node-crash  9.000 s  20x  seed 42  rates of 5 s  next: rest…
5 nodes: 3 alive, 1 cordoned, 1 crashed; 2 workflows: 1 deg…

NODE     STATE     USED  INST  QUEUE  IN/S  OUT/S  LOST
edge/1   crashed     0%     0      0   3.2    4.8     1
edge/0   alive      43%    12      3  1234    0.0     0
cloud/0  cordoned     -     2      0  123k    3.0     0
... 2 more nodes

WORKFLOW  ON       STATE     EVENTS/S      P95  REASON
sensors   edge     degraded       7.2  25.4 ms  sensor: edg…
  sensor  edge/1   degraded       1.6  1.34 us  edge/1 cras…
  log     edge/0   running        1.6   5.7 ms
counting  cloud    running        3.0  5.42 ms
  double  cloud/0  running        1.0   151 ns

events/s: 12.2 sent, 10.2 handled; 1 in flight, 7 lost (6 x…
now: partition a | b
     8.000 s  fault    crash edge/1 (2 times)
    12.000 s  place    sensors/sensor on edge/2 (RoundRobin…
"""
AT_80: Final = """\
node-crash  9.000 s  20x  seed 42  rates of 5 s  next: restart_node at 18 s
5 nodes: 3 alive, 1 cordoned, 1 crashed; 2 workflows: 1 degraded, 1 running

NODE     DOMAIN  STATE     CORES  USED  INST  QUEUE  IN/S  OUT/S  LOST
edge/1   edge    crashed       2    0%     0      0   3.2    4.8     1
edge/0   edge    alive         2   43%    12      3  1234    0.0     0
cloud/0  cloud   cordoned      -     -     2      0  123k    3.0     0
... 2 more nodes

WORKFLOW  ON       STATE     EVENTS/S      P50      P95  REASON
sensors   edge     degraded       7.2  4.47 ms  25.4 ms  sensor: edge/1 crashed
  sensor  edge/1   degraded       1.6  1.32 us  1.34 us  edge/1 crashed
  log     edge/0   running        1.6  4.83 ms   5.7 ms
counting  cloud    running        3.0   151 ns  5.42 ms
  double  cloud/0  running        1.0   151 ns   151 ns

events/s: 12.2 sent, 10.2 handled; 1 in flight, 7 lost (6 x nobody listens, 1 x…
now: partition a | b
     8.000 s  fault    crash edge/1 (2 times)
    12.000 s  place    sensors/sensor on edge/2 (RoundRobin: 2 of 2 feasible)
"""
AT_120: Final = AT_80.replace("1 x…", "1 x loss)")


@pytest.mark.parametrize(
    ("width", "expected"), [(60, AT_60), (80, AT_80), (120, AT_120), (200, AT_120)]
)
def test_what_is_shown_at_a_width(width: int, expected: str) -> None:
    assert text(RUN, width) == expected


@pytest.mark.parametrize("width", [*range(20, 140, 7), 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, text(RUN, width).splitlines())) <= width


def heads(width: int) -> list[str]:
    lines = text(RUN, width).splitlines()
    return [line for line in lines if line.startswith(("NODE", "WORKFLOW"))]


def test_columns_go_in_the_order_of_their_importance() -> None:
    assert [head.split() for head in heads(38)] == [
        ["NODE", "STATE", "USED", "INST", "IN/S"],
        ["WORKFLOW", "ON", "STATE", "EVENTS/S"],
    ]
    assert [head.split() for head in heads(24)] == [
        ["NODE", "STATE", "INST"],
        ["WORKFLOW", "STATE"],
    ]


def lines(snapshot: Snapshot, width: int, height: int) -> list[str]:
    console = Console(file=StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(frame(snapshot, width, height))
    return captured.get().splitlines()


BIG: Final = replace(
    RUN,
    nodes=tuple(NodeRow(f"edge/{number}", "edge", "alive") for number in range(100)),
    nodes_total=10_000,
    workflows=RUN.workflows * 40,
    workflows_total=500,
    notes=RUN.notes * 10,
)


@pytest.mark.parametrize("height", [18, 24, 30, 50, 100])
def test_a_frame_is_no_higher_than_the_terminal(height: int) -> None:
    shown = lines(BIG, 80, height)
    assert len(shown) <= height
    # And hardly lower, where there is more to show.
    assert len(shown) >= height - 3
    nodes = sum(line.startswith("edge/") for line in shown)
    assert f"... {10_000 - nodes} more nodes" in [line.rstrip() for line in shown]


def test_what_one_table_does_not_need_the_other_one_gets() -> None:
    few = replace(BIG, nodes=BIG.nodes[:2], nodes_total=2)
    assert sum("more workflows" in line for line in lines(few, 80, 50)) == 1
    assert len(lines(few, 80, 50)) >= 47
    few = replace(BIG, workflows=BIG.workflows[:1], workflows_total=1)
    assert len(lines(few, 80, 50)) >= 46


def test_what_is_cut_off_is_counted() -> None:
    shown = [line.rstrip() for line in lines(BIG, 80, 30)]
    (cut,) = (line for line in shown if line.endswith("more workflows"))
    begun = sum(line.startswith(("sensors", "counting")) for line in shown)
    assert cut.endswith(f"{500 - begun} more workflows")


def test_a_name_commands_no_terminal_and_means_no_markup() -> None:
    evil = replace(RUN.nodes[0], name="[red]\x1b[31mx", state="\x07alive")
    shown = text(replace(RUN, title="[bold]t\x1b[0m", nodes=(evil,)), 120)
    assert "[red]\\u001b[31mx" in shown
    assert "[bold]t\\u001b[0m" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_wide_characters_count_as_what_they_take() -> None:
    wide = replace(RUN.nodes[0], name="节点/0")
    line = next(x for x in text(replace(RUN, nodes=(wide,)), 120).splitlines() if "节" in x)
    assert line.startswith("节点/0  edge")


def test_what_a_deployment_does_not_tell_has_no_column() -> None:
    deployment = Snapshot(
        title="deployment of http://10.0.0.1:7001",
        at_s=1_800_000_000.0,
        phase="1 of 2 say nothing",
        window_s=10.0,
        nodes=(NodeRow("node-1", "d", "alive", 4, 0.5, 3),),
        nodes_total=1,
        nodes_by_state={"alive": 1},
        peers=(
            PeerRow("ε-CON", "http://10.0.0.1:7001", "answers", "domains d (1 nodes)"),
            PeerRow("ε-ORC", "http://10.0.0.2:7003", "does not answer", "connection refused"),
        ),
    )
    assert (
        text(deployment, 100)
        == """\
deployment of http://10.0.0.1:7001  rates of 10 s  1 of 2 say nothing
1 node: 1 alive; 0 workflows
the ε-CON at http://10.0.0.1:7001 answers: domains d (1 nodes)
the ε-ORC at http://10.0.0.2:7003 does not answer: connection refused

NODE    DOMAIN  STATE  CORES  USED  INST
node-1  d       alive      4   50%     3
"""
    )


def test_colours_are_for_terminals_that_want_them() -> None:
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system="standard")
    with console.capture() as captured:
        console.print(frame(RUN, 80))
    assert "\x1b[1;31mcrashed" in captured.get()
    assert "\x1b" not in text(RUN, 80)
