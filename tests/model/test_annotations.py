"""Deployment requirements fail closed (spec 2.3, case C021, reliability B17 to B20)."""

import pytest

from edgeless_sim.errors import WorkflowSpecError
from edgeless_sim.model.annotations import DeploymentRequirements, parse_requirements

U1 = "fda6ce79-46df-4f96-a0d2-456f720f606c"
U2 = "0d1a0ce3-7d2a-4b9e-8f5c-3a2b1c0d9e8f"


@pytest.mark.parametrize("annotations", [{}, {"foo": "bar", "mickey": "mouse"}])
def test_no_annotation_and_unknown_ones_ask_for_nothing(annotations: dict[str, str]) -> None:
    assert parse_requirements(annotations) == DeploymentRequirements()


def test_all_requirements_are_read() -> None:
    requirements = parse_requirements(
        {
            "max_instances": "42",
            "node_id_match_any": f"{U1},{U2}",
            "label_match_all": "red,blue",
            "resource_match_all": "file,redis",
            "tee": "REQuired",
            "tpm": "required",
        }
    )
    assert requirements == DeploymentRequirements(
        max_instances=42,
        nodes=(U1, U2),
        labels=("red", "blue"),
        providers=("file", "redis"),
        tee_required=True,
        tpm_required=True,
    )


def test_a_node_may_be_given_by_name_beside_ids() -> None:
    needs = parse_requirements({"node_id_match_any": f"edge/0,edge-1,{U1.upper()}"})
    assert needs.nodes == ("edge/0", "edge-1", U1)


def test_a_long_name_with_hyphens_is_not_taken_for_a_uuid() -> None:
    name = "production-cluster-munich-floor3-node12"
    assert parse_requirements({"node_id_match_any": name}).nodes == (name,)


@pytest.mark.parametrize("key", ["label_match_all", "resource_match_all"])
def test_an_empty_list_of_names_asks_for_nothing(key: str) -> None:
    assert parse_requirements({key: ""}) == DeploymentRequirements()


def test_labels_are_not_trimmed() -> None:
    assert parse_requirements({"label_match_all": "red, blue"}).labels == ("red", " blue")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_instances", ""),
        ("max_instances", "-1"),
        ("max_instances", "+1"),
        ("max_instances", "NaN"),
        ("max_instances", "1e30"),
        ("max_instances", "1_000"),
        ("max_instances", "8\n"),
        ("max_instances", " 8"),
        ("max_instances", "\u0663"),
        ("max_instances", "4294967296"),
        ("max_instances", "9" * 5000),
        ("node_id_match_any", ""),
        ("node_id_match_any", ","),
        ("node_id_match_any", f"{U1},"),
        ("node_id_match_any", f"{U1}, {U2}"),
        ("node_id_match_any", f"urn:uuid:{U1}"),
        ("node_id_match_any", f"{{{U1}}}"),
        ("node_id_match_any", U1.replace("-", "")),
        ("node_id_match_any", U1[:-1]),
        ("node_id_match_any", U1 + "0"),
        ("node_id_match_any", U1.replace("f", "g", 1)),
        ("node_id_match_any", U1.replace("6", "\uff16")),
        ("node_id_match_any", "edge/0;edge/1"),
        ("label_match_all", "red,,blue"),
        ("label_match_all", "red,"),
        ("label_match_all", "a\nb"),
        ("resource_match_all", ",file"),
        ("tee", "maybe"),
        ("tee", ""),
        ("tee", "true"),
        ("tpm", "required "),
        ("tpm", "REQUIRED,"),
    ],
)
def test_a_requirement_that_is_not_understood_is_refused_by_key(key: str, value: str) -> None:
    with pytest.raises(WorkflowSpecError, match=f"^{key}: ") as caught:
        parse_requirements({key: value})
    assert len(str(caught.value).encode()) <= 1024


def test_not_required_is_understood_in_any_case() -> None:
    assert parse_requirements({"tee": "Not-Required", "tpm": "not-required"}) == (
        DeploymentRequirements()
    )


def test_a_list_is_bounded() -> None:
    with pytest.raises(WorkflowSpecError, match="1025 items, at most 1024"):
        parse_requirements({"label_match_all": ",".join(["x"] * 1025)})
