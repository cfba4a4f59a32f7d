"""A function of 8 MB starts over every wire; one that no message carries is refused in words."""

from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import EdgelessError
from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction

pytestmark = pytest.mark.usefixtures("world")

PONG: Final = (Path(__file__).parents[2] / "functions" / "pong" / "pong.wasm").read_bytes()
MB: Final = 1_000_000


def leb128(number: int) -> bytes:
    """As WebAssembly writes sizes."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def answers_with(padding: int) -> SpawnWorkflowRequest:
    """A workflow of the function that answers calls, which is *padding* bytes larger: they are in
    a section of its own, as those of debuggers are."""
    section = b"\x03pad" + bytes(padding)
    binary = PONG + b"\x00" + leb128(len(section)) + section
    code = FunctionClassSpecification("pong", "RUST_WASM", "0.1", binary=binary, outputs=())
    return SpawnWorkflowRequest((WorkflowFunction("desk", code, {}, {}),), (), {})


async def test_a_function_of_8_mb_starts_and_answers(cluster: Cluster) -> None:
    await cluster.start_workflow(answers_with(8 * MB), name="large")
    assert await cluster.call("large/desk", "PING") == CallReturn.reply("PONG")


async def test_a_function_of_more_than_16_mib_is_refused_and_the_cluster_serves_on(
    cluster: Cluster,
) -> None:
    with pytest.raises(EdgelessError, match=r"16777216|16 MiB") as refused:
        await cluster.start_workflow(answers_with(17 << 20), name="huge")
    assert len(str(refused.value)) < 300

    await cluster.start_workflow(answers_with(0), name="small")
    assert await cluster.call("small/desk", "PING") == CallReturn.reply("PONG")
    assert len(await cluster.controller.list_workflows()) == 1
