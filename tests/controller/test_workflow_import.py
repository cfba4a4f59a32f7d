"""The file of EDGELESS's own ε-CON becomes a store, whole or not at all (cases C035, D45)."""

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.controller.workflow_database import DatabaseWorkflowStore
from edgeless_sim.controller.workflow_store import StoredWorkflow
from edgeless_sim.errors import ResourceError


def upstream(number: int, **changes: Any) -> list[Any]:
    function = {
        "name": f"f{number}",
        "class_specification": {
            "id": "system_test",
            "function_type": "RUST_WASM",
            "version": "0.1",
            "binary": [0, 97, 115, 109, 255],
            "code": None,
            "outputs": ["out"],
        },
        "output_mapping": {"out": "log"},
        "annotations": {},
    }
    resource = {
        "name": "log",
        "class_type": "file-log",
        "output_mapping": {},
        "configurations": {"filename": "example.log"},
    }
    request = {
        "functions": [function],
        "resources": [resource],
        "annotations": {"ann1": "val1"},
    }
    return [str(UUID(int=number)), {**request, **changes}]


def opened(path: Path) -> tuple[StoredWorkflow, ...]:
    store = DatabaseWorkflowStore(path)
    try:
        return store.load()
    finally:
        store.close()


@pytest.mark.parametrize("count", [0, 10])
def test_its_workflows_keep_their_ids_and_the_file_is_kept(count: int, tmp_path: Path) -> None:
    path = tmp_path / "controller.save"
    text = json.dumps({"workflows": [upstream(number) for number in range(count)]})
    path.write_text(text)
    found = opened(path)
    assert [workflow.workflow_id.int for workflow in found] == list(range(count))
    for number, workflow in enumerate(found):
        (function,) = workflow.request.functions
        assert function.name == f"f{number}"
        assert function.class_specification.binary == b"\0asm\xff"
        assert workflow.request.resources[0].configurations == {"filename": "example.log"}
        assert workflow.request.annotations == {"ann1": "val1"}
        assert len(workflow.state_ids) == 1
    assert len({workflow.state_ids for workflow in found}) == count
    assert (tmp_path / "controller.save.imported").read_text() == text
    assert opened(path) == found
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "controller.save",
        "controller.save.imported",
    ]


def test_an_import_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text(json.dumps({"workflows": [upstream(1)]}))
    os.link(path, tmp_path / "s.imported")
    assert len(opened(path)) == 1
    assert len(opened(path)) == 1


def test_an_older_import_is_never_overwritten(tmp_path: Path) -> None:
    path, kept = tmp_path / "s", tmp_path / "s.imported"
    text = json.dumps({"workflows": [upstream(1)]})
    path.write_text(text)
    kept.write_text("older")
    with pytest.raises(ResourceError, match="File exists"):
        opened(path)
    assert (path.read_text(), kept.read_text()) == (text, "older")


WHOLE = json.dumps({"workflows": [upstream(1)]})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((WHOLE[:length], "EDGELESS's ε-CON") for length in range(1, len(WHOLE), 37)),
        ("{}", "workflows"),
        (json.dumps({"workflows": [upstream(1), upstream(1)]}), "two workflows with one id"),
        (json.dumps({"workflows": [["no id", upstream(1)[1]]]}), "EDGELESS's ε-CON"),
        (json.dumps({"workflows": [upstream(1, resources=[])]}), "not a component"),
        (WHOLE.replace("255", "256"), f"workflow {UUID(int=1)}: bytes must be"),
        (WHOLE.replace("255", '"x"'), "EDGELESS's ε-CON"),
    ],
)
def test_a_file_with_a_fault_is_refused_and_left_as_it_is(
    text: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    path.write_text(text)
    with pytest.raises(ResourceError, match=reason):
        opened(path)
    assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]
