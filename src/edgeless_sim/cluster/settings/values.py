"""Values that configuration files have in common, and the table ``[edgeless_sim]``.

Not here: URLs (`urls`).
"""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from edgeless_sim.cluster.settings.urls import OptionalHttpUrl
from edgeless_sim.model.names import (
    NAME_BYTES_MAX,
    looks_like_node_name,
    name_fault,
    text_fault,
)
from edgeless_sim.model.toml_table import Table

__all__ = [
    "SEED_MAX",
    "ComponentName",
    "ControlEdgelessSimTable",
    "EdgelessSimTable",
    "Folder",
    "OptionalName",
    "Seconds",
    "Text",
]

#: Any integer that TOML must be able to hold.
SEED_MAX: Final = (1 << 63) - 1

_SECONDS_MAX: Final = 86_400
_TEXT_BYTES_MAX: Final = 4096


def _text(value: str) -> str:
    fault = "it has a NUL character" if "\0" in value else text_fault(value, _TEXT_BYTES_MAX)
    if fault is not None:
        raise ValueError(fault)
    return value


def _optional_name(value: str) -> str:
    fault = name_fault(value) if value else None
    if fault is not None:
        raise ValueError(f"this is no name: {fault}")
    return value


def _component_name(value: str) -> str:
    if not looks_like_node_name(value):
        raise ValueError(
            "a name has letters, digits and . _ / -, a letter or digit first, and at most "
            f"{NAME_BYTES_MAX} of them"
        )
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str | Path):
        raise ValueError("expected the path of a folder, in quotes")
    if not str(value):
        raise ValueError("the path is empty; '.' is the folder that the program was started in")
    return Path(_text(str(value)))


#: Free text of at most 4 KiB.
Text: TypeAlias = Annotated[str, AfterValidator(_text)]
#: A name; empty = what it would name is not there.
OptionalName: TypeAlias = Annotated[str, AfterValidator(_optional_name)]
#: What people and the journal call a component.
ComponentName: TypeAlias = Annotated[str, AfterValidator(_component_name)]
#: A path; a relative one begins where the program was started, as all paths of EDGELESS do.
Folder: TypeAlias = Annotated[Path, BeforeValidator(_path), PlainSerializer(str)]
#: An interval in whole seconds, from one to a day.
Seconds: TypeAlias = Annotated[int, Field(ge=1, le=_SECONDS_MAX)]


class EdgelessSimTable(Table):
    """``[edgeless_sim]``: what only edgeless-sim knows; EDGELESS's programs ignore the table."""

    name: ComponentName | None = None
    """What people and the journal call this component."""
    seed: Annotated[int, Field(ge=0, le=SEED_MAX)] | None = None
    """What identifiers and random choices derive from; absent = from fresh randomness."""


class ControlEdgelessSimTable(EdgelessSimTable):
    """``[edgeless_sim]`` of an ε-CON or an ε-ORC."""

    metrics_url: OptionalHttpUrl = None
    """Where it shows measurements, health and readiness; absent or empty = nowhere."""
