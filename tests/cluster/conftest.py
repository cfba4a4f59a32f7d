"""What the tests of whole clusters share: workflows of modelled and compiled functions."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"

MakeFunction = Callable[..., WorkflowFunction]


@pytest.fixture
def modelled() -> MakeFunction:
    """Make a function that forwards what it gets after 1 ms."""

    def make(
        name: str, outputs: dict[str, str] | None = None, **annotations: str
    ) -> WorkflowFunction:
        code = FunctionClassSpecification("modelled", "MODELLED", "1.0", outputs=("out",))
        return WorkflowFunction(
            name, code, outputs or {}, {"init-payload": "service=c(1)", **annotations}
        )

    return make


@pytest.fixture
def compiled() -> MakeFunction:
    """Make a function from one of the compiled examples."""

    def make(
        name: str, kind: str, outputs: dict[str, str] | None = None, **annotations: str
    ) -> WorkflowFunction:
        binary = (FUNCTIONS / kind / f"{kind}.wasm").read_bytes()
        code = FunctionClassSpecification(kind, "RUST_WASM", "0.1", binary=binary)
        notes = {key.replace("_", "-"): value for key, value in annotations.items()}
        return WorkflowFunction(name, code, outputs or {}, notes)

    return make


@pytest.fixture
def chain(modelled: MakeFunction) -> SpawnWorkflowRequest:
    """Three functions in a row, then a file."""
    return SpawnWorkflowRequest(
        (
            modelled("first", {"out": "second"}),
            modelled("second", {"out": "third"}),
            modelled("third", {"out": "log"}),
        ),
        (WorkflowResource("log", "file-log", {}, {"filename": "chain.log"}),),
        {},
    )
