"""Which workflow requests make sense (spec 2.4, reliability B09 to B14, B23)."""

import msgspec
import pytest

from edgeless_sim.errors import WorkflowSpecError
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import (
    SpawnWorkflowRequest,
    WorkflowFunction,
    WorkflowResource,
    validate_workflow,
    workflow_faults,
    workflow_warnings,
)

PING = FunctionClassSpecification(
    id="ping", function_type="RUST_WASM", version="0.1", binary=b"x", outputs=("out",)
)


def function(
    name: str = "f",
    mapping: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    code: FunctionClassSpecification = PING,
) -> WorkflowFunction:
    return WorkflowFunction(name, code, mapping or {}, annotations or {})


def resource(
    name: str = "r",
    class_type: str = "file-log",
    mapping: dict[str, str] | None = None,
    configurations: dict[str, str] | None = None,
) -> WorkflowResource:
    return WorkflowResource(name, class_type, mapping or {}, configurations or {})


def workflow(*components: WorkflowFunction | WorkflowResource) -> SpawnWorkflowRequest:
    return SpawnWorkflowRequest(
        functions=tuple(c for c in components if isinstance(c, WorkflowFunction)),
        resources=tuple(c for c in components if isinstance(c, WorkflowResource)),
    )


def refusal(request: SpawnWorkflowRequest) -> str:
    with pytest.raises(WorkflowSpecError) as caught:
        validate_workflow(request)
    return str(caught.value)


def test_a_workflow_without_components_is_accepted() -> None:
    validate_workflow(SpawnWorkflowRequest())


def test_cycles_and_mappings_to_itself_are_accepted() -> None:
    validate_workflow(
        workflow(
            function("a", {"out": "b", "me": "a"}),
            function("b", {"out": "a", "log": "r"}),
            resource("r", mapping={"new": "a"}),
        )
    )


@pytest.mark.parametrize(
    ("component", "detail"),
    [
        (function(""), "empty name in function"),
        (
            function(mapping={"": "f"}),
            "empty channel or component in output_mapping of a function",
        ),
        (
            function(mapping={"out": ""}),
            "empty channel or component in output_mapping of a function",
        ),
        (resource(""), "empty name in resource"),
        (resource(class_type=""), "empty class type in resource"),
        (
            resource(mapping={"": "r"}),
            "empty channel or component in output_mapping of a resource",
        ),
        (
            resource(mapping={"out": ""}),
            "empty channel or component in output_mapping of a resource",
        ),
    ],
)
def test_the_details_are_those_of_edgeless(
    component: WorkflowFunction | WorkflowResource, detail: str
) -> None:
    assert refusal(workflow(component)) == detail


def test_functions_are_looked_at_before_resources_and_targets_last() -> None:
    assert refusal(workflow(function(""), resource(""))) == "empty name in function"
    request = workflow(function("f", {"out": "nowhere"}), resource(""))
    assert refusal(request) == "empty name in resource"


def test_an_unknown_target_names_component_channel_target_and_the_nearest_name() -> None:
    request = workflow(function("ping", {"out": "pnog"}), function("pong"), resource("log"))
    assert refusal(request) == (
        "component 'ping': its channel 'out' goes to 'pnog', which is not a component of this"
        " workflow; did you mean 'pong'?"
    )


def test_a_target_of_a_resource_must_exist_too() -> None:
    assert "its channel 'new' goes to 'f'" in refusal(workflow(resource(mapping={"new": "f"})))


def test_names_are_unique_over_functions_and_resources() -> None:
    assert refusal(workflow(function("a"), function("a"))) == "two components are called 'a'"
    assert refusal(workflow(function("a"), resource("a"))) == "two components are called 'a'"


@pytest.mark.parametrize("name", ["x" * 256, "a\x00b", "a\u202eb", "portal-0-sink-local"])
def test_a_name_that_nobody_may_have_is_refused(name: str) -> None:
    assert "is not allowed" in refusal(workflow(function(name)))
    assert "is not allowed" in refusal(workflow(resource(name)))


