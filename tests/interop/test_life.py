"""Components are killed, come back, or do not; the others go on, whoever made them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.conftest import Deployment, Program, Side

SIDES = ("ours", "theirs")
PAIRS = [("ours", "theirs"), ("theirs", "ours")]
GENERATOR: dict[str, Any] = {
    "kind": "message_generator",
    "outputs": {"output": "log"},
    "annotations": {"init-payload": "message=hello,period=100"},
}


def log_at(node: str, file: str = "messages.log") -> dict[str, Any]:
    return {
        "class_type": "file-log",
        "configurations": {"filename": file, "label_match_all": node},
    }


def lines(node: Program, file: str = "messages.log") -> list[str]:
    """Of the file-log of a node."""
    folder = node.home / "file-log" if node.side == "ours" else node.home
    path = folder / file
    return path.read_text("utf-8").splitlines() if path.exists() else []


def generators(found: list[str]) -> set[str]:
    """Which instances said that."""
    return {line.split(" [")[0] for line in found}


def new_generator_alone(node: Program, before: set[str]) -> bool:
    """Whether the last lines are all of one instance that is none of *before*."""
    recent = lines(node)[-20:]
    return len(recent) == 20 and len(generators(recent)) == 1 and not generators(recent) & before


@pytest.mark.parametrize(
    ("orc", "lost", "left"), [(orc, *pair) for orc, pair in product(SIDES, PAIRS)]
)
async def test_instances_of_a_lost_node_move_to_the_other(
    deployment: Deployment, orc: Side, lost: Side, left: Side
) -> None:
    await deployment.controller("ours")
    _, first = await deployment.domain(orc, lost)
    log = {"class_type": "file-log", "configurations": {"filename": "messages.log"}}
    workflow = await deployment.start_workflow({"generator": GENERATOR}, {"log": log})
    await deployment.until(lambda: len(lines(first)) > 2)
    second = await deployment.node(left, "second")
    await deployment.registered("domain", 2)

    first.kill()

    await deployment.until(lambda: len(lines(second)) > 2, "lines on the node that is left")
    await deployment.registered("domain", 1)
    await deployment.cli("workflow", "stop", workflow)
    await deployment.silence(lambda: len(lines(second)))


@pytest.mark.parametrize(
    ("orc", "killed", "other"), [(orc, *pair) for orc, pair in product(SIDES, PAIRS)]
)
async def test_a_node_that_comes_back_goes_on_with_its_states(
    deployment: Deployment, orc: Side, killed: Side, other: Side
) -> None:
    await deployment.controller("ours")
    _, node, witness = await deployment.domain(orc, killed, other)
    counter = {
        "kind": "counter",
        "outputs": {"output": "log"},
        "annotations": {"init-payload": "100", "label_match_all": killed},
    }
    await deployment.start_workflow({"counter": counter}, {"log": log_at(other)})
    await deployment.until(lambda: "103" in lines(witness))

    node.kill()
    await node.start()

    def goes_on() -> bool:
        numbers = [int(line) for line in lines(witness)]
        return max(numbers) >= int(before) + 3

    before = lines(witness)[-1]
    await deployment.until(goes_on, "the numbers after the restart")
    numbers = [int(line) for line in lines(witness)]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) >= len(numbers) - 2


@pytest.mark.parametrize(("node", "other"), PAIRS)
async def test_a_log_of_a_node_that_comes_back_is_written_again(
    deployment: Deployment, node: Side, other: Side
) -> None:
    await deployment.controller("ours")
    _, host, killed = await deployment.domain("ours", node, other)
    generator = {**GENERATOR, "annotations": {**GENERATOR["annotations"], "label_match_all": node}}
    await deployment.start_workflow({"generator": generator}, {"log": log_at(other)})
    await deployment.until(lambda: len(lines(killed)) > 2)

    killed.kill()
    await killed.start()

    count = len(lines(killed))
    await deployment.until(lambda: len(lines(killed)) > count + 5)
    assert host.process is not None
    assert host.process.poll() is None


@pytest.mark.parametrize(("con", "orc"), PAIRS)
async def test_a_domain_that_comes_back_is_given_its_workflows_again(
    deployment: Deployment, con: Side, orc: Side
) -> None:
    await deployment.controller(con)
    orchestrator, node = await deployment.domain(orc, "ours")
    workflow = await deployment.start_workflow({"generator": GENERATOR}, {"log": log_at("ours")})
    await deployment.until(lambda: len(lines(node)) > 2)

    before = generators(lines(node))
    orchestrator.kill()
    await deployment.until(lambda: domains_gone(deployment))
    await orchestrator.start()

    await deployment.until(lambda: new_generator_alone(node, before))
    assert (await deployment.cli("workflow", "list")).split() == [workflow]
    await deployment.cli("workflow", "stop", workflow)
    await deployment.silence(lambda: len(lines(node)))


async def test_a_domain_of_theirs_that_restarts_at_once_is_given_its_workflows_again(
    deployment: Deployment,
) -> None:
    await deployment.controller("ours")
    orchestrator, node = await deployment.domain("theirs", "theirs")
    workflow = await deployment.start_workflow({"generator": GENERATOR}, {"log": log_at("theirs")})
    await deployment.until(lambda: len(lines(node)) > 2)

    before = generators(lines(node))
    orchestrator.kill()
    await orchestrator.start()

    await deployment.until(lambda: new_generator_alone(node, before))
    assert (await deployment.cli("workflow", "list")).split() == [workflow]


async def test_a_domain_of_ours_that_restarts_at_once_is_empty_for_a_controller_of_theirs(
    deployment: Deployment,
) -> None:
    await deployment.controller("theirs")
    orchestrator, node = await deployment.domain("ours", "ours")
    first = await deployment.start_workflow({"generator": GENERATOR}, {"log": log_at("ours")})
    await deployment.until(lambda: len(lines(node)) > 2)

    before = generators(lines(node))
    orchestrator.kill()
    await orchestrator.start()

    # Theirs resets the domain and believes that its workflows run on (defect U64).
    await deployment.silence(lambda: len(lines(node)))
    assert (await deployment.cli("workflow", "list")).split() == [first]
    assert await deployment.cli("workflow", "stop", first) == f"Workflow {first} stopped\n"
    await deployment.registered("domain", 1)
    await deployment.start_workflow({"generator": GENERATOR}, {"log": log_at("ours")})
    await deployment.until(lambda: new_generator_alone(node, before))


async def domains_gone(deployment: Deployment) -> bool:
    return await deployment.cli("domain", "list") == ""


@pytest.mark.parametrize("node", SIDES)
async def test_a_controller_of_theirs_that_comes_back_has_its_workflows_run_by_ours(
    deployment: Deployment, node: Side
) -> None:
    controller = await deployment.controller("theirs")
    _, host = await deployment.domain("ours", node)
    workflow = await deployment.start_workflow({"generator": GENERATOR}, {"log": log_at(node)})
    await deployment.until(lambda: len(lines(host)) > 2)

    before = generators(lines(host))
    controller.kill()
    await controller.start()
    await deployment.registered("domain", 1)

    await deployment.until(lambda: new_generator_alone(host, before))
    assert (await deployment.cli("workflow", "list")).split() == [workflow]
    await deployment.cli("workflow", "stop", workflow)
    await deployment.silence(lambda: len(lines(host)))


@pytest.mark.parametrize(
    ("con", "orc", "node"), [c for c in product(SIDES, repeat=3) if len(set(c)) == 2]
)
async def test_a_function_of_eight_megabytes_runs(
    deployment: Deployment, tmp_path: Path, con: Side, orc: Side, node: Side
) -> None:
    await deployment.controller(con)
    _, host = await deployment.domain(orc, node)
    source = deployment.functions / "message_generator" / "message_generator.wasm"
    large = tmp_path / "large.wasm"
    large.write_bytes(source.read_bytes() + _custom_section(8 << 20))

    await deployment.start_workflow(
        {"generator": {**GENERATOR, "code": large}}, {"log": log_at(node)}
    )

    await deployment.until(lambda: len(lines(host)) > 2)


def _custom_section(size: int) -> bytes:
    """A section of WebAssembly that every engine skips."""
    content = b"\x07padding" + bytes(size)
    length, encoded = len(content), bytearray()
    while length > 127:
        encoded.append(length & 127 | 128)
        length >>= 7
    return bytes((0, *encoded, length)) + content
