"""The workflow files of the scenarios name functions and channels that there are."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ["chain", "file_log", "noop", "ping_pong"]


@pytest.mark.parametrize("scenario", WORKFLOWS)
def test_a_workflow_uses_functions_as_their_descriptions_have_them(scenario: str) -> None:
    folder = ROOT / "scenarios" / scenario
    workflow = json.loads((folder / "workflow.json").read_text())
    assert set(workflow) == {"functions", "resources", "annotations"}
    names = [component["name"] for component in workflow["functions"] + workflow["resources"]]
    assert len(set(names)) == len(names)
    for function in workflow["functions"]:
        specification = function["class_specification"]
        module = (folder / specification["code"]).resolve()
        assert module.is_file()
        description = json.loads((module.parent / "function.json").read_text())
        assert specification | {"code": description["code"]} == description
        assert set(function["output_mapping"]) <= set(description["outputs"])
        assert set(function["output_mapping"].values()) <= set(names)


def test_the_noop_workflow_is_the_one_of_the_guide() -> None:
    workflow = json.loads((ROOT / "scenarios" / "noop" / "workflow.json").read_text())
    assert workflow == {
        "functions": [
            {
                "name": "noop",
                "class_specification": {
                    "id": "noop",
                    "function_type": "RUST_WASM",
                    "version": "0.1",
                    "code": "../../functions/noop/noop.wasm",
                    "outputs": [],
                },
                "output_mapping": {},
                "annotations": {"init-payload": "nothing interesting"},
            }
        ],
        "resources": [],
        "annotations": {},
    }
