"""TOML texts become values of a model, or one error that lists what is wrong."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from edgeless_sim.errors import SettingsError
from edgeless_sim.model.toml_document import read_toml, read_toml_file
from edgeless_sim.model.toml_table import Few, Table


class Circle(Table):
    kind: Literal["circle"]
    radius: float


class Square(Table):
    kind: Literal["square"]
    side: float
    corner: Circle | None = None


Shape = Annotated[Circle | Square, Field(discriminator="kind")]


class Drawing(Table):
    name: str
    shapes: Annotated[tuple[Shape, ...], Few, Field(alias="shape")] = ()
    frame: Annotated[Shape | None, Field(alias="border")] = None


def refusal(text: str) -> str:
    with pytest.raises(SettingsError) as raised:
        read_toml(text.encode(), error=SettingsError, source="x").validated(Drawing)
    return str(raised.value)


def test_a_document_becomes_a_value() -> None:
    text = (
        b'name = "a"\n[[shape]]\nkind = "circle"\nradius = 1\n[border]\nkind = "square"\nside = 2'
    )
    drawing = read_toml(text, error=SettingsError, source="x").validated(Drawing)
    assert drawing.shapes == (Circle(kind="circle", radius=1.0),)
    assert drawing.frame == Square(kind="square", side=2.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "x:1: name: the key 'name' is missing"),
        ('name = "a"\nnmae = "b"', "x:2: nmae: unknown key 'nmae'; did you mean 'name'?"),
        ('name = "a"\nshapes = []', "unknown key 'shapes'; did you mean 'shape'?"),
        ('name = "a"\nshape = [{}]', "shape[0]: the key 'kind' is missing; known values: circle"),
        (
            'name = "a"\n[[shape]]\nkind = "circel"',
            "x:2: shape[0]: unknown kind = 'circel'; did you mean 'circle'?",
        ),
        (
            'name = "a"\n[[shape]]\nkind = "circle"\nradius = 1\nraduis = 2',
            "x:5: shape[0].raduis: unknown key 'raduis'; did you mean 'radius'?",
        ),
        (
            'name = "a"\n[[shape]]\nkind = "square"\nside = 1\n'
            '[shape.corner]\nkind = "circle"\nradius = 1\nraduis = 2',
            "x:8: shape[0].corner.raduis: unknown key 'raduis'; did you mean 'radius'?",
        ),
        (
            'name = "a"\n[border]\nkind = "squara"',
            "x:2: border: unknown kind = 'squara'; did you mean 'square'?",
        ),
        (
            'name = "a"\n[border]\nkind = "square"\nsdie = 1\nside = 1',
            "x:4: border.sdie: unknown key 'sdie'; did you mean 'side'?",
        ),
        ('name = "a"\nborder = 1', "x:2: border: "),
        ('name = "a"\nshape = [1]', "shape[0]: expected a table, found a number"),
        ("name = 1.5", "expected a text in quotes, found the number 1.5"),
        ("name = 1979-05-27", "expected a text in quotes, found something else"),
    ],
)
def test_what_is_wrong_is_said_with_place_and_remedy(text: str, expected: str) -> None:
    assert expected in refusal(text)


def test_problems_stand_in_the_order_of_the_text() -> None:
    lines = refusal("b = 1\nname = 2\na = 3").splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["x:1:", "x:2:", "x:3:"]


@pytest.mark.parametrize("count", [2, 10, 11, 90, 200])
def test_all_problems_together_have_at_most_a_kibibyte(count: int) -> None:
    text = refusal("".join(f"key_number_{i} = 1\n" for i in range(count)) + "x = 1")
    assert len(text.encode()) <= 1024
    *shown, last = text.splitlines()
    assert 1 <= len(shown) <= 10
    # The name is missing, and x is unknown, too.
    more = count + 2 - len(shown)
    assert last == f"and {more if more < 100 else 'many'} more" if more > 1 else last


def test_long_problems_are_cut() -> None:
    lines = refusal(f'"{"k" * 3000}" = 1\n"{"ü" * 3000}" = 1\n').splitlines()
    assert all(len(line.encode()) <= 1024 for line in lines)
    assert len("\n".join(lines).encode()) <= 1024


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "a"')
    document = read_toml_file(path, error=SettingsError)
    assert document.validated(Drawing).name == "a"
    assert document.source == str(path)
