"""Domains of the static list are asked; what they say is a registration (decision 3)."""

from itertools import pairwise
from typing import Any

from edgeless_sim.controller.poller import POLL_INTERVAL_S, POLL_TTL_S
from edgeless_sim.model.ids import DomainId


def test_a_listed_domain_is_reset_confirmed_and_used_without_registering(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.listen()
        await world.sleep(1)
        await world.start("f")
        assert edge.names() == ["f"]
        assert edge.epoch
        assert set(await world.client.domains(DomainId(""))) == {"edge"}

    play(story, domains=("edge",))


def test_it_is_asked_every_second(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.listen()
        await world.sleep(10)
        steady = edge.polled_ns[2:]
        assert len(steady) >= 8
        gaps_s = [(b - a) / 1e9 for a, b in pairwise(steady)]
        assert all(abs(gap_s - POLL_INTERVAL_S) < 0.01 for gap_s in gaps_s), gaps_s

    play(story, domains=("edge",))


def test_one_that_starts_late_is_found_within_a_second(play: Any) -> None:
    async def story(world: Any) -> None:
        await world.sleep(60)
        edge = world.orchestrator()
        edge.listen()
        # Attempts under way still wait for their deadline.
        await world.sleep(POLL_INTERVAL_S + 1.0)
        await world.start("f")
        assert edge.names() == ["f"]
        reasons = [reason for state, reason in world.states() if state == "unavailable"]
        assert len(reasons) == 1, "said once, not sixty times"

    play(story, domains=("edge",))


def test_one_that_falls_silent_is_lost_and_its_workflows_move(play: Any) -> None:
    async def story(world: Any) -> None:
        first, second = world.orchestrator("a"), world.orchestrator("b")
        first.listen()
        second.listen()
        await world.sleep(1)
        status = await world.start("f")
        home, other = (first, second) if first.running else (second, first)
        home.hung = True
        await world.sleep(POLL_TTL_S + 2 * POLL_INTERVAL_S)
        assert other.names() == ["f"]
        assert [one.workflow_id for one in await world.client.list_workflows()] == [
            status.workflow_id
        ]

    play(story, domains=("a", "b"))


def test_one_that_restarts_is_reset_and_gets_its_workflows_again(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.listen()
        await world.sleep(1)
        await world.start("f")
        edge.crash()
        again = world.orchestrator(nonce=2)
        again.listen()
        await world.sleep(3)
        assert again.names() == ["f"]

    play(story, domains=("edge",))


def test_another_domain_at_the_url_is_refused_by_name(play: Any) -> None:
    async def story(world: Any) -> None:
        stranger = world.orchestrator("stranger")
        stranger.location = "orc/edge"
        stranger.listen()
        await world.sleep(5)
        assert await world.client.domains(DomainId("")) == {}
        ((_, reason),) = [each for each in world.states() if each[0] == "unavailable"]
        assert "memory://orc/edge is the ε-ORC of 'stranger'" in reason
        assert "'edge'" in reason

    play(story, domains=("edge",))


def test_one_that_registers_as_well_is_one_domain(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = await world.domain()
        await world.start("f")
        await world.sleep(20)
        assert edge.names() == ["f"]
        assert edge.starts() == ["f"], "it was not reset again"

    play(story, domains=("edge",))


def test_a_restarted_controller_asks_again(play: Any) -> None:
    async def story(world: Any) -> None:
        edge = world.orchestrator()
        edge.listen()
        await world.sleep(1)
        await world.start("f")
        world.crash_controller()
        await world.clock.sleep(0.5)
        await world.start_controller("edge")
        await world.sleep(3)
        assert edge.names() == ["f"]

    play(story, domains=("edge",))
