"""Function classes and the request that spawns an instance of one (spec 2.1, 10.2)."""

from enum import StrEnum
from uuid import UUID

import msgspec

from edgeless_sim.model.event import Target
from edgeless_sim.model.ids import InstanceId, WorkflowId

__all__ = [
    "FunctionClassSpecification",
    "Predecessor",
    "SpawnFunctionRequest",
    "StatePolicy",
    "StateSpecification",
]


class StatePolicy(StrEnum):
    """Where the state that a function hands to ``sync`` is kept (spec 5.5)."""

    TRANSIENT = "Transient"
    NODE_LOCAL = "NodeLocal"
    GLOBAL = "Global"


class StateSpecification(msgspec.Struct, frozen=True):
    """Which state belongs to an instance, and how it is kept."""

    state_id: UUID
    policy: StatePolicy = StatePolicy.NODE_LOCAL


class FunctionClassSpecification(msgspec.Struct, frozen=True):
    """A function class: its name, its kind, its code and its declared output channels.

    ``binary`` is the byte code of RUST_WASM; ``code`` is a path, an image or ``file.py:Class``
    (spec 2.2; design, decision 25).
    """

    id: str
    function_type: str
    version: str
    binary: bytes | None = None
    code: str | None = None
    outputs: tuple[str, ...] = ()


class Predecessor(msgspec.Struct, frozen=True):
    """The instance that a new one takes over from, while a function migrates."""

    instance: InstanceId
    agent_url: str
    """Where the agent of its node listens."""


class SpawnFunctionRequest(msgspec.Struct, frozen=True):
    """Asks for one instance of a function.

    ``instance_id``, ``output_mapping`` and ``generation`` are ours (design, decisions 5 and 27):
    the id is chosen by the caller, so that a repeated request does no harm, and the first output
    mapping comes with the request, so that ``init`` may already send. So is ``takes_over``: the
    instance whose state and events are fetched first; without it the new one begins by itself.
    """

    code: FunctionClassSpecification
    annotations: dict[str, str]
    state_specification: StateSpecification
    workflow_id: WorkflowId
    name: str = ""
    """Name of the component within its workflow, for people."""
    instance_id: InstanceId | None = None
    output_mapping: dict[str, Target] | None = None
    generation: int = 0
    takes_over: Predecessor | None = None
