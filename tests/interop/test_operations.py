"""What an operator does with the reference's `edgeless_cli`, whoever serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.interop.conftest import Deployment, Side

COMBINATIONS = [(con, orc, node) for con in ("ours", "theirs") for orc in ("ours", "theirs") for node in ("ours", "theirs")]


@pytest.mark.parametrize(("con", "orc", "node"), COMBINATIONS)
async def test_a_workflow_runs_is_listed_inspected_and_stopped(
    deployment: Deployment, con: Side, orc: Side, node: Side
) -> None:
    await deployment.controller(con)
    await deployment.domain(orc, node)
    print(await deployment.cli("domain", "inspect", "all"))
    w = await deployment.start_workflow(
        {"a": {"kind": "message_generator", "outputs": {"output": "log"}, "annotations": {"init-payload": "message=hi,period=300"}}},
        {"log": {"class_type": "file-log", "configurations": {"filename": "a.log", "add-source-id": "true"}}})
    print(w)
    print(await deployment.cli("workflow", "list"))
    print(await deployment.cli("workflow", "inspect", w))
    import asyncio
    await asyncio.sleep(2)
    from pathlib import Path
    for f in Path(deployment._folder).rglob("a.log"):
        print(f, f.read_text())
    print(await deployment.cli("workflow", "stop", w))
    print(await deployment.cli("workflow", "list"))
    print(await deployment.cli("workflow", "stop", w))
    await asyncio.sleep(.5)
    for p in deployment._started:
        print("=====", p.side, p.kind, p.log[-1500:])
