"""A run as it is now, from records written by hand: rates, states, what is forgotten."""

from collections.abc import Iterable

import pytest

from edgeless_sim.kernel.journal import Record
from edgeless_sim.report.live import LiveReader
from edgeless_sim.report.snapshot import NodeRow, Snapshot, WorkflowRow, plain_lines
from edgeless_sim.report.window import SLOTS

S = 1_000_000_000
MS = 1_000_000
WINDOW = 10 * S
#: Two nodes and a workflow of two components, both on edge/0.
BEGINNING: list[Record] = [
    (0, "def", 0, "node", "edge/0"),
    (0, "state", 0, "joined", ""),
    (0, "def", 1, "node", "edge/1"),
    (0, "state", 1, "joined", ""),
    (0, "def", 2, "domain", "edge"),
    (0, "def", 3, "workflow", "wf-id"),
    (0, "def", 4, "component", "wf-id/ping"),
    (0, "place", 4, 2, "game/ping: 1 of 1 domains feasible"),
    (0, "def", 5, "component", "wf-id/pong"),
    (0, "place", 5, 2, "game/pong: 1 of 1 domains feasible"),
    (1, "place", 4, 0, "RoundRobin: 2 of 2 feasible"),
    (1, "place", 5, 0, "RoundRobin: 2 of 2 feasible"),
    (2, "start", 10, 4, 0),
    (2, "start", 11, 5, 0),
    (3, "state", 3, "started", "game in edge"),
]


def cast(serial: int, at_ns: int, *, waited_ns: int = 5 * MS, took_ns: int = MS) -> list[Record]:
    """ping casts to pong, which handles it."""
    arrived_ns = at_ns + waited_ns
    return [
        (at_ns, "send", serial, 10, 11, 0, 5),
        (arrived_ns, "recv", serial, 11),
        (arrived_ns, "begin", serial, 11, 1, waited_ns),
        (arrived_ns + took_ns, "end", serial, 11, 7, took_ns, "ok"),
    ]


def casts(first: int, at_ns: Iterable[int]) -> list[Record]:
    return [record for place, ns in enumerate(at_ns) for record in cast(first + place, ns)]


def reader(*more: Record, beginning: list[Record] = BEGINNING) -> LiveReader:
    made = LiveReader(WINDOW, cores={"edge/0": 2, "edge/1": 2})
    made.read([*beginning, *more])
    return made


def at(live: LiveReader, now_ns: int, rows: int = 10) -> Snapshot:
    return live.snapshot(now_ns, title="x", nodes_max=rows, workflows_max=rows)


def node(snapshot: Snapshot, name: str) -> NodeRow:
    (found,) = (row for row in snapshot.nodes if row.name == name)
    return found


def workflow(snapshot: Snapshot) -> WorkflowRow:
    (found,) = snapshot.workflows
    return found


