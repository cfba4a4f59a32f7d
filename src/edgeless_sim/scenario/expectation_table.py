"""What all expectations have."""

from typing import Annotated, TypeAlias

from pydantic import Field

from edgeless_sim.model.toml_table import Table
from edgeless_sim.scenario.units import Duration

__all__ = ["Count", "ExpectationTable"]

Count: TypeAlias = Annotated[int, Field(ge=0, le=1 << 53)]


class ExpectationTable(Table):
    """What all expectations have."""

    at: Duration | None = None
    """When it is judged, in ns, as `StepTable.at`; None = at the end of the run."""
