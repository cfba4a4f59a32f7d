"""Lost requests, lost replies and hung domains (cases U36, U37, F43, F44)."""

from typing import Any
from uuid import UUID

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import LogicalId
from edgeless_transports.rules import between, latency, loss


def test_a_start_whose_reply_is_lost_leaves_no_second_copy(play: Any) -> None:
    async def story(world: Any) -> None:
        edge, lab = await world.domain("edge"), await world.domain("lab")
        edge.mute.add("start_function")
        lab.mute.add("start_function")
        error = await world.refused(world.start("f"))
        assert "did not answer" in (error.detail or "")
        edge.mute.clear()
        lab.mute.clear()
        await world.sleep(60)
        assert (edge.running, lab.running) == ({}, {})

    play(story)


def test_a_stop_whose_reply_is_lost_is_repeated_until_the_domain_reports_it_gone(
    play: Any,
) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        status = await world.start("f")
        edge.hung = True
        await world.client.stop(status.workflow_id)
        await world.sleep(30)
        assert edge.names() == ["f"]
        edge.hung = False
        await world.sleep(40)
        assert edge.running == {}
        before = len(edge.stops())
        await world.sleep(120)
        assert len(edge.stops()) == before

    play(story)


def test_a_component_that_vanished_is_started_again_under_its_logical_id(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        status = await world.start("f", "g")
        await world.sleep(10)
        lid = status.mapping[1].logical_id
        del edge.running[lid]
        await world.sleep(5)
        assert edge.running[lid].name == "g"
        assert edge.starts() == ["f", "g", "g"]

    play(story)


def test_a_component_that_nobody_wants_is_stopped_whatever_its_kind(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        await world.start("f", resources=("r",))
        function, resource = (request for _, request in edge.told)
        edge.running[LogicalId(UUID(int=1))] = function
        edge.running[LogicalId(UUID(int=2))] = resource
        await world.sleep(10)
        assert edge.names() == ["f", "r"]

    play(story)


def test_a_late_copy_of_a_start_is_undone(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        status = await world.start("f")
        (_, request) = edge.told[0]
        await world.client.stop(status.workflow_id)
        await world.sleep(10)
        await edge.start_function(request)
        await world.sleep(10)
        assert edge.running == {}

    play(story)


def test_nothing_is_repaired_while_reports_are_only_on_their_way(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        for _ in range(5):
            before = edge.registration()
            status = await world.start("f", "g")
            await edge._client.update_domain(before)
            await world.settled()
            during = edge.registration()
            await world.client.stop(status.workflow_id)
            await world.settled()
            await edge._client.update_domain(during)
            await world.settled()
        await world.sleep(10)
        assert len(edge.starts()) == len(edge.stops()) == 10

    play(story)


def test_a_hung_domain_delays_no_start_elsewhere(play: Any) -> None:
    async def story(world: Any) -> None:
        hung, good = await world.domain("a"), await world.domain("b")
        hung.hung = True
        for _ in range(20):
            await world.start("f")
        # The first request to the hung domain is waited for; after that it is asked last.
        assert world.clock.now_ns() == 5_000_000_000
        assert len(good.running) == 20

    play(story)


def test_starts_in_a_good_domain_overtake_one_that_hangs(play: Any) -> None:
    async def story(world: Any) -> None:
        hung = world.orchestrator("a")
        hung.offer(num_nodes=1, runtimes=("RUST_WASM",))
        hung.hung = True
        await hung.join()
        good = world.orchestrator("b")
        good.offer(num_nodes=1, resource_classes=("test-res",))
        await good.join()
        world.start_later("f")
        await world.clock.sleep(1)
        await world.start(resources=("r",))
        assert good.names() == ["r"]
        assert world.clock.now_ns() == 1_000_000_000

    play(story)


def test_what_was_started_before_a_reset_does_not_count(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain(refresh=False)
        edge.slow_s = 1.0
        # More than are asked for together: the last ones are started after the reset.
        names = [f"f{n}" for n in range(20)]
        world.start_later(*names)
        await world.clock.sleep(0.5)
        edge.epoch = 0
        await edge.register()
        await edge.register()
        for _ in range(5):
            await world.sleep(1)
            await edge.register()
        assert edge.running == {}
        assert await world.client.list_workflows() == ()

    play(story)


def test_a_refusal_is_answered_after_what_was_started_was_told_to_stop(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        edge.refusals["g"] = RejectedError("full")
        with world.network.install(
            between(latency(100_000_000), lambda source, _: source == "con")
        ):
            world.network.install(between(latency(50_000_000), lambda source, _: source != "con"))
            await world.refused(world.start("f", "g"))
        assert edge.running == {}
        # Request, start and its reply, stop and its reply, answer.
        assert world.clock.now_ns() == 450_000_000

    play(story)


def test_a_step_that_is_always_refused_holds_up_no_other(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        status = await world.start("f", "g", "h")
        await world.sleep(10)
        edge.refusals["f"] = RejectedError("full")
        for mapping in status.mapping:
            del edge.running[mapping.logical_id]
        await world.sleep(20)
        assert sorted(edge.names()) == ["g", "h"]
        assert 4 <= edge.starts().count("f") <= 7
        (info,) = await world.client.list_workflows()
        assert (info.mapping[0].state, info.mapping[0].reason) == ("pending", "full")

    play(story)


def test_a_thousand_components_start_and_stop(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        names = [f"f{n}" for n in range(1000)]
        status = await world.start(*names)
        assert edge.starts() == names
        await world.client.stop(status.workflow_id)
        await world.settled()
        assert edge.running == {}
        assert len(edge.stops()) == 1000

    play(story)


def test_everything_is_repaired_after_a_time_of_heavy_loss(play: Any) -> None:
    async def story(world: Any) -> None:
        domains = [await world.domain(name) for name in ("a", "b", "c")]
        rule = between(loss(0.3), lambda source, destination: "client" not in (source, destination))
        started, failed = [], 0
        with world.network.install(rule):
            for n in range(20):
                try:
                    started.append(await world.start("f", "g", name=f"w{n}"))
                except RejectedError:
                    failed += 1
                if n % 3 == 0 and started:
                    await world.client.stop(started.pop(0).workflow_id)
        await world.sleep(90)
        listed = await world.client.list_workflows()
        assert [s.workflow_id for s in listed] == [s.workflow_id for s in started]
        wanted = {m.logical_id for s in listed for m in s.mapping}
        running = [lid for domain in domains for lid in domain.running]
        assert sorted(running) == sorted(wanted)
        assert len(wanted) == 2 * len(started) > 0

    for seed in range(5):
        play(story, seed)


def test_the_same_seed_gives_the_same_journal(play: Any) -> None:
    digests: list[str] = []

    async def story(world: Any) -> None:
        domains = [await world.domain(name) for name in ("a", "b", "c")]
        for n in range(10):
            await world.start("f", "g", name=f"w{n}")
        domains[0].crash()
        await world.sleep(20)
        digests.append(world.journal.digest())

    for seed in (1, 1, 2):
        play(story, seed)
    assert digests[0] == digests[1] != digests[2]


def test_too_many_starts_at_once_are_refused_and_later_ones_are_not(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        edge.slow_s = 1.0
        for _ in range(1024):
            world.start_later("f")
        await world.clock.sleep(0.5)
        error = await world.refused(world.start("f"))
        assert error.summary == "Controller busy"
        await world.sleep(1)
        await world.start("f")
        assert len(edge.running) == 1025

    play(story)
