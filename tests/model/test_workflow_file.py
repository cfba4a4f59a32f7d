"""Workflow files: EDGELESS's load unchanged, wrong ones are refused with their place (spec 2)."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edgeless_sim.errors import WorkflowSpecError
from edgeless_sim.model.workflow_file import load_workflow, parse_workflow

#: A function that sends to a resource, with a key of older files.
COUNTER = """\
{
  "functions": [
    {
      "name": "counter",
      "class_specification": {
        "id": "counter",
        "function_type": "RUST_WASM",
        "version": "0.2",
        "code": "./counter/counter.wasm",
        "build": "./counter/Cargo.toml",
        "outputs": ["output"]
      },
      "output_mapping": { "output": "sink" },
      "annotations": { "init-payload": "42", "label_match_all": "blue" }
    }
  ],
  "resources": [
    {
      "name": "sink",
      "class_type": "file-log",
      "output_mapping": {},
      "configurations": { "filename": "counter.log", "add-timestamp": "" }
    }
  ],
  "annotations": {}
}
"""

#: Only resources, which is allowed.
RESOURCES = """\
{"functions": [], "annotations": {}, "resources": [
  {"name": "in", "class_type": "http-ingress", "output_mapping": {"new_request": "out"},
   "configurations": {"host": "a.edge", "methods": "POST,PUT"}},
  {"name": "out", "class_type": "file-log", "output_mapping": {}, "configurations":
   {"filename": "x.log"}}]}
"""

#: A container, and byte code given in the file.
OTHERS = """\
{"resources": [], "annotations": {}, "functions": [
  {"name": "box", "output_mapping": {}, "annotations": {}, "class_specification": {
    "id": "box", "function_type": "CONTAINER", "version": "0.1", "outputs": [],
    "code": "container:edgeless-box"}},
  {"name": "bytes", "output_mapping": {}, "annotations": {}, "class_specification": {
    "id": "bytes", "function_type": "RUST_WASM", "version": "0.1", "outputs": [],
    "code": null, "binary": [0, 97, 255]}}]}
"""

#: Functions in Python and without code.
OURS = """\
{"resources": [], "annotations": {}, "functions": [
  {"name": "py", "output_mapping": {}, "annotations": {}, "class_specification": {
    "id": "py", "function_type": "PYTHON", "version": "0.1", "outputs": [],
    "code": "code.py:Adder"}},
  {"name": "model", "output_mapping": {}, "annotations": {"init-payload": "service=c(5)"},
   "class_specification":
    {"id": "model", "function_type": "MODELLED", "version": "0.1", "outputs": []}}]}
