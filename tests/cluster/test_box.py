"""How the nodes of one process end together."""

import asyncio

import pytest

from edgeless_sim.cluster import box
from edgeless_sim.errors import ResourceError


async def test_a_node_that_fails_to_stop_keeps_no_other_from_it() -> None:
    ended: list[str] = []
    nodes = box._Nodes()

    async def fail() -> None:
        raise ResourceError("the disk is gone")

    async def end(name: str) -> None:
        await asyncio.sleep(0.001)
        ended.append(name)

    nodes.next()("a", fail)
    second = nodes.next()
    second("capture", lambda: end("capture of b"))
    second("b", lambda: end("b"))
    with pytest.raises(ResourceError, match="the disk is gone"):
        await nodes.stop()
    # What was registered last ends first.
    assert ended == ["b", "capture of b"]


async def test_a_node_that_does_not_stop_is_left_after_a_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(box, "_NODES_STOP_S", 0.05)
    nodes = box._Nodes()
    nodes.next()("a", lambda: asyncio.sleep(3600))
    await nodes.stop()
    assert "stop hooks of functions took more than 0.05 s, and were cut" in caplog.text
