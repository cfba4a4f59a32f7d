"""What stands under the keys of EDGELESS's Redis, as values of the model (spec 7.1, 7.2).

Free of the redis library. Every function here that reads raises ValueError for what is no such
value; the message says why, and is short. Not here: the Redis (`redis_mirror`).
"""

import re
from math import isfinite
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote
from uuid import UUID

import msgspec

from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StatePolicy,
    StateSpecification,
)
from edgeless_sim.model.ids import (
    FUNCTION_ID_NONE,
    NODE_ID_NONE,
    FunctionId,
    InstanceId,
    LogicalId,
    NodeId,
    WorkflowId,
    parse_uuid,
)
from edgeless_sim.model.intent import Cordon, Intent, Migrate
from edgeless_sim.model.mirror import MirroredComponent, Point, SeriesMetric
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus
from edgeless_sim.model.resource import (
    ResourceInstanceSpecification,
    ResourceProviderSpecification,
)

__all__ = [
    "SeriesKey",
    "read_capabilities",
    "read_component",
    "read_health",
    "read_name",
    "read_outputs",
    "read_point",
    "read_provider",
    "read_series_key",
    "read_text",
    "read_time",
    "written_intent",
]

T = TypeVar("T")
_PID: Final = re.compile(r"InstanceId\(node_id: (.{36}), function_id: (.{36})\)")
_NOT_RUNNING: Final = InstanceId(NODE_ID_NONE, FUNCTION_ID_NONE)
_NUMBER_MAX: Final = 1 << 64
_METRICS: Final = frozenset(SeriesMetric)


class _FunctionClass(msgspec.Struct):
    id: str
    function_type: str
    version: str
    code: str | None = None
    outputs: tuple[str, ...] = ()


class _State(msgspec.Struct):
    state_id: UUID
    state_policy: StatePolicy


class _Function(msgspec.Struct):
    spec: _FunctionClass
    annotations: dict[str, str]
    state_specification: _State
    workflow_id: UUID


class _Resource(msgspec.Struct):
    class_type: str
    configuration: dict[str, str]
    workflow_id: UUID


class _Instance(msgspec.Struct, rename="pascal"):
    function: tuple[_Function, list[str]] | None = None
    resource: tuple[_Resource, str] | None = None


class _Provider(msgspec.Struct):
    class_type: str
    node_id: UUID
    outputs: tuple[str, ...] = ()


class SeriesKey(NamedTuple):
    """Of whom, and what."""

    function_id: FunctionId
    name: str


def read_text(value: bytes) -> str:
    """*value* as text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def read_name(part: str) -> str:
    """The name in a part of a key; our own ε-ORC writes what would end the part as in a URL."""
    return unquote(part)


def read_time(value: bytes) -> float:
    """Seconds since 1970."""
    return _finite(read_text(value))


def read_capabilities(value: bytes) -> NodeCapabilities:
    """``node:capabilities:…``."""
    return _read(value, NodeCapabilities)


def read_health(value: bytes) -> NodeHealthStatus:
    """A member of ``node:health:…``."""
    health = _read(value, NodeHealthStatus)
    if any(abs(number) > _NUMBER_MAX for number in msgspec.structs.astuple(health)):
        raise ValueError("it has a number beyond 64 bits")
    return health


def read_provider(provider_id: str, value: bytes) -> tuple[NodeId, ResourceProviderSpecification]:
    """``provider:…``: whose it is, and what it offers."""
    found = _read(value, _Provider)
    provider = ResourceProviderSpecification(provider_id, found.class_type, found.outputs)
    return NodeId(found.node_id), provider


def read_component(logical_id: LogicalId, value: bytes) -> MirroredComponent:
    """``instance:…``; its outputs stand elsewhere (`read_outputs`)."""
    found = _read(value, _Instance)
    if found.function is not None and found.resource is None:
        request, running = found.function
        return MirroredComponent(
            logical_id, function=_function(request), instances=tuple(map(_pid, running))
        )
    if found.resource is not None and found.function is None:
        asked, where = found.resource
        resource = ResourceInstanceSpecification(
            asked.class_type, asked.configuration, WorkflowId(asked.workflow_id)
        )
        pid = _pid(where)
        instances = () if pid == _NOT_RUNNING else (pid,)
        return MirroredComponent(logical_id, resource=resource, instances=instances)
    raise ValueError("it is neither a function nor a resource")


def read_outputs(value: bytes) -> dict[str, LogicalId]:
    """``dependency:…``: channel and target."""
    return {channel: LogicalId(to) for channel, to in _read(value, dict[str, UUID]).items()}


def read_series_key(rest: str) -> SeriesKey:
    """What follows in ``performance:PID:NAME``; the name of a log may have colons of its own."""
    pid, separator, name = rest.partition(":")
    if not separator or not name:
        raise ValueError("it does not name an instance and a metric")
    return SeriesKey(FunctionId(parse_uuid(pid)), read_name(name))


def read_point(name: str, member: bytes, score: float) -> Point:
    """A member ``TIME:VALUE`` of a series, whose *score* is the time, too."""
    if not isfinite(score):
        raise ValueError("its time is not a number")
    _, separator, value = read_text(member).partition(":")
    if not separator:
        raise ValueError("it is not TIME:VALUE")
    return Point(score, _finite(value) if name in _METRICS else value)


def written_intent(intent: Intent) -> tuple[str, str]:
    """The key and the value of *intent*."""
    if isinstance(intent, Migrate):
        return f"intent:migrate:{intent.component}", ",".join(map(str, intent.targets))
    return f"intent:cordon:{intent.node}", "yes" if isinstance(intent, Cordon) else "no"


def _function(request: _Function) -> SpawnFunctionRequest:
    spec, state = request.spec, request.state_specification
    code = FunctionClassSpecification(
        spec.id, spec.function_type, spec.version, code=spec.code, outputs=spec.outputs
    )
    return SpawnFunctionRequest(
        code,
        request.annotations,
        StateSpecification(state.state_id, state.state_policy),
        WorkflowId(request.workflow_id),
    )


def _pid(text: str) -> InstanceId:
    found = _PID.fullmatch(text)
    if found is None:
        raise ValueError("it has an instance that is not InstanceId(node_id: …, function_id: …)")
    return InstanceId(NodeId(parse_uuid(found[1])), FunctionId(parse_uuid(found[2])))


def _read(value: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.ValidationError as cause:
        raise ValueError(str(cause)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("it is not JSON") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _finite(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("it is not a number") from None
    if not isfinite(number):
        raise ValueError("it is not a finite number")
    return number
