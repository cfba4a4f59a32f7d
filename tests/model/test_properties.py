"""Properties: values survive the wire; no text makes the readers fail in another way."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeless_sim.errors import WorkflowSpecError
from edgeless_sim.model.annotations import REQUIREMENT_KEYS, parse_requirements
from edgeless_sim.model.domain import DomainCapabilities, DomainTotals, sum_capabilities
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.ids import FunctionId
from edgeless_sim.model.names import clipped
from edgeless_sim.model.node import (
    FunctionLogEntry,
    NodeCapabilities,
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)
from edgeless_sim.model.workflow import (
    SpawnWorkflowRequest,
    WorkflowFunction,
    WorkflowResource,
    validate_workflow,
)
from edgeless_sim.model.workflow_file import parse_workflow

WORKFLOW = b"""\
{"functions": [{"name": "f\\u00e4", "class_specification": {"id": "c", "function_type": "RUST_WASM",
 "version": "0.1", "binary": [0, 255], "code": null, "outputs": ["out"]},
 "output_mapping": {"out": "r"}, "annotations": {"init-payload": "1"}}],
 "resources": [{"name": "r", "class_type": "file-log", "output_mapping": {},
 "configurations": {"filename": "\xc3\xa4"}}], "annotations": {}}"""

texts = st.text(max_size=12)
names = st.text("abcdef", min_size=1, max_size=4)
maps = st.dictionaries(texts, texts, max_size=3)
classes = st.builds(
    FunctionClassSpecification,
    id=texts,
    function_type=texts,
    version=texts,
    binary=st.none() | st.binary(max_size=8),
    code=st.none() | texts,
    outputs=st.lists(texts, max_size=3).map(tuple),
)
requests = st.builds(
    SpawnWorkflowRequest,
    functions=st.lists(
        st.builds(WorkflowFunction, texts, classes, output_mapping=maps, annotations=maps),
        max_size=3,
    ).map(tuple),
    resources=st.lists(
        st.builds(WorkflowResource, texts, texts, output_mapping=maps, configurations=maps),
        max_size=3,
    ).map(tuple),
    annotations=maps,
)
capabilities = st.builds(
    NodeCapabilities,
    num_cpus=st.integers(0, 64),
    num_cores=st.integers(0, 64),
    clock_freq_cpu=st.floats(0, 5000),
    mem_size=st.integers(0, 2**31),
    labels=st.lists(names, max_size=4).map(tuple),
    is_tee_running=st.booleans(),
    runtimes=st.lists(names, max_size=2).map(tuple),
)
samples = st.builds(Sample, st.integers(0, 2**40), st.integers(0, 10**9 - 1), st.floats(0, 1e9))
function_ids = st.uuids().map(FunctionId)
measurements = st.builds(
    NodePerformanceSamples,
    function_execution_times=st.dictionaries(
        function_ids, st.lists(samples, max_size=3).map(tuple), max_size=3
    ),
    function_log_entries=st.dictionaries(
        function_ids,
        st.lists(st.builds(FunctionLogEntry, st.just(1), st.just(2), texts, texts), max_size=3).map(
            tuple
        ),
        max_size=3,
    ),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
keys = texts | st.sampled_from(
    ["functions", "resources", "annotations", "name", "class_specification", "output_mapping"]
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20
)


def refusal(action: Callable[[], object]) -> str | None:
    """The message with which *action* refuses; any other failure is the test's."""
    try:
        action()
    except WorkflowSpecError as cause:
        return str(cause)
    return None


@given(value=requests)
@settings(deadline=None)
def test_a_workflow_request_survives_the_wire(value: SpawnWorkflowRequest) -> None:
    wire = msgspec.msgpack.encode(value)
    assert msgspec.msgpack.decode(wire, type=SpawnWorkflowRequest) == value


@given(value=capabilities)
@settings(deadline=None)
def test_capabilities_survive_the_wire(value: NodeCapabilities) -> None:
    wire = msgspec.msgpack.encode(value)
    assert msgspec.msgpack.decode(wire, type=NodeCapabilities) == value


