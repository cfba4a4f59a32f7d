"""``function.json`` is the class specification of a workflow (spec 9.3)."""

from pathlib import Path

import pytest

from edgeless_sim.errors import FunctionSpecError
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.function_file import load_function_file, parse_function_file

NOOP = b"""\
{
  "id": "noop",
  "function_type": "RUST_WASM",
  "version": "0.1",
  "build": { "rust": { "path": "." } },
  "outputs": ["a", "b"]
}
"""


def test_a_function_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "function.json"
    file.write_bytes(NOOP)
    specification, warnings = load_function_file(file)
    assert specification == FunctionClassSpecification(
        id="noop", function_type="RUST_WASM", version="0.1", outputs=("a", "b")
    )
    assert warnings == []


def test_an_unknown_key_is_a_warning_and_strictly_an_error() -> None:
    text = NOOP.replace(b'"build"', b'"coed"')
    _, warnings = parse_function_file(text)
    assert warnings == ["unknown key 'coed'; did you mean 'code'?"]
    with pytest.raises(FunctionSpecError, match="unknown key 'coed'"):
        parse_function_file(text, strict=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"noop"', b'"../noop"', "function.json:2:3: id: the class id '../noop' is not allowed"),
        (b'"0.1"', b"1", "function.json:4:3: version: expected a string, found a number"),
        (b'"version": "0.1",', b"", "function.json:1:1: the key 'version' is missing"),
        (b'"a", "b"]', b'"a" "b"]', "function.json:6:19: not JSON"),
    ],
)
def test_a_wrong_function_file_is_refused_with_its_place(
    old: bytes, new: bytes, message: str
) -> None:
    with pytest.raises(FunctionSpecError) as caught:
        parse_function_file(NOOP.replace(old, new))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["none.json", "."])
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FunctionSpecError):
        load_function_file(tmp_path / name)
