"""What every table of a TOML file is: frozen, strict, and closed against unknown keys."""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from edgeless_sim.model.names import name_fault

__all__ = ["ENTRIES_MAX", "Few", "Name", "Probability", "Table", "Texts"]

#: Most entries of one array.
ENTRIES_MAX: Final = 10_000


class Table(BaseModel):
    """A table of a TOML file."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=False
    )


def _few(value: object) -> object:
    # Before the entries are looked at: each wrong one would be an error of its own.
    if isinstance(value, list) and len(value) > ENTRIES_MAX:
        raise ValueError(f"{len(value)} entries, at most {ENTRIES_MAX}")
    # TOML has arrays, frozen values have tuples; strict pydantic does not take one for the other.
    return tuple(value) if isinstance(value, list) else value


def _name(value: str) -> str:
    fault = name_fault(value)
    if fault:
        raise ValueError(f"this is no name: {fault}")
    return value


#: An array, as a tuple.
Few = BeforeValidator(_few)
Name = Annotated[str, AfterValidator(_name)]
Texts = Annotated[tuple[Name, ...], Few]
Probability = Annotated[float, Field(ge=0, le=1)]
