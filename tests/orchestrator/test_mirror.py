"""What an ε-ORC shows of its domain to whoever asks (spec 7.1; defects U33; reliability S18)."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.api.clients import DomainMirrorClient
from edgeless_sim.api.messages import MirrorPart, MirrorQuery
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.kernel.clock import EPOCH
from edgeless_sim.model.ids import FunctionId, InstanceId, LogicalId, NodeId
from edgeless_sim.model.intent import Cordon
from edgeless_sim.model.mirror import LAST_UPDATES, Point
from edgeless_sim.model.node import (
    INVALID_HEALTH,
    FunctionLogEntry,
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)
from edgeless_sim.orchestrator.mirror import GC_PERIOD_S, HEALTH_MAX
from edgeless_sim.orchestrator.mirror_service import PAGE_BYTES_MAX, PAGE_ROWS_MAX
from edgeless_sim.orchestrator.series import OTHER, SERIES_PER_INSTANCE_MAX, SeriesStore
from edgeless_transports import Address, MemoryTransport

LID = LogicalId(UUID(int=1))
NODES, COMPONENTS, SERIES = MirrorPart.NODES, MirrorPart.COMPONENTS, MirrorPart.SERIES


def instance(function: int, node: int = 1) -> InstanceId:
    return InstanceId(NodeId(UUID(int=node)), FunctionId(UUID(int=function)))


async def shown_of(world: Any, part: MirrorPart, **query: Any) -> tuple[Any, ...]:
    """A part of the mirror, all pages of it."""
    rows: list[Any] = []
    after = ""
    while True:
        page = await world.mirror.mirror(MirrorQuery(part, after, **query))
        rows += getattr(page.mirror, part.value)
        after = page.next
        if not after:
            return tuple(rows)


def unix_s(world: Any) -> float:
    return EPOCH.timestamp() + float(world.scheduler.now_ns()) / 1e9


def test_nodes_are_shown_with_capabilities_providers_and_health(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2, resources=("rc-1",), labels=("lab",))
        shown = await shown_of(world, NODES)
        assert [each.name for each in shown] == ["edge/0", "edge/1"]
        assert [each.node_id for each in shown] == [node.node_id for node in nodes]
        assert shown[0].capabilities == nodes[0].capabilities
        assert shown[0].providers == nodes[0].providers
        assert [sample.health for sample in shown[0].health] == [INVALID_HEALTH]

    play(story)


def test_the_time_of_the_last_health_is_that_of_the_last_refresh_even_without_news(
    play: Any,
) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.clock.sleep(30.5)
        assert world.orchestrator._register.refreshes_total > 20
        ((sample,),) = [each.health for each in await shown_of(world, NODES)]
        assert unix_s(world) - sample.time_s == pytest.approx(0.5, abs=0.1)
        node.crash()
        await world.clock.sleep(2.5)
        ((silent,),) = [each.health for each in await shown_of(world, NODES)]
        assert silent == sample

    play(story)


def test_different_healths_are_kept_the_newest_of_them_and_not_too_old_ones(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        for load in range(HEALTH_MAX + 20):
            node.send_refresh(health_status=NodeHealthStatus(proc_cpu_usage=load))
            await world.clock.sleep(0.1)
        (shown,) = await shown_of(world, NODES)
        loads = [each.health.proc_cpu_usage for each in shown.health if each.health.mem_free >= 0]
        assert len(shown.health) == HEALTH_MAX
        assert loads == sorted(loads)
        assert loads[-1] == HEALTH_MAX + 19
        since_s = unix_s(world) - 1
        (lately,) = await shown_of(world, NODES, since_s=since_s)
        assert 1 < len(lately.health) < HEALTH_MAX
        assert all(sample.time_s >= since_s for sample in lately.health)
        await world.clock.sleep(GC_PERIOD_S)
        (after,) = await shown_of(world, NODES)
        assert [each.health for each in after.health] == [INVALID_HEALTH]

    play(story)


def test_a_health_that_comes_back_is_kept_again(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.alive = False
        for load in (5, 7, 5):
            node.send_refresh(health_status=NodeHealthStatus(proc_cpu_usage=load))
            await world.clock.sleep(0.1)
        (shown,) = await shown_of(world, NODES)
        assert [each.health.proc_cpu_usage for each in shown.health][-3:] == [5, 7, 5]
        times = [each.time_s for each in shown.health]
        assert times == sorted(set(times))

    play(story)


def test_a_node_that_has_gone_is_shown_no_more(play: Any) -> None:
    async def story(world: Any) -> None:
        nodes = await world.nodes(2)
        nodes[0].crash()
        await world.clock.sleep(10)
        assert [each.name for each in await shown_of(world, NODES)] == ["edge/1"]
        assert list(world.orchestrator._mirror._health) == [nodes[1].node_id]

    play(story)


def test_components_are_shown_with_request_instances_and_outputs_but_without_code(
    play: Any,
) -> None:
    async def story(world: Any) -> None:
        await world.node(0, resources=("rc-1",))
        await world.function(1, {"out": 2}, {"key": "value"})
        await world.resource(2, colour="blue")
        await world.settled()
        function, resource = await shown_of(world, COMPONENTS)
        assert function.logical_id == LID
        assert function.function.code.id == "fc-1"
        assert function.function.code.binary is None
        assert function.function.annotations == {"key": "value"}
        assert function.resource is None
        assert function.instances == (world.component(1).instance,)
        assert function.outputs == {"out": LogicalId(UUID(int=2))}
        assert resource.resource.configuration == {"colour": "blue"}
        assert resource.function is None
        await world.stop(1)
        assert await shown_of(world, COMPONENTS) == (resource,)

    play(story)


def test_a_component_without_a_node_is_shown_without_an_instance(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        node.crash()
        await world.clock.sleep(10)
        (shown,) = await shown_of(world, COMPONENTS)
        assert shown.instances == ()

    play(story)


def test_last_updates_say_when_each_part_changed(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        await world.clock.sleep(1.5)
        await world.function(1)
        await world.clock.sleep(2)
        page = await world.mirror.mirror(MirrorQuery(NODES))
        nodes_s, providers_s, instances_s, dependencies_s = (
            page.mirror.last_updates[part] for part in LAST_UPDATES
        )
        assert nodes_s == providers_s < instances_s == dependencies_s < unix_s(world)
        await world.patch(1, {"out": 1})
        await world.clock.sleep(2)
        later = (await world.mirror.mirror(MirrorQuery(NODES))).mirror.last_updates
        assert later["dependency"] > dependencies_s
        assert later["instance"] == instances_s

    play(story)


def test_many_components_come_in_pages_that_follow_one_another(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        numbers = [*range(1_201, 2_401), *range(1, 1_201)]
        for number in numbers:
            await world.function(number)
        first = await world.mirror.mirror(MirrorQuery(COMPONENTS))
        count = len(first.mirror.components)
        assert PAGE_ROWS_MAX / 2 < count <= PAGE_ROWS_MAX
        # What comes and goes between two pages does not move the others.
        await world.stop(1)
        rest: list[int] = []
        after = first.next
        while after:
            page = await world.mirror.mirror(MirrorQuery(COMPONENTS, after))
            rest += [each.logical_id.int for each in page.mirror.components]
            after = page.next
        assert [each.logical_id.int for each in first.mirror.components] == list(
            range(1, count + 1)
        )
        assert rest == list(range(count + 1, 2_401))

    play(story)


def test_a_page_of_large_components_is_cut_by_its_size(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        for number in range(1, 11):
            await world.function(number, annotations={"large": "x" * (PAGE_BYTES_MAX // 2)})
        first = await world.mirror.mirror(MirrorQuery(COMPONENTS))
        assert len(first.mirror.components) == 2
        assert len(await shown_of(world, COMPONENTS)) == 10

    play(story)


@pytest.mark.parametrize("part", MirrorPart)
def test_a_page_that_was_never_promised_is_refused(play: Any, part: MirrorPart) -> None:
    async def story(world: Any) -> None:
        refused = await world.refused(world.mirror.mirror(MirrorQuery(part, "nonsense")))
        assert (refused.summary, refused.detail) == ("unknown page", "after: 'nonsense' is no id")

    play(story)


def test_measurements_and_log_lines_become_series(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        pid = FunctionId(UUID(int=7))
        took = (Sample(100, 500_000_000, 0.25), Sample(101, 0, float("nan")))
        logs = (
            FunctionLogEntry(100, 0, "a::b", "one: two"),
            FunctionLogEntry(101, 0, "function_execution_time", "9"),
        )
        node.send_refresh(
            performance_samples=NodePerformanceSamples(
                function_execution_times={pid: took}, function_log_entries={pid: logs}
            )
        )
        await world.settled()
        shown = await shown_of(world, SERIES)
        assert {series.instance for series in shown} == {InstanceId(node.node_id, pid)}
        assert [(series.name, series.points) for series in shown] == [
            ("a::b", (Point(100, "one: two"),)),
            ("function_execution_time", (Point(100.5, 0.25),)),
            ("function_execution_time log", (Point(101, "9"),)),
        ]
        assert await shown_of(world, SERIES, since_s=200) == ()
        await world.clock.sleep(GC_PERIOD_S + 2)
        assert await shown_of(world, SERIES) == ()

    play(story)


def test_an_instance_with_a_thousand_log_targets_has_64_series() -> None:
    store = SeriesStore()
    for number in range(1_000):
        store.add(instance(1), f"target-{number:04}", Point(number, "line"), 0.0)
    shown = list(store.after(None))
    assert len(shown) == SERIES_PER_INSTANCE_MAX
    (other,) = [series for series in shown if series.name == OTHER]
    assert len(other.points) == 1_000 - SERIES_PER_INSTANCE_MAX + 1


def test_a_domain_without_room_for_a_series_counts_what_it_refuses() -> None:
    store = SeriesStore(series_max=2)
    for function in range(4):
        store.add(instance(function), "metric", Point(1.0, 1.0), float(function))
    assert [series.instance for series in store.after(None)] == [instance(0), instance(1)]
    assert store.refused_total == 2
    store.expire(1.0)
    store.add(instance(9), "metric", Point(1.0, 1.0), 9.0)
    assert [series.instance for series in store.after(None)] == [instance(1), instance(9)]


def test_series_keep_the_newest_and_long_lines_count_more() -> None:
    store = SeriesStore()
    for number in range(5_000):
        store.add(instance(1), "metric", Point(number, 1.0), 0.0)
        store.add(instance(1), "log", Point(number, "x" * 640), 0.0)
    log, metric = store.after(None)
    assert [point.time_s for point in metric.points] == list(range(4_000, 5_000))
    assert log.points[-1].time_s == 4_999
    assert len(log.points) == 1_000 // 11


def test_all_series_together_have_a_bound_as_well() -> None:
    store = SeriesStore(weight_total_max=100)
    for number in range(60):
        store.add(instance(1), "a", Point(number, 1.0), 0.0)
        store.add(instance(1), "b", Point(number, 1.0), 0.0)
    assert [len(series.points) for series in store.after(None)] == [50, 50]
    assert all(series.points[-1].time_s == 59 for series in store.after(None))


@pytest.mark.parametrize("url", ["http://127.0.0.1:7011", "tcp://127.0.0.1:7011"])
def test_the_mirror_is_the_same_on_every_wire(play: Any, url: str) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.function(1, {"out": 2}, {"key": "value"})
        await world.resource(2)
        node.send_refresh(
            performance_samples=NodePerformanceSamples(
                function_log_entries={
                    FunctionId(UUID(int=7)): (FunctionLogEntry(1, 0, "t", "line"),)
                }
            )
        )
        await world.settled()
        orchestrator = world.orchestrator
        orchestrator._wires = Wires(Role.ORCHESTRATOR)
        transport = MemoryTransport(world.scheduler, world.network, "orc/other-door")
        transport.attach(Address("memory", "orc/other-door"), orchestrator.handler_for(url))
        wire = Wires(Role.CLIENT).calling(url)
        other = DomainMirrorClient(world.connection("con", "orc/other-door"), wire)
        for part in MirrorPart:
            page, same = (
                await world.mirror.mirror(MirrorQuery(part)),
                await other.mirror(MirrorQuery(part)),
            )
            assert getattr(page.mirror, part.value), part
            assert msgspec.to_builtins(same) == msgspec.to_builtins(page)
        await other.submit(Cordon(node.node_id))
        await world.clock.sleep(1.1)
        assert (await other.mirror(MirrorQuery(NODES))).mirror.nodes[0].cordoned

    play(story)
