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
            return answer == ("CALL_RET", "test_reply")

        await mixed.deployment.until(answered, "an answer of the node that came back")

        async def handed_on() -> bool:
            await mixed.probe.cast("relay", "test_cast_output")
            return "cast_output" in mixed.probe.texts()

        await mixed.deployment.until(handed_on, "a cast through both")


@pytest.fixture(params=[("ours", "theirs"), ("theirs", "ours")], ids="-calls-".join)
def both(request: pytest.FixtureRequest) -> Any:
    """Who casts to the other, on the node that is killed."""
    return request.param
