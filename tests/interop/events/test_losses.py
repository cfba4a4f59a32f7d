"""What becomes of events and calls when a node of the other side is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.conftest import Side

SIDES = ("ours", "theirs")


@pytest.mark.parametrize("orc", SIDES)
async def test_our_caller_gets_an_error_when_their_node_dies(
    open_a_mixed: Callable[..., Any], orc: Side
) -> None:
    async with open_a_mixed(orc, "ours", "theirs") as mixed:
        waiting = asyncio.create_task(mixed.probe.call("there", "never answered"))
        await mixed.deployment.until(lambda: mixed.probe.events)

        mixed.nodes["theirs"].kill()

        assert await waiting == ("ERR", "")


@pytest.mark.parametrize("orc", SIDES)
async def test_events_find_the_way_again_when_a_node_has_come_back(
    open_a_mixed: Callable[..., Any], orc: Side, both: tuple[Side, Side]
) -> None:
    relay, messenger = both
    async with open_a_mixed(orc, relay, messenger) as mixed:
        node = mixed.nodes[messenger]
        node.kill()
        await node.start()

        async def answered() -> bool:
            try:
                answer = await mixed.probe.call("messenger", "test_ret", 1)
            except (TimeoutError, KeyError, grpc.aio.AioRpcError):
                return False
            return bool(answer == ("CALL_RET", "test_reply"))

        await mixed.deployment.until(answered, "an answer of the node that came back")

        async def handed_on() -> bool:
            await mixed.probe.cast("relay", "test_cast_output")
            return bool(mixed.probe.texts().count("cast_output"))

        await mixed.deployment.until(handed_on, "a cast through both")


@pytest.mark.parametrize("orc", SIDES)
async def test_a_stopped_workflow_is_gone_from_all_nodes(
    open_a_mixed: Callable[..., Any], orc: Side
) -> None:
    async with open_a_mixed(orc, "ours", "theirs") as mixed:
        outputs = dict(mixed.probe.outputs)
        said = await mixed.deployment.cli("workflow", "stop", mixed.workflow)
        assert said == f"Workflow {mixed.workflow} stopped\n"
        await mixed.deployment.until(lambda: mixed.probe.stops == 1)

        mixed.probe.outputs = outputs
        # Ours says so; theirs says nothing (spec 5.3).
        assert await mixed.probe.call("relay", "test_ret") == ("ERR", "")
        with pytest.raises(TimeoutError):
            await mixed.probe.call("messenger", "test_ret", 1)


@pytest.fixture(params=[("ours", "theirs"), ("theirs", "ours")], ids="-calls-".join)
def both(request: pytest.FixtureRequest) -> Any:
    """Who casts to the other, on the node that is killed."""
    return request.param
