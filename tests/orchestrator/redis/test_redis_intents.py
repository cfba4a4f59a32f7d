"""Intents from a real Redis, good and bad (cases C004, C006; defects U22, 57; F45; B74)."""

import logging
from typing import Any
from uuid import UUID

from edgeless_sim.model.ids import LogicalId
from edgeless_sim.orchestrator.proxy import INTENTS_PER_TICK_MAX


def lid(number: int) -> LogicalId:
    return LogicalId(UUID(int=number))


def runs_on(world: Any, number: int, name: str) -> bool:
    return bool(world.component(number).node == name)


def test_intents_move_cordon_and_uncordon_by_id_and_by_name(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        nodes = {node.name: node for node in await world.nodes(2, resources=("rc-1",))}
        await world.function(1)
        await world.resource(2)
        for number, by_name in ((1, False), (2, True)):
            host = world.component(number).node
            (target,) = (node for name, node in nodes.items() if name != host)
            server.intend(
                f"intent:migrate:{lid(number)}", target.name if by_name else str(target.node_id)
            )
            await mirror.round()
            await mirror.until(
                lambda number=number, to=target: world.component(number).node == to.name
            )
            await mirror.round()
            assert str(target.node_id) in server.text(f"instance:{lid(number)}")
        server.intend("intent:cordon:edge/0", "yes")
        await mirror.round()
        cordoned = {view.name: view.cordoned for view in world.orchestrator.snapshot().nodes}
        assert cordoned == {"edge/0": True, "edge/1": False}
        server.intend(f"intent:cordon:{nodes['edge/0'].node_id}", "no")
        await mirror.round()
        assert not any(view.cordoned for view in world.orchestrator.snapshot().nodes)
        assert not server.found("intent*")

    mirrored(story, server.url)


def test_bad_intents_are_consumed_counted_and_change_nothing(
    mirrored: Any, server: Any, caplog: Any
) -> None:
    async def story(world: Any, mirror: Any) -> None:
        node = await world.node(0, resources=("rc-1",))
        await world.resource(1)
        await world.settled()
        before = world.orchestrator.snapshot()
        client = server.client
        client.set("users:1", "mine")
        client.hset("intent:cordon:hash", "a", "b")
        client.rpush("intents", "users:1", "intent:migrate:", "intent:cordon:hash", "nonsense")
        client.rpush("intents", b"\xff\x00", "x" * 100_000, f"intent:migrate:{lid(1)}")
        server.intend("intent:cordon:edge/0", "perhaps")
        server.intend("intent:cordon:edge/99", "yes")
        await mirror.round()
        assert mirror.proxy.counters["intents refused"] == 9
        # These are in form, and declined by the ε-ORC.
        server.intend(f"intent:migrate:{lid(1)}", str(UUID(int=0xDEAD)))
        server.intend(f"intent:migrate:{lid(2)}", str(node.node_id))
        server.intend(f"intent:cordon:{UUID(int=0xDEAD)}", "yes")
        await mirror.round()
        server.intend(f"intent:migrate:{lid(1)}", "")
        await mirror.round()
        server.intend(f"intent:migrate:{lid(1)}", str(node.node_id))
        await mirror.round()
        assert mirror.proxy.counters["intents"] == 5
        assert world.orchestrator.snapshot() == before
        declined = [record[2] for record in world.said("state") if record[1] == "declined"]
        assert len(declined) == 14
        assert server.found("intent*") == set()
        assert server.text("users:1") == "mine"

    with caplog.at_level(logging.WARNING):
        mirrored(story, server.url)
    assert "malformed intent" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_flood_of_intents_is_taken_a_hundred_each_tick(mirrored: Any, server: Any) -> None:
    async def story(world: Any, mirror: Any) -> None:
        await world.node(0)
        await mirror.round()
        server.client.rpush("intents", *(f"nonsense:{number}" for number in range(1_000)))
        proxy = mirror.proxy
        before, rounds = proxy.counters["intents refused"], proxy.rounds_total
        await mirror.round()
        taken = proxy.counters["intents refused"] - before
        assert 0 < taken <= INTENTS_PER_TICK_MAX * (proxy.rounds_total - rounds)
        assert server.client.llen("intents") == 1_000 - taken
        await world.function(1)

    mirrored(story, server.url)