def test_rates_and_durations_are_those_of_the_window() -> None:
    live = reader(*casts(1, range(0, 20 * S, S // 2)))
    shown = at(live, 20 * S)
    assert shown.window_s == 10
    assert (node(shown, "edge/0").events_in, node(shown, "edge/0").events_out) == (2.0, 2.0)
    # 20 handlers of 1 ms in 10 s, on two cores.
    assert node(shown, "edge/0").utilisation == pytest.approx(0.001)
    game = workflow(shown)
    assert (game.name, game.domain, game.events) == ("game", "edge", 2.0)
    ping, pong = game.components
    assert (ping.events, ping.p50_ns) == (0.0, None)
    assert pong.events == 2.0
    # From being sent to the end of the handler.
    assert pong.p50_ns == pytest.approx(6 * MS, rel=0.01)
    assert shown.network is not None
    assert (shown.network.sent, shown.network.handled) == (2.0, 2.0)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    live = reader(*casts(1, range(0, 5 * S, S)))
    assert workflow(at(live, 5 * S)).events == 1.0
    # Half of it: the window is the time from 2 s to 12 s.
    assert workflow(at(live, 12 * S)).events == pytest.approx(0.3)
    assert workflow(at(live, 15 * S)).events == 0.0
    assert workflow(at(live, 3600 * S)).p50_ns is None


def test_a_long_silence_forgets_as_many_short_ones_do() -> None:
    at_once = reader(*casts(1, range(0, 5 * S, S)))
    at_once.advance(13 * S)
    step_by_step = reader(*casts(1, range(0, 5 * S, S)))
    for ns in range(5 * S, 14 * S, S):
        step_by_step.advance(ns)
    assert at(at_once, 13 * S) == at(step_by_step, 13 * S)


def test_the_batches_in_which_records_come_do_not_matter() -> None:
    records = [*BEGINNING, *casts(1, range(0, 30 * S, S // 3))]
    one_by_one = LiveReader(WINDOW)
    for record in records:
        one_by_one.read([record])
    all_at_once = LiveReader(WINDOW)
    all_at_once.read(records)
    assert at(one_by_one, 30 * S) == at(all_at_once, 30 * S)


def test_a_record_that_comes_late_stops_nothing() -> None:
    live = reader(*cast(1, 11 * S), (9 * S, "fault", "crash", "edge/1"), *cast(2, 40 * S))
    assert node(at(live, 41 * S), "edge/1").state == "crashed"


def test_quantiles_are_of_all_components_together_and_of_each() -> None:
    slow = [cast(serial, serial * 100 * MS, waited_ns=50 * MS) for serial in range(1, 7)]
    # ping casts to itself.
    quick = [
        [
            (ns, "send", ns, 10, 10, 0, 5),
            (ns, "recv", ns, 10),
            (ns, "begin", ns, 10, 1, 0),
            (ns + MS, "end", ns, 10, 7, MS, "ok"),
        ]
        for ns in range(S, 5 * S, 100 * MS)
    ]
    live = reader(*(record for each in (*slow, *quick) for record in each))
    game = workflow(at(live, 10 * S))
    ping, pong = game.components
    assert (ping.p50_ns, ping.p95_ns) == (MS, MS)
    assert (pong.p50_ns, pong.p95_ns) == (51 * MS, 51 * MS)
    # 40 quick ones and 6 slow ones.
    assert game.p50_ns == pytest.approx(MS, rel=0.01)
    assert game.p95_ns == pytest.approx(51 * MS, rel=0.01)


def test_events_wait_at_a_node_from_their_arrival_to_their_beginning() -> None:
    sent, arrived, begun, ended = cast(1, S)
    live = reader(sent)
    assert node(at(live, S), "edge/0").queue == 0
    live.read([arrived])
    shown = at(live, S)
    assert node(shown, "edge/0").queue == 1
    assert shown.network is not None
    assert shown.network.in_flight == 1
    live.read([begun])
    assert node(at(live, S), "edge/0").queue == 0
    live.read([ended])
    shown = at(live, S)
    assert shown.network is not None
    assert shown.network.in_flight == 0


def test_a_lost_event_waits_no_more_and_counts_where_it_was_lost() -> None:
    sent, arrived, *_ = cast(1, S)
    live = reader(sent, arrived, (2 * S, "drop", 1, 11, "the node crashed"))
    shown = at(live, 2 * S)
    assert (node(shown, "edge/0").queue, node(shown, "edge/0").drops) == (0, 1)
    assert shown.network is not None
    assert shown.network.lost_by_cause == {"the node crashed": 1}
    assert shown.network.in_flight == 0


def test_an_answer_is_neither_waited_for_nor_handled() -> None:
    live = reader((S, "send", 1, 10, 11, 2, 5), (2 * S, "recv", 1, 11))
    shown = at(live, 3 * S)
    assert node(shown, "edge/0").queue == 0
    assert node(shown, "edge/0").events_in == pytest.approx(1 / 3)
    assert workflow(shown).events == 0.0
    assert shown.network is not None
    assert shown.network.in_flight == 0


def test_a_crash_takes_the_instances_and_a_new_place_brings_them_back() -> None:
    live = reader((20 * S, "fault", "crash", "edge/0"))
    shown = at(live, 20 * S)
    assert (node(shown, "edge/0").state, node(shown, "edge/0").instances) == ("crashed", 0)
    assert shown.nodes_by_state == {"alive": 1, "crashed": 1}
    assert (workflow(shown).state, workflow(shown).reason) == ("degraded", "ping: edge/0 crashed")

    live.read(
        [
            (24 * S, "state", 0, "lost", "no refresh before its deadline"),
            (24 * S, "place", 4, 1, "RoundRobin: 1 of 1 feasible"),
            (24 * S, "place", 5, 1, "RoundRobin: 1 of 1 feasible"),
        ]
    )
    shown = at(live, 24 * S)
    # What is known of it is worse than what the ε-ORC thinks.
    assert node(shown, "edge/0").state == "crashed"
    assert (workflow(shown).state, workflow(shown).reason) == ("pending", "ping: placed on edge/1")

    live.read([(25 * S, "start", 12, 4, 1), (25 * S, "start", 13, 5, 1)])
    shown = at(live, 25 * S)
    assert workflow(shown).state == "running"
    assert [each.node for each in workflow(shown).components] == ["edge/1", "edge/1"]
    assert node(shown, "edge/1").instances == 2

    live.read([(30 * S, "fault", "restart", "edge/0")])
    assert node(at(live, 30 * S), "edge/0").state == "joining"
    live.read([(31 * S, "state", 0, "joined", "")])
    assert node(at(live, 31 * S), "edge/0").state == "alive"


def test_a_node_that_only_the_orchestrator_misses_is_unreachable_and_works_on() -> None:
    shown = at(reader((20 * S, "state", 0, "lost", "silent")), 20 * S)
    assert (node(shown, "edge/0").state, node(shown, "edge/0").instances) == ("unreachable", 2)
    assert workflow(shown).state == "running"


def test_a_cordoned_node_is_shown_as_such_while_it_lives() -> None:
    live = reader((S, "state", 1, "cordoned", ""))
    assert node(at(live, S), "edge/1").state == "cordoned"
    live.read([(2 * S, "fault", "stop", "edge/1")])
    assert node(at(live, 2 * S), "edge/1").state == "stopped"
    live.read([(3 * S, "state", 1, "joined", ""), (3 * S, "state", 1, "uncordoned", "")])
    assert node(at(live, 3 * S), "edge/1").state == "alive"


def test_a_function_that_fails_degrades_its_workflow_until_it_is_restarted() -> None:
    live = reader((S, "state", 11, "backoff", "trap: unreachable; restart in 2 s"))
    game = workflow(at(live, S))
    assert game.state == "degraded"
    assert game.reason == "pong: backoff: trap: unreachable; restart in 2 s"
    live.read([(3 * S, "state", 11, "restarted", "")])
    assert workflow(at(live, 3 * S)).state == "running"


def test_a_component_without_a_place_says_why() -> None:
    live = reader(
        (S, "fault", "crash", "edge/0"), (2 * S, "state", 4, "pending", "no node is feasible")
    )
    components = workflow(at(live, 2 * S)).components
    assert (components[0].state, components[0].reason) == ("pending", "no node is feasible")


def test_an_orphan_has_no_domain_until_it_is_deployed_again() -> None:
    live = reader((S, "state", 3, "orphan", "domain edge was lost"))
    game = workflow(at(live, S))
    assert (game.state, game.domain, game.reason) == ("orphan", "", "domain edge was lost")
    live.read([(2 * S, "state", 3, "redeployed", "")])
    assert workflow(at(live, 2 * S)).state == "running"


def test_a_workflow_may_be_in_several_domains() -> None:
    live = reader((S, "def", 30, "domain", "cloud"), (S, "place", 5, 30, "game/pong: migrated"))
    assert workflow(at(live, S)).domain == "cloud, edge"


def test_what_joined_domains_goes_when_a_workflow_is_deployed_anew() -> None:
    live = reader(
        (5, "def", 20, "component", "wf-id/portal-1-sink-local"),
        (5, "place", 4, 2, "game/ping: divided"),
        (5, "place", 5, 2, "game/pong: divided"),
        (5, "place", 20, 2, "game/portal-1-sink-local: divided"),
        (6, "start", 21, 20, 0),
        (7, "state", 3, "migrated", "game in edge, hub"),
        # An attempt that fails, and one that does not; the old half ends between them.
        (8, "def", 22, "component", "wf-id/portal-2-sink-local"),
        (8, "place", 22, 2, "game/portal-2-sink-local: divided"),
        (9, "def", 23, "component", "wf-id/portal-3-sink-local"),
        (9, "place", 4, 2, "game/ping: divided"),
        (9, "place", 5, 2, "game/pong: divided"),
        (9, "place", 23, 2, "game/portal-3-sink-local: divided"),
        (10, "start", 24, 23, 1),
    )
    halves = [f"portal-{number}-sink-local" for number in (1, 2, 3)]
    assert [x.name for x in workflow(at(live, S)).components] == ["ping", "pong", *halves]
    live.read([(11, "state", 3, "redeployed", "game in edge, hub")])
    assert [x.name for x in workflow(at(live, S)).components[2:]] == [halves[0], halves[2]]
    live.read([(12, "stop", 21, "stopped")])
    assert [x.name for x in workflow(at(live, S)).components[2:]] == [halves[2]]
    live.read([(13, "stop", 24, "stopped")])
    assert len(workflow(at(live, S)).components) == 3


def test_a_stopped_workflow_is_forgotten_with_all_that_belonged_to_it() -> None:
    live = reader(
        *cast(1, S),
        (2 * S, "state", 3, "stopped", ""),
        (3 * S, "stop", 10, "stopped"),
        (3 * S, "stop", 11, "stopped"),
        (3 * S, "state", 3, "unnamed", "game"),
    )
    shown = at(live, 4 * S)
    assert (shown.workflows, shown.workflows_total) == ((), 0)
    # What it did, it did.
    assert shown.network is not None
    assert shown.network.handled == 0.25
    assert node(shown, "edge/0").instances == 0
    # An event that comes too late is still its node's loss.
    live.read([(5 * S, "send", 2, 10, 11, 0, 5), (5 * S, "drop", 2, 11, "nobody listens")])
    assert node(at(live, 5 * S), "edge/0").drops == 1


def test_memory_does_not_grow_with_workflows_that_have_come_and_gone() -> None:
    live = LiveReader(WINDOW)
    live.read([(0, "def", 0, "node", "edge/0"), (0, "state", 0, "joined", "")])

    def life(number: int) -> list[Record]:
        workflow, component, instance = 3 * number, 3 * number + 1, 3 * number + 2
        ns = number * MS
        return [
            (ns, "def", workflow, "workflow", f"id-{number}"),
            (ns, "def", component, "component", f"id-{number}/f"),
            (ns, "def", instance, "instance", f"{number:064x}"),
            (ns, "start", instance, component, 0),
            (ns, "send", number, instance, instance, 0, 5),
            (ns, "recv", number, instance),
            (ns, "begin", number, instance, 1, 0),
            (ns, "end", number, instance, 1, 10, "ok"),
            (ns, "state", workflow, "stopped", ""),
            (ns, "stop", instance, "stopped"),
        ]

    def kept() -> int:
        scene = live._scene
        workflows = len(scene.workflows) + len(scene.workflow_numbers) + len(scene.components)
        return workflows + len(scene.instances) + len(scene._gone) + len(live._open)

    for number in range(1, 12_000):
        live.read(life(number))
    before = kept()
    for number in range(12_000, 16_000):
        live.read(life(number))
    assert kept() <= before
    assert at(live, 17 * S).workflows_total == 0


def test_faults_of_the_network_are_shown_until_they_are_healed() -> None:
    live = reader(
        (S, "fault", "partition #1", "edge/0 | edge/1"),
        (S, "fault", "loss 10% #2", "all | others"),
        (S, "fault", "crash", "orc/edge"),
    )
    network = at(live, S).network
    assert network is not None
    assert network.faults == (
        "partition edge/0 | edge/1",
        "loss 10% all | others",
        "orc/edge crashed",
    )
    live.read(
        [(2 * S, "fault", "heal #1", "edge/0 | edge/1"), (2 * S, "fault", "restart", "orc/edge")]
    )
    network = at(live, 2 * S).network
    assert network is not None
    assert network.faults == ("loss 10% all | others",)


def test_the_rows_with_trouble_come_first_and_then_those_with_load() -> None:
    nodes = [(0, "def", number, "node", f"edge/{number - 20}") for number in range(20, 26)]
    joined = [(0, "state", number, "joined", "") for number in range(20, 26)]
    beginning: list[Record] = [
        *nodes,
        *joined,
        (0, "def", 4, "component", "wf-id/f"),
        (0, "start", 10, 4, 23),
        (0, "start", 11, 4, 21),
    ]
    live = reader(*cast(1, S), (2 * S, "fault", "crash", "edge/5"), beginning=beginning)
    shown = at(live, 3 * S, rows=3)
    assert [row.name for row in shown.nodes] == ["edge/5", "edge/1", "edge/0"]
    assert shown.nodes_total == 6


def test_each_tenth_of_the_window_is_told_when_all_before_it_was_read() -> None:
    told: list[tuple[int, float | None]] = []
    live = LiveReader(WINDOW, on_slot=lambda ns: told.append((ns, workflow(at(live, ns)).events)))
    live.read([*BEGINNING, *casts(1, range(0, 5 * S, S // 2)), *cast(99, 12 * S)])
    assert [ns for ns, _ in told] == [slot * S for slot in range(1, SLOTS + 3)]
    assert dict(told)[5 * S] == 2.0
    assert dict(told)[10 * S] == 1.0


def test_the_last_notes_say_what_happened_and_why() -> None:
    live = reader((S, "fault", "crash", "edge/1"), (2 * S, "state", 1, "lost", "silent"))
    assert [(note.at_s, note.what, note.text) for note in at(live, 2 * S).notes[-2:]] == [
        (1.0, "fault", "crash edge/1"),
        (2.0, "node", "edge/1 lost: silent"),
    ]
    live.read([((3 + place) * S, "fault", "crash", "con") for place in range(3)])
    last = at(live, 5 * S).notes[-1]
    assert (last.at_s, last.text, last.times) == (5.0, "crash con", 3)
    live.read([(6 * S, "fault", "crash", f"edge/{place}") for place in range(1000)])
    assert len(at(live, 6 * S).notes) == 50


def test_plain_lines_have_one_fact_each_and_escape_what_would_break_them() -> None:
    live = reader(*cast(1, S), (2 * S, "state", 3, "named", "a\tb\x1b[31m"))
    lines = plain_lines(at(live, 2 * S))
    assert "node\tedge/0\tstate\talive" in lines
    assert "component\ta\\u0009b\\u001b[31m/pong\tevents\t0.500" in lines
    assert not any("\x1b" in line for line in lines)
