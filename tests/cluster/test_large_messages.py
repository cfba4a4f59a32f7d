"""Functions of megabytes go through a real cluster; what is too large is refused at its sender."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from edgeless_sim.cluster.cluster import Cluster, open_topology
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction

MIB = 1 << 20
ONE_NODE = Topology((DomainTopology("edge", nodes=(NodeGroup(1),)),))
MakeFunction = Callable[..., WorkflowFunction]

real_worlds = pytest.mark.parametrize("world", ["tcp", "grpc"])


def padded(module: bytes, size: int) -> bytes:
    """*module* with a custom section behind it, so that it is valid and has *size* bytes."""
    length = size - len(module) - 6
    # A length of WebAssembly: seven bits a byte, five bytes whatever it is.
    digits = bytes(length >> shift & 0x7F | 0x80 * (shift < 28) for shift in range(0, 35, 7))
    return module + b"\0" + digits + b"\7padding" + bytes(length - 8)


def of_size(make: MakeFunction, size: int) -> SpawnWorkflowRequest:
    """A workflow of one function whose binary has *size* bytes."""
    pong = make("pong", "pong")
    binary = pong.class_specification.binary
    assert binary is not None
    code = replace(pong.class_specification, binary=padded(binary, size))
    return SpawnWorkflowRequest((replace(pong, class_specification=code),), (), {})


def in_world(world: str, main: Callable[[Cluster], Coroutine[Any, Any, None]]) -> None:
    """Run *main* with a cluster of one node, a minute at most."""

    async def bounded() -> None:
        with anyio.fail_after(60):
            async with open_topology(ONE_NODE, world=world) as cluster:
                await main(cluster)

    run(bounded, world=world)


async def answers(cluster: Cluster, workflow: str) -> bool:
    return await cluster.call(f"{workflow}/pong", "PING-1") == CallReturn.reply("PONG")


@real_worlds
def test_a_function_of_8_mb_starts_and_answers(world: str, compiled: MakeFunction) -> None:
    async def main(cluster: Cluster) -> None:
        await cluster.start_workflow(of_size(compiled, 8_000_000), name="large")
        assert await answers(cluster, "large")

    in_world(world, main)


@real_worlds
def test_a_function_above_16_mib_is_refused_at_the_sender_and_the_cluster_lives(
    world: str, compiled: MakeFunction
) -> None:
    async def main(cluster: Cluster) -> None:
        await cluster.start_workflow(of_size(compiled, 10_000), name="small")
        for size in (16 * MIB, 20 * MIB):
            with pytest.raises(RejectedError, match=r"message too large.*at most 16777216"):
                await cluster.start_workflow(of_size(compiled, size), name="giant")
        assert [status.name for status in await cluster.controller.list_workflows()] == ["small"]
        assert await answers(cluster, "small")

    in_world(world, main)


@real_worlds
def test_a_function_that_some_message_on_its_way_cannot_carry_is_refused_whole(
    world: str, compiled: MakeFunction
) -> None:
    # The messages between client, ε-CON, ε-ORC and node enclose the code in different ways.
    async def main(cluster: Cluster) -> None:
        outcomes: list[bool] = []
        refusals: list[str] = []
        for short in range(0, 600, 40):
            name = f"short-by-{short}"
            try:
                await cluster.start_workflow(of_size(compiled, 16 * MIB - short), name=name)
            except RejectedError as refusal:
                refusals.append(str(refusal))
                outcomes.append(False)
            else:
                assert await answers(cluster, name)
                outcomes.append(True)
                await cluster.stop_workflow(name)
        assert all("message too large" in refusal for refusal in refusals), refusals
        assert outcomes == sorted(outcomes)
        assert not outcomes[0]
        assert outcomes[-1]
        assert await cluster.controller.list_workflows() == ()

    in_world(world, main)


@real_worlds
def test_a_workflow_with_large_code_can_be_inspected(world: str, compiled: MakeFunction) -> None:
    async def main(cluster: Cluster) -> None:
        await cluster.start_workflow(of_size(compiled, 8_000_000), name="large")
        info = await cluster.inspect("large")
        assert [part.name for part in info.status.mapping] == ["pong"]

    in_world(world, main)
