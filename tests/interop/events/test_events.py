"""Casts and calls between a node of ours, one of the reference's, and one that is neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb

if TYPE_CHECKING:
    from tests.interop.events.conftest import Mixed

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def nothing_arrived_yet(mixed: Mixed) -> None:
    mixed.probe.events.clear()
    mixed.probe.answer = None


async def arrived(mixed: Mixed, *texts: str) -> None:
    await mixed.deployment.until(lambda: mixed.probe.texts() == [*texts], f"{texts[:3]}")


async def test_a_cast_is_handed_on_from_one_node_to_the_other(mixed: Mixed) -> None:
    await mixed.probe.cast("relay", "test_cast_output")

    await arrived(mixed, "cast_output")


async def test_five_hundred_casts_arrive_in_order(mixed: Mixed) -> None:
    texts = [str(number) for number in range(500)]
    for text in texts:
        await mixed.probe.cast("there", text)

    await arrived(mixed, *texts)


async def test_a_delayed_cast_arrives_later(mixed: Mixed) -> None:
    await mixed.probe.cast("relay", "test_delayed_cast_output")
    await mixed.probe.cast("relay", "test_cast_output")

    await arrived(mixed, "cast_output", "delayed_cast_output")


async def test_a_raw_cast_goes_back_to_who_asked(mixed: Mixed) -> None:
    await mixed.probe.cast("messenger", "test_cast_raw_output")

    await arrived(mixed, "cast_raw_output")
    (event,) = mixed.probe.events
    assert event.target == mixed.probe.instance
    assert event.source == mixed.probe.outputs["messenger"]


async def test_a_raw_call_goes_back_to_who_asked(mixed: Mixed) -> None:
    mixed.probe.answer = (pb.CALL_NO_RET, "")
    await mixed.probe.cast("messenger", "test_call_raw_output")

    await arrived(mixed, "call_raw_output")
    assert mixed.probe.events[0].msg.event_type == pb.CALL


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("test_ret", ("CALL_RET", "test_reply")),
        ("test_err", ("ERR", "")),
        ("something else", ("CALL_NO_RET", "")),
    ],
)
async def test_a_call_through_one_node_to_the_other_is_answered(
    mixed: Mixed, text: str, answer: tuple[str, str]
) -> None:
    assert await mixed.probe.call("relay", text) == answer


@pytest.mark.parametrize("kind", ["CALL_RET", "CALL_NO_RET", "ERR"])
async def test_a_caller_goes_on_with_whatever_answer_it_gets(mixed: Mixed, kind: str) -> None:
    mixed.probe.answer = (pb.EventType.Value(kind), "text" if kind == "CALL_RET" else "")
    await mixed.probe.cast("relay", "test_call_output")
    await arrived(mixed, "call_output")

    await mixed.probe.cast("relay", "test_cast_output")

    await arrived(mixed, "call_output", "cast_output")


@pytest.mark.parametrize("text", ["", "äß€𝄞\n\t\0\ufffd", "x" * 1_000_000], ids=len)
async def test_a_text_comes_through_both_nodes_as_it_was(mixed: Mixed, text: str) -> None:
    mixed.probe.answer = (pb.CALL_RET, text)
    await mixed.probe.cast("there", text)

    assert await mixed.probe.call("there", text) == ("CALL_RET", text)
    await arrived(mixed, text, text)


async def test_a_call_that_is_too_large_for_ours_ends_with_an_error(mixed: Mixed) -> None:
    # EDGELESS has no bound; an event that our nodes take has at most 1 MiB.
    assert await mixed.probe.call("there", "x" * (2 << 20)) == ("ERR", "")