"""


def counter() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(COUNTER)
    return value


def refusal(value: object, *, strict: bool = False) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(WorkflowSpecError) as caught:
        parse_workflow(text, base=None, strict=strict, source="w.json")
    return str(caught.value)


def folder_with(tmp_path: Path, workflow: str) -> Path:
    (tmp_path / "counter").mkdir()
    (tmp_path / "counter" / "counter.wasm").write_bytes(b"\0asm")
    (tmp_path / "code.py").write_text("class Adder: ...\n")
    file = tmp_path / "workflow.json"
    file.write_text(workflow)
    return file


def test_byte_code_is_read_from_beside_the_file(tmp_path: Path) -> None:
    request, warnings = load_workflow(folder_with(tmp_path, COUNTER))
    assert warnings == []
    [function] = request.functions
    assert function.name == "counter"
    assert function.output_mapping == {"output": "sink"}
    assert function.annotations == {"init-payload": "42", "label_match_all": "blue"}
    assert function.class_specification.binary == b"\0asm"
    assert function.class_specification.code == "./counter/counter.wasm"
    assert function.class_specification.outputs == ("output",)
    [resource] = request.resources
    assert resource.class_type == "file-log"
    assert resource.configurations == {"filename": "counter.log", "add-timestamp": ""}


def test_a_workflow_of_resources_only_is_read() -> None:
    request, warnings = parse_workflow(RESOURCES.encode(), base=None)
    assert [resource.name for resource in request.resources] == ["in", "out"]
    assert request.resources[0].output_mapping == {"new_request": "out"}
    assert warnings == []


def test_without_a_folder_code_stays_as_written() -> None:
    request, _ = parse_workflow(OTHERS.encode(), base=None)
    box, inline = (function.class_specification for function in request.functions)
    assert (box.code, box.binary) == ("container:edgeless-box", None)
    assert (inline.code, inline.binary) == (None, b"\0a\xff")


def test_a_python_file_becomes_absolute_and_a_modelled_function_needs_none(tmp_path: Path) -> None:
    request, _ = load_workflow(folder_with(tmp_path, OURS))
    python, modelled = (function.class_specification for function in request.functions)
    assert python.code == f"{tmp_path.resolve()}/code.py:Adder"
    assert python.binary is None
    assert (modelled.code, modelled.binary) == (None, None)


def test_an_absolute_code_path_replaces_the_folder(tmp_path: Path) -> None:
    code = tmp_path / "f.wasm"
    code.write_bytes(b"wasm")
    value = counter()
    value["functions"][0]["class_specification"]["code"] = str(code)
    request, _ = parse_workflow(json.dumps(value).encode(), base=Path("elsewhere"))
    assert request.functions[0].class_specification.binary == b"wasm"


def test_functions_that_share_a_file_share_its_content(tmp_path: Path) -> None:
    value = counter()
    value["functions"].append({**value["functions"][0], "name": "second"})
    request, _ = load_workflow(folder_with(tmp_path, json.dumps(value)))
    first, second = (function.class_specification.binary for function in request.functions)
    assert first is second


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("none.wasm", "code file does not exist for 'counter': none.wasm"),
        ("counter/counter.wasm/x", "code file does not exist for 'counter': "),
        ("counter", "code file for 'counter' is not regular: counter"),
        ("fifo", "code file for 'counter' is not regular: fifo"),
        ("/dev/zero", "code file for 'counter' is not regular: /dev/zero"),
        ("loop", "code file for 'counter' cannot be read: "),
        ("x" * 4000, "code file for 'counter' cannot be read: "),
        (None, "RUST_WASM function code not specified for 'counter'"),
    ],
)
def test_code_that_is_no_file_is_refused_at_once(
    tmp_path: Path, code: str | None, message: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    value = counter()
    value["functions"][0]["class_specification"]["code"] = code
    file = folder_with(tmp_path, json.dumps(value, indent=1))
    with pytest.raises(WorkflowSpecError) as caught:
        load_workflow(file)
    where = "functions[0].class_specification.code: "
    assert str(caught.value).startswith(f"{file}:9:5: {where}{message}")


def test_byte_code_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    file = folder_with(tmp_path, COUNTER)
    os.truncate(tmp_path / "counter" / "counter.wasm", (64 << 20) + 1)
    with pytest.raises(WorkflowSpecError, match="has more than 67108864 bytes"):
        load_workflow(file)


@pytest.mark.parametrize("code", ["code.py", "code.py:", ":Adder", "code.py:1x", "none.py:Adder"])
def test_python_code_is_a_file_and_a_class(tmp_path: Path, code: str) -> None:
    file = folder_with(tmp_path, OURS.replace("code.py:Adder", code))
    with pytest.raises(WorkflowSpecError, match="'py'"):
        load_workflow(file)


@pytest.mark.parametrize("name", ["none.json", "counter"])
def test_a_workflow_file_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    folder_with(tmp_path, COUNTER)
    with pytest.raises(WorkflowSpecError, match=name):
        load_workflow(tmp_path / name)


@pytest.mark.parametrize("key", ["functions", "resources", "annotations"])
def test_each_key_of_the_workflow_is_mandatory(key: str) -> None:
    value = counter()
    del value[key]
    assert refusal(value).startswith(f"w.json:1:1: the key '{key}' is missing")


@pytest.mark.parametrize("key", ["name", "class_specification", "output_mapping", "annotations"])
def test_each_key_of_a_function_is_mandatory_and_not_null(key: str) -> None:
    value = counter()
    value["functions"][0][key] = None
    assert f"functions[0].{key}: expected" in refusal(value)
    del value["functions"][0][key]
    assert f"functions[0]: the key '{key}' is missing" in refusal(value)


@pytest.mark.parametrize("key", ["id", "function_type", "version", "outputs"])
def test_each_key_of_a_class_is_mandatory_and_not_null(key: str) -> None:
    value = counter()
    specification = value["functions"][0]["class_specification"]
    specification[key] = None
    assert f"functions[0].class_specification.{key}: expected" in refusal(value)
    del specification[key]
    assert f"class_specification: the key '{key}' is missing" in refusal(value)


@pytest.mark.parametrize("key", ["name", "class_type", "output_mapping", "configurations"])
def test_each_key_of_a_resource_is_mandatory_and_not_null(key: str) -> None:
    value = counter()
    value["resources"][0][key] = None
    assert f"resources[0].{key}: expected" in refusal(value)
    del value["resources"][0][key]
    assert f"resources[0]: the key '{key}' is missing" in refusal(value)


@pytest.mark.parametrize("key", ["code", "binary"])
def test_only_code_and_binary_may_be_null_or_absent(key: str) -> None:
    value = counter()
    value["functions"][0]["class_specification"][key] = None
    parse_workflow(json.dumps(value).encode(), base=None)
    del value["functions"][0]["class_specification"][key]
    parse_workflow(json.dumps(value).encode(), base=None)


def test_a_misspelt_key_is_found_where_one_is_missing() -> None:
    text = COUNTER.replace('"class_type"', '"class_tpye"').encode()
    assert refusal(text) == (
        "w.json:18:5: resources[0]: the key 'class_type' is missing;"
        " is 'class_tpye' a misspelling of it?"
    )


@pytest.mark.parametrize("wrong", [1, 1.0, True, None, [], {}])
def test_maps_hold_text_only(wrong: object) -> None:
    for kind, key in (
        ("functions", "annotations"),
        ("functions", "output_mapping"),
        ("resources", "configurations"),
    ):
        value = counter()
        value[kind][0][key] = {"k": wrong}
        assert f"{kind}[0].{key}.k: expected a string, found" in refusal(value)


@pytest.mark.parametrize("wrong", [[256], [-1], [1.0], [True], ["a"], "abc", {}, 1])
def test_binary_holds_bytes_only(wrong: object) -> None:
    value = counter()
    value["functions"][0]["class_specification"]["binary"] = wrong
    assert "functions[0].class_specification.binary: expected" in refusal(value)


@pytest.mark.parametrize("text", [b"null", b"[]", b'"x"', b"1", b"true"])
def test_a_document_that_is_no_object_is_refused(text: bytes) -> None:
    assert refusal(text).startswith("w.json:1:1: expected an object, found ")


def test_a_wrong_value_is_refused_with_its_line() -> None:
    text = COUNTER.replace('"output": "sink"', '"output": 7').encode()
    assert refusal(text) == (
        "w.json:13:27: functions[0].output_mapping.output: expected a string, found a number"
    )


def test_a_fault_in_the_meaning_is_refused_with_its_line() -> None:
    text = COUNTER.replace('"output": "sink"', '"output": "sikn"').encode()
    assert refusal(text) == (
        "w.json:13:27: functions[0].output_mapping.output: component 'counter': its channel"
        " 'output' goes to 'sikn', which is not a component of this workflow;"
        " did you mean 'sink'?"
    )


def test_an_unknown_key_is_a_warning_and_strictly_an_error() -> None:
    value = counter()
    value["$schema"] = "x"
    value["functions"][0]["anotations"] = {}
    value["functions"][0]["class_specification"]["ouputs"] = []
    value["resources"][0]["configuration"] = {}
    _, warnings = parse_workflow(json.dumps(value).encode(), base=None)
    assert warnings == [
        "unknown key '$schema'",
        "functions[0]: unknown key 'anotations'; did you mean 'annotations'?",
        "functions[0].class_specification: unknown key 'ouputs'; did you mean 'outputs'?",
        "resources[0]: unknown key 'configuration'; did you mean 'configurations'?",
    ]
    assert refusal(value, strict=True) == "w.json:1:1: unknown key '$schema'"


def test_a_channel_that_the_class_does_not_declare_is_a_warning_also_strictly() -> None:
    text = COUNTER.replace('"outputs": ["output"]', '"outputs": []').encode()
    _, warnings = parse_workflow(text, base=None, strict=True)
    assert warnings == [
        "functions[0].output_mapping: the class of 'counter' declares no output 'output'"
    ]


def test_the_build_key_of_older_files_is_no_warning_and_no_error() -> None:
    _, warnings = parse_workflow(COUNTER.encode(), base=None, strict=True)
    assert warnings == []


def test_a_million_functions_are_refused_by_their_number() -> None:
    value: dict[str, object] = {"functions": [{}] * 1_000_000, "resources": [], "annotations": {}}
    assert "functions: 1000000 entries, at most 1024" in refusal(value)
    many = {str(number): 1 for number in range(10**5)}
    value = {"functions": [], "resources": [], "annotations": many}
    assert "annotations: 100000 entries, at most 1024" in refusal(value)
