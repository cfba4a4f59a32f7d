"""The ε-CON knows what the domain can do and what runs there (C020, U04, U38)."""

from itertools import pairwise
from typing import Any
from uuid import UUID

from edgeless_sim.api.clients import DomainPollClient
from edgeless_sim.api.messages import ComponentState, UpdateDomainResponse


def test_the_domain_registers_at_once_and_refreshes_every_keep_alive(play: Any) -> None:
    async def story(world: Any) -> None:
        assert world.controller.times[0] == 0
        await world.clock.sleep(10)
        assert world.controller.times[:6] == [n * 2_000_000_000 for n in range(6)]
        first = world.controller.updates[0]
        assert (first.domain_id, first.orchestrator_url, first.ttl_s) == (
            "edge",
            "memory://orc/edge",
            5.0,
        )
        assert all(update == first for update in world.controller.updates)

    play(story)


def test_a_domain_refreshes_at_an_interval_of_its_own_if_it_has_one(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.clock.sleep(16)
        assert world.controller.times[:4] == [n * 5_000_000_000 for n in range(4)]

    play(story, subscription_interval_s=5.0)


def test_capabilities_are_the_sum_over_the_nodes_and_arrive_at_once(play: Any) -> None:
    async def story(world: Any) -> None:
        for number in range(10):
            label = "unstable" if number else "stable"
            await world.node(number, labels=(label,), resources=("rc-1",) * 5)
        last = world.controller.updates[-1]
        capabilities = last.capabilities
        assert (capabilities.num_nodes, capabilities.num_cpus) == (10, 10)
        assert capabilities.labels == ("stable", "unstable")
        assert capabilities.runtimes == ("RUST_WASM",)
        assert len(capabilities.resource_providers) == 50
        assert capabilities.resource_classes == ("rc-1",)
        counters = [update.counter for update in world.controller.updates]
        assert counters == sorted(set(counters))

    play(story)


def test_bursts_of_news_are_told_at_most_every_ten_milliseconds(play: Any) -> None:
    async def story(world: Any) -> None:
        for number in range(50):
            await world.node(number)
        times = world.controller.times
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert min(gaps) >= 10_000_000

    play(story)


def test_the_inventory_of_components_reaches_the_controller(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        await world.function(1)
        await world.settled()
        (item,) = world.controller.updates[-1].components
        assert item.logical_id == UUID(int=1)
        assert (item.state, item.node) == (ComponentState.RUNNING, "edge/0")
        assert item.instance == world.component(1).instance

    play(story)


def test_a_reset_stops_everything_and_its_epoch_is_echoed_at_once(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.function(1)
        await world.resource(2)
        await world.settled()
        world.controller.epoch = 5
        await world.clock.sleep(2.1)
        await world.settled()
        assert node.instances == {}
        assert world.orchestrator.snapshot().components == ()
        first_echo = next(u for u in world.controller.updates if u.epoch == 5)
        assert first_echo.components == ()
        told = world.controller.times[world.controller.updates.index(first_echo)]
        reset = max(
            time
            for time, update in zip(world.controller.times, world.controller.updates, strict=True)
            if update.epoch != 5
        )
        assert told - reset <= 10_000_000

    play(story)


def test_a_lost_answer_with_a_reset_is_made_good(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        await world.settled()
        world.controller.epoch = 6
        lost = world.lose_next("DomainRegistration/UpdateDomain", "reply", "con")
        await world.clock.sleep(20)
        await world.settled()
        assert len(lost) == 1
        assert node.instances == {}
        assert world.controller.updates[-1].epoch == 6

    play(story)


def test_a_reset_that_was_carried_out_is_not_carried_out_again(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        world.controller.epoch = 7
        await world.clock.sleep(2.5)
        world.controller.insists = True
        await world.function(1)
        await world.clock.sleep(10)
        assert len(node.instances) == 1

    play(story)


def test_a_restarted_orchestrator_has_a_new_nonce_and_takes_its_nodes_back(play: Any) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        await world.settled()
        before = world.controller.updates[-1].nonce
        world.orchestrator.crash()
        world.listener.crash()
        await world.clock.sleep(3)
        world.orchestrator = world.make_orchestrator()
        await world.orchestrator.start()
        await world.clock.sleep(5)
        await world.settled()
        assert world.controller.updates[-1].nonce != before
        # What the one before had started is stray now; the ε-CON will ask anew.
        assert node.instances == {}
        await world.function(1)
        assert len(node.instances) == 1

    play(story)


def test_a_domain_that_is_asked_says_the_same_and_obeys(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        await world.clock.sleep(1)
        registered = world.controller.updates[-1]
        client = DomainPollClient(world.connection("con", "orc/edge"))
        assert await client.poll(UpdateDomainResponse(reset=False)) == registered
        asked = await client.poll(UpdateDomainResponse(reset=True, epoch=77))
        assert (asked.epoch, asked.nonce) == (77, registered.nonce)
        assert asked.components == ()

    play(story)
