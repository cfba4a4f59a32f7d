"""Function classes and the request that spawns an instance of one (spec 2.1, 10.2)."""

from enum import StrEnum
from functools import lru_cache
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary, ref

import msgspec

from edgeless_sim.model.event import Target
from edgeless_sim.model.ids import InstanceId, WorkflowId

__all__ = [
    "FunctionClassSpecification",
    "Predecessor",
    "SpawnFunctionRequest",
    "StatePolicy",
    "StateSpecification",
    "shared_annotations",
    "shared_code",
    "shared_name",
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


class FunctionClassSpecification(msgspec.Struct, frozen=True, weakref=True):
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


_CODES: Final["WeakKeyDictionary[FunctionClassSpecification, ref[FunctionClassSpecification]]"] = (
    WeakKeyDictionary()
)


def shared_code(code: FunctionClassSpecification) -> FunctionClassSpecification:
    """The first living object equal to *code*: for those who keep one per instance.

    Each request brings a copy of its own, byte code and all.
    """
    found = _CODES.get(code)
    kept = None if found is None else found()
    if kept is None:
        kept = code
        _CODES[code] = ref(code)
    return kept


@lru_cache(maxsize=4_096)
def shared_name(name: str) -> str:
    """As `shared_code`, for the last names of functions, resources and nodes.

    Not `sys.intern`: some interpreters never forget what was interned, and names come from others.
    """
    return name


#: Different annotations that are kept for others to share.
_ANNOTATIONS_MAX: Final = 4_096
#: Longer ones are hardly those of another function.
_SHARED_CHARS_MAX: Final = 256
_ANNOTATIONS: Final[dict[tuple[tuple[str, str], ...], dict[str, str]]] = {}


def shared_annotations(annotations: dict[str, str]) -> dict[str, str]:
    """As `shared_code`, for annotations, which nobody changes either."""
    key = tuple(annotations.items())
    if not key or sum(len(text) for _, text in key) > _SHARED_CHARS_MAX:
        return annotations
    kept = _ANNOTATIONS.get(key)
    if kept is None:
        if len(_ANNOTATIONS) >= _ANNOTATIONS_MAX:
            _ANNOTATIONS.clear()
        kept = _ANNOTATIONS[key] = annotations
    return kept


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