@given(value=measurements)
@settings(deadline=None)
def test_measurements_survive_the_wire(value: NodePerformanceSamples) -> None:
    wire = msgspec.msgpack.encode(value)
    assert msgspec.msgpack.decode(wire, type=NodePerformanceSamples) == value


@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=21, max_size=21))
@settings(deadline=None)
def test_health_survives_the_wire(values: list[int]) -> None:
    health = NodeHealthStatus(*values)
    wire = msgspec.msgpack.encode(health)
    assert msgspec.msgpack.decode(wire, type=NodeHealthStatus) == health


@given(value=requests)
@settings(deadline=None)
def test_any_request_is_valid_or_refused_shortly(value: SpawnWorkflowRequest) -> None:
    message = refusal(lambda: validate_workflow(value))
    assert message is None or len(message.encode()) <= 1024


@given(nodes=st.lists(st.tuples(capabilities, st.booleans()), max_size=8))
@settings(deadline=None)
def test_totals_kept_are_totals_summed_anew(nodes: list[tuple[NodeCapabilities, bool]]) -> None:
    totals = DomainTotals()
    for node, _ in nodes:
        totals.add(node)
    for node, leaves in nodes:
        if leaves:
            totals.remove(node)
    stay = [(node, ()) for node, leaves in nodes if not leaves]
    assert totals.capabilities() == sum_capabilities(stay)
    wire = msgspec.msgpack.encode(totals.capabilities())
    assert msgspec.msgpack.decode(wire, type=DomainCapabilities) == totals.capabilities()


def test_a_workflow_truncated_at_any_byte_is_refused() -> None:
    parse_workflow(WORKFLOW, base=None)
    for length in range(len(WORKFLOW)):
        with pytest.raises(WorkflowSpecError):
            parse_workflow(WORKFLOW[:length], base=None)


@given(place=st.integers(0, len(WORKFLOW) - 1), byte=st.integers(0, 255))
@settings(deadline=None, max_examples=500)
def test_a_workflow_with_a_wrong_byte_is_read_or_refused(place: int, byte: int) -> None:
    text = WORKFLOW[:place] + bytes([byte]) + WORKFLOW[place + 1 :]
    message = refusal(lambda: parse_workflow(text, base=None))
    assert message is None or clipped(message) == message


@given(value=json_values)
@settings(deadline=None)
def test_any_json_is_refused_as_a_workflow(value: object) -> None:
    with pytest.raises(WorkflowSpecError):
        parse_workflow(json.dumps(value).encode(), base=None)


@given(
    path=st.sampled_from(
        [
            ("functions",),
            ("functions", 0),
            ("functions", 0, "name"),
            ("functions", 0, "class_specification"),
            ("functions", 0, "class_specification", "binary"),
            ("functions", 0, "class_specification", "outputs"),
            ("functions", 0, "output_mapping"),
            ("resources", 0, "class_type"),
            ("resources", 0, "configurations"),
            ("annotations",),
        ]
    ),
    value=json_values,
)
@settings(deadline=None, max_examples=300)
def test_any_json_in_any_place_is_read_or_refused(path: tuple[Any, ...], value: object) -> None:
    document: Any = json.loads(WORKFLOW)
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    text = json.dumps(document).encode()
    message = refusal(lambda: validate_workflow(parse_workflow(text, base=None)[0]))
    assert message is None or len(message.encode()) <= 1024


@given(key=st.sampled_from(REQUIREMENT_KEYS), value=texts | st.uuids().map(str))
@settings(deadline=None)
def test_any_requirement_is_understood_or_refused(key: str, value: str) -> None:
    message = refusal(lambda: parse_requirements({key: value}))
    assert message is None or message.startswith(f"{key}: ")


@given(ids=st.lists(st.uuids(), min_size=1, max_size=4))
@settings(deadline=None)
def test_ids_of_nodes_are_read_back(ids: list[UUID]) -> None:
    requirements = parse_requirements({"node_id_match_any": ",".join(map(str, ids))})
    assert requirements.nodes == tuple(map(str, ids))