@pytest.mark.parametrize("name", ["x" * 255, "a/b", "..", "with space", "portal"])
def test_an_unusual_name_is_accepted(name: str) -> None:
    validate_workflow(workflow(function(name)))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (msgspec.structs.replace(PING, id=""), "the class id"),
        (msgspec.structs.replace(PING, id="../../x"), "it looks like a path"),
        (msgspec.structs.replace(PING, id="a\\b"), "it looks like a path"),
        (msgspec.structs.replace(PING, id="x" * 1_000_000), "the class id"),
        (msgspec.structs.replace(PING, version=""), "is not a version"),
        (msgspec.structs.replace(PING, version="x"), "is not a version"),
        (msgspec.structs.replace(PING, version="1/../2"), "is not a version"),
        (msgspec.structs.replace(PING, version="0.1\n"), "is not a version"),
        (msgspec.structs.replace(PING, function_type=""), "the function type"),
        (msgspec.structs.replace(PING, code="a\0b"), "the code"),
        (msgspec.structs.replace(PING, outputs=("a", "")), "the output ''"),
        (msgspec.structs.replace(PING, outputs=("a",) * 1025), "1025 outputs, at most 1024"),
    ],
)
def test_a_class_that_cannot_be_one_is_refused(
    code: FunctionClassSpecification, message: str
) -> None:
    assert message in refusal(workflow(function(code=code)))


@pytest.mark.parametrize("version", ["0.1", "1", "v2", "1.0.0-rc.1+abc"])
def test_a_version_begins_with_a_digit(version: str) -> None:
    code = msgspec.structs.replace(PING, version=version)
    validate_workflow(workflow(function(code=code)))


def test_an_unknown_function_type_is_left_to_placement() -> None:
    code = msgspec.structs.replace(PING, function_type="NON_EXISTING")
    validate_workflow(workflow(function(code=code)))


def test_requirements_must_be_understood_for_functions_and_resources() -> None:
    message = refusal(workflow(function(annotations={"tee": "maybe"})))
    assert message.startswith("component 'f': tee: 'maybe'")
    message = refusal(workflow(resource(configurations={"node_id_match_any": ","})))
    assert message.startswith("component 'r': node_id_match_any: ")


def test_the_payload_for_init_is_at_most_a_mebibyte() -> None:
    validate_workflow(workflow(function(annotations={"init-payload": "x" * 2**20})))
    message = refusal(workflow(function(annotations={"init-payload": "x" * (2**20 + 1)})))
    assert message == "the payload of 'init-payload' is not allowed: it has more than 1048576 bytes"


def test_a_value_is_never_shown() -> None:
    message = refusal(workflow(resource(configurations={"password": "hunter2\ud800"})))
    assert "password" in message
    assert "hunter2" not in message


def test_maps_and_components_are_bounded() -> None:
    many = {f"k{n}": "v" for n in range(1025)}
    assert refusal(workflow(function(annotations=many))) == "1025 entries, at most 1024"
    assert refusal(SpawnWorkflowRequest(annotations=many)) == "1025 entries, at most 1024"
    mapping = {f"k{n}": "f" for n in range(1025)}
    assert refusal(workflow(function(mapping=mapping))) == "1025 entries, at most 1024"
    crowd = workflow(*(function(f"f{n}") for n in range(1000)), *(resource() for _ in range(25)))
    assert refusal(crowd) == "the workflow has 1025 components, at most 1024"


def test_a_thousand_outputs_are_accepted() -> None:
    mapping = {f"out{n}": "f" for n in range(1000)}
    validate_workflow(workflow(function(mapping=mapping)))


def test_a_fault_says_where_it_is() -> None:
    request = workflow(function("a"), function("b", {"out1": "c"}))
    assert [path for path, _ in workflow_faults(request)] == [
        ("functions", 1, "output_mapping", "out1")
    ]


def test_a_mapped_channel_that_the_class_does_not_declare_is_a_warning() -> None:
    request = workflow(function("f", {"otu": "f"}))
    validate_workflow(request)
    assert workflow_warnings(request) == [
        "functions[0].output_mapping: the class of 'f' declares no output 'otu';"
        " did you mean 'out'?"
    ]


def test_an_output_that_is_not_mapped_is_no_warning() -> None:
    assert workflow_warnings(workflow(function("f"))) == []


def test_annotations_of_the_whole_workflow_are_ignored_with_a_warning() -> None:
    assert len(workflow_warnings(SpawnWorkflowRequest(annotations={"a": "b"}))) == 1
