"""What an operator does with the reference's `edgeless_cli`, whoever serves it."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.interop.conftest import Deployment, Side

SIDES = ("ours", "theirs")
#: Who are the ε-CON, the ε-ORC and the node.
COMBINATIONS = [
    pytest.param(*sides, id="con-{}-orc-{}-node-{}".format(*sides))
    for sides in product(SIDES, repeat=3)
    if sides != ("theirs", "theirs", "theirs")
]
UNKNOWN = "11111111-1111-4111-8111-111111111111"

GENERATOR: dict[str, Any] = {
    "kind": "message_generator",
    "outputs": {"output": "log"},
    "annotations": {"init-payload": "message=hello,period=100"},
}
LOG: dict[str, Any] = {
    "class_type": "file-log",
    "configurations": {"filename": "messages.log", "add-source-id": "true"},
}


def lines(deployment: Deployment, file: str = "messages.log") -> list[str]:
    """Of the file-log, whichever node has it."""
    return [
        line
        for path in sorted(deployment.folder.rglob(file))
        for line in path.read_text("utf-8").splitlines()
    ]


@pytest.mark.parametrize(("con", "orc", "node"), COMBINATIONS)
async def test_a_workflow_runs_until_it_is_stopped(
    deployment: Deployment, con: Side, orc: Side, node: Side
) -> None:
    await deployment.controller(con)
    await deployment.domain(orc, node)

    workflow = await deployment.start_workflow({"generator": GENERATOR}, {"log": LOG})
    # What theirs sends before it is patched is lost; ours keeps it.
    await deployment.until(lambda: [x for x in lines(deployment) if "[#5]: hello" in x])
    listed = await deployment.cli("workflow", "list")
    stopped = await deployment.cli("workflow", "stop", workflow)

    assert listed.split() == [workflow]
    assert stopped == f"Workflow {workflow} stopped\n"
    assert await deployment.cli("workflow", "list") == ""
    await deployment.silence(lambda: len(lines(deployment)))
    # The generator says who it is; so does the log.
    sender = re.compile(
        r"InstanceId\(node_id: (\S+), function_id: (\S+)\) from node_id \1 function_id \2 \[.*"
    )
    assert all(sender.fullmatch(line) for line in lines(deployment))


@pytest.mark.parametrize(("con", "orc", "node"), COMBINATIONS)
async def test_a_domain_and_a_workflow_are_inspected(
    deployment: Deployment, con: Side, orc: Side, node: Side
) -> None:
    await deployment.controller(con)
    await deployment.domain(orc, node)
    workflow = await deployment.start_workflow({"generator": GENERATOR}, {"log": LOG})

    domain = await deployment.cli("domain", "inspect", "domain")
    seen = (await deployment.cli("workflow", "inspect", workflow)).splitlines()

    assert domain.startswith("domain domain,1 nodes, 2 CPUs (2 cores) with 1000 MiB, labels [")
    offers = "runtimes [RUST_WASM], resources classes [file-log] providers [file-log-domain-"
    assert offers in domain
    assert seen[0] == "* function generator"
    assert seen[1].startswith("run-time RUST_WASM class message_generator version 0.1 code Some(")
    assert seen[2:6] == [
        "OUT output -> log",
        "F_ANN init-payload -> message=hello,period=100",
        "* resource log",
        "file-log",
    ]
    assert sorted(seen[6:8]) == ["CONF add-source-id -> true", "CONF filename -> messages.log"]
    assert [line.split(" [")[0] for line in sorted(seen[8:]) if line] == [
        "* mapping",
        "MAP generator -> domain",
        "MAP log -> domain",
    ]


@pytest.mark.parametrize(("con", "orc", "node"), COMBINATIONS)
async def test_what_cannot_run_is_refused_and_leaves_nothing(
    deployment: Deployment, con: Side, orc: Side, node: Side
) -> None:
    await deployment.controller(con)
    relay: dict[str, Any] = {"kind": "relay"}
    nowhere = await deployment.start_workflow({"a": relay}, {})
    await deployment.domain(orc, node)
    impossible: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "class": ({"a": relay}, {"r": {"class_type": "nothing"}}),
        "run-time": ({"a": {**relay, "function_type": "NOTHING"}}, {}),
        "label": ({"a": {**relay, "annotations": {"label_match_all": "moon"}}}, {}),
        "configuration": ({"a": relay}, {"r": {"class_type": "file-log"}}),
        "target": ({"a": {**relay, "outputs": {"out": "nobody"}}}, {}),
    }

    said = {name: await deployment.start_workflow(*parts) for name, parts in impossible.items()}

    # Our ε-CON knows before it starts anything that no node has the label; theirs tries.
    label = "Workflow creation failed" if con == "ours" else "Request rejected"
    assert nowhere == "Workflow creation failed"
    assert said == {
        "class": "Workflow creation failed",
        "run-time": "Workflow creation failed",
        "label": label,
        "configuration": "Request rejected",
        "target": "Invalid workflow creation request",
    }
    assert await deployment.cli("workflow", "list") == ""


@pytest.mark.parametrize("con", SIDES)
async def test_an_unknown_workflow_is_said_to_be_unknown(deployment: Deployment, con: Side) -> None:
    await deployment.controller(con)

    stopped = await deployment.cli("workflow", "stop", UNKNOWN)
    inspected = await deployment.cli("workflow", "inspect", UNKNOWN)
    migrated = await deployment.cli("workflow", "migrate", UNKNOWN, "domain")

    assert stopped.startswith(f"Error: unknown or invalid workflow {UNKNOWN}")
    assert inspected.startswith(f"Error: unknown or invalid workflow {UNKNOWN}")
    assert migrated == (
        f"migration of {UNKNOWN} to domain failed: Unknown workflow id ({UNKNOWN})\n"
    )
    assert await deployment.cli("domain", "inspect", "nowhere") == "domain nowhere not found\n"


@pytest.mark.parametrize(
    ("con", "first", "second"),
    [
        pytest.param(con, first, second, id=f"con-{con}-from-{first}-to-{second}")
        for con, first, second in product(SIDES, repeat=3)
        if (first, second) != (con, con)
    ],
)
async def test_a_workflow_moves_to_another_domain(
    deployment: Deployment, con: Side, first: Side, second: Side
) -> None:
    await deployment.controller(con)
    await deployment.domain(first, "ours", domain="first")
    log = {**LOG, "configurations": {"filename": "messages.log"}}
    workflow = await deployment.start_workflow({"generator": GENERATOR}, {"log": log})
    await deployment.domain(second, "theirs", domain="second")

    said = await deployment.cli("workflow", "migrate", workflow, "second")

    assert said == f"migration of {workflow} to second successful\n"
    there = deployment.folder / "second-theirs" / "messages.log"
    await deployment.until(lambda: there.exists() and "[#3]" in there.read_text("utf-8"))
    here = deployment.folder / "first-ours" / "file-log" / "messages.log"
    await deployment.silence(lambda: here.stat().st_size)
    await deployment.cli("workflow", "stop", workflow)
    await deployment.silence(lambda: there.stat().st_size)
