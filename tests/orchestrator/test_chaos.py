"""After any mixture of faults, what runs is what is wanted (I01, I13, I16, I17)."""

from random import Random
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.errors import EdgelessError
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId
from edgeless_transports.rules import chain, duplicate, latency, loss

COMPONENTS = range(1, 16)


def logical(number: int) -> InstanceId:
    return InstanceId(NodeId(UUID(int=0)), FunctionId(UUID(int=number)))


async def ask(world: Any, dice: Random, wanted: dict[int, dict[str, int]]) -> None:
    """Start, stop or rewire a component, as an ε-CON does: again until it is answered."""
    number = dice.choice(COMPONENTS)
    outputs = {f"c{n}": dice.choice(COMPONENTS) for n in range(dice.randrange(4))}
    if number in wanted and dice.random() < 0.3:
        await world.client.stop_function(logical(number))
        del wanted[number]
    elif number in wanted:
        await world.patch(number, outputs)
        wanted[number] = outputs
    else:
        try:
            await world.function(number, outputs)
            wanted[number] = outputs
        except EdgelessError:
            await world.clock.sleep(1)


async def misbehave(world: Any, nodes: list[Any], dice: Random) -> None:
    node = dice.choice(nodes)
    deed = dice.randrange(6)
    if deed == 0 and node.alive:
        node.crash()
    elif deed == 1:
        node.restart()
    elif deed == 2:
        node.hangs = not node.hangs
    elif deed == 3 and node.instances:
        del node.instances[dice.choice(list(node.instances))]
        node.revision += 1
    elif deed == 4:
        stray = InstanceId(node.node_id, FunctionId(UUID(int=dice.getrandbits(128))))
        node.instances[stray] = 1
    else:
        world.orchestrator.migrate(logical(dice.choice(COMPONENTS)).function_id, [node.node_id])
    await world.clock.sleep(dice.random() * 3)
    world.orchestrator.check_invariants()


def check(world: Any, nodes: list[Any], wanted: dict[int, dict[str, int]]) -> None:
    views = {view.logical_id.int: view for view in world.orchestrator.snapshot().components}
    assert sorted(views) == sorted(wanted)
    running = {pid: node for node in nodes for pid in node.instances}
    assert sorted(running) == sorted(view.instance for view in views.values())
    for number, outputs in wanted.items():
        pid = views[number].instance
        assert views[number].state == "running"
        found = {c: t.instance for c, t in running[pid].outputs.get(pid, {}).items()}
        assert found == {c: views[t].instance for c, t in outputs.items() if t in views}


@pytest.mark.parametrize("seed", range(12))
def test_after_faults_everything_wanted_runs_once_and_is_wired(play: Any, seed: int) -> None:
    async def story(world: Any) -> None:
        dice = Random(seed)
        world.client = type(world.client)(world.connection("con", "orc/edge"), timeout_s=300)
        nodes = await world.nodes(4)
        trouble = chain(latency(2_000_000, 1_500_000), loss(0.1), duplicate(0.05))
        # The ε-CON of this story is not the subject: its own requests arrive.
        rule = world.network.install(
            lambda frame, times, rng: (
                trouble(frame, times, rng) if "node/" in frame.source + frame.destination else times
            )
        )
        wanted: dict[int, dict[str, int]] = {}
        for _ in range(60):
            if dice.random() < 0.6:
                await ask(world, dice, wanted)
            else:
                await misbehave(world, nodes, dice)
        rule.remove()
        for node in nodes:
            node.hangs = False
            if not node.alive:
                node.restart()
        await world.clock.sleep(60)
        await world.settled()
        check(world, nodes, wanted)

    play(story)
