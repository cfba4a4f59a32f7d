"""Keys and values byte by byte as EDGELESS's own ε-ORC writes them, and intents (spec 7.1, 7.2)."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.intent import Cordon, Migrate, Uncordon
from edgeless_sim.model.mirror import MirroredComponent, Point
from edgeless_sim.model.node import INVALID_HEALTH, NodeCapabilities
from edgeless_sim.model.resource import (
    ResourceInstanceSpecification,
    ResourceProviderSpecification,
)
from edgeless_sim.orchestrator import redis_schema as schema

NODE = NodeId(UUID("f1953ec8-fbc6-5ca3-8ed6-c3fd392fa157"))
FUNCTION = FunctionId(UUID("c25a9885-1b60-4606-bcae-06bcf0abdadf"))
LID = LogicalId(UUID("ba722898-206b-4baf-bcb5-8511b8c8d4d6"))
WORKFLOW = WorkflowId(UUID("a6481eb1-c553-4e56-b89e-607d22fce09b"))
STATE = UUID("af4d97cf-6f56-474d-ab1a-2bbd7b845173")
NAMES = {"edge/0": NODE}


def test_the_keys_are_those_of_edgeless() -> None:
    assert schema.capabilities_key(NODE) == f"node:capabilities:{NODE}"
    assert schema.health_key(NODE) == f"node:health:{NODE}"
    assert schema.provider_key("file-log-node-1") == "provider:file-log-node-1"
    assert schema.instance_key(LID) == f"instance:{LID}"
    assert schema.dependency_key(LID) == f"dependency:{LID}"
    name = "function_execution_time"
    assert schema.series_key(FUNCTION, name) == f"performance:{FUNCTION}:{name}"
    assert schema.update_key("node:capabilities") == "node:capabilities:last_update"
    assert schema.is_update_key("dependency:last_update")


def test_a_function_is_written_as_edgeless_writes_it() -> None:
    code = FunctionClassSpecification(
        "messaging_test", "RUST_WASM", "0.1", b"\0asm", "messaging_test.wasm", ("out",)
    )
    request = SpawnFunctionRequest(
        code, {"init-payload": "a=b,c=d"}, StateSpecification(STATE), WORKFLOW, "name"
    )
    component = MirroredComponent(LID, request, None, (InstanceId(NODE, FUNCTION),))
    assert schema.instance_json(component) == (
        b'{"Function":[{"spec":{"id":"messaging_test","function_type":"RUST_WASM","version":"0.1",'
        b'"binary":null,"code":"messaging_test.wasm","outputs":["out"]},'
        b'"annotations":{"init-payload":"a=b,c=d"},'
        b'"state_specification":{"state_id":"af4d97cf-6f56-474d-ab1a-2bbd7b845173",'
        b'"state_policy":"NodeLocal"},"workflow_id":"a6481eb1-c553-4e56-b89e-607d22fce09b"},'
        b'["InstanceId(node_id: f1953ec8-fbc6-5ca3-8ed6-c3fd392fa157, '
        b'function_id: c25a9885-1b60-4606-bcae-06bcf0abdadf)"]]}'
    )


@pytest.mark.parametrize(
    ("instances", "place"),
    [
        (
            (InstanceId(NODE, FUNCTION),),
            f"InstanceId(node_id: {NODE}, function_id: {FUNCTION})",
        ),
        (
            (),
            "InstanceId(node_id: 00000000-0000-0000-0000-fffe00000000, "
            "function_id: 00000000-0000-0000-0000-fffd00000000)",
        ),
    ],
)
def test_a_resource_is_written_as_edgeless_writes_it(
    instances: tuple[InstanceId, ...], place: str
) -> None:
    request = ResourceInstanceSpecification("file-log", {"filename": "a.log"}, WORKFLOW, "log")
    component = MirroredComponent(LID, None, request, instances)
    assert schema.instance_json(component).decode() == (
        '{"Resource":[{"class_type":"file-log","configuration":{"filename":"a.log"},'
        f'"workflow_id":"{WORKFLOW}"}},"{place}"]}}'
    )


def test_nodes_and_providers_are_written_as_edgeless_writes_them() -> None:
    capabilities = NodeCapabilities(
        2, "AMD EPYC", 2000.0, 2, 1000, ("a", "b"), False, False, ("RUST_WASM",), 258019
    )
    assert schema.capabilities_json(capabilities) == (
        b'{"num_cpus":2,"model_name_cpu":"AMD EPYC","clock_freq_cpu":2000.0,"num_cores":2,'
        b'"mem_size":1000,"labels":["a","b"],"is_tee_running":false,"has_tpm":false,'
        b'"runtimes":["RUST_WASM"],"disk_tot_space":258019,"num_gpus":0,"model_name_gpu":"",'
        b'"mem_size_gpu":0}'
    )
    assert schema.health_json(INVALID_HEALTH) == (
        b'{"mem_free":-1,"mem_used":-1,"mem_available":-1,"proc_cpu_usage":-1,"proc_memory":-1,'
        b'"proc_vmemory":-1,"load_avg_1":-1,"load_avg_5":-1,"load_avg_15":-1,"tot_rx_bytes":-1,'
        b'"tot_rx_pkts":-1,"tot_rx_errs":-1,"tot_tx_bytes":-1,"tot_tx_pkts":-1,"tot_tx_errs":-1,'
        b'"disk_free_space":-1,"disk_tot_reads":-1,"disk_tot_writes":-1,"gpu_load_perc":-1,'
        b'"gpu_temp_cels":-1,"active_power":-1}'
    )
    provider = ResourceProviderSpecification("file-log-1", "file-log", ("new_req",))
    assert schema.provider_json(NODE, provider).decode() == (
        f'{{"class_type":"file-log","node_id":"{NODE}","outputs":["new_req"]}}'
    )
    assert schema.dependency_json({"output": LID}).decode() == f'{{"output":"{LID}"}}'


@pytest.mark.parametrize(
    ("point", "member"),
    [
        (Point(1795828540.8837802, 0.000030465), "1795828540.8837802:0.000030465"),
        (Point(1795828540.8833616, 0.0), "1795828540.8833616:0"),
        (Point(1795828540.0, 1e-9), "1795828540:0.000000001"),
        (Point(1795828540.89804, "messaging_test: started"), "1795828540.89804:messaging_test: st"),
    ],
)
def test_a_sample_is_written_as_edgeless_writes_it(point: Point, member: str) -> None:
    assert schema.point_member(point).startswith(member)
    assert isinstance(point.value, str) or schema.point_member(point) == member


def test_a_clock_of_single_precision_has_no_digits_of_double_precision() -> None:
    told = schema.capabilities_json(NodeCapabilities(clock_freq_cpu=2799.89990234375))
    assert json.loads(told)["clock_freq_cpu"] == 2799.9
    exact = schema.capabilities_json(NodeCapabilities(clock_freq_cpu=2799.9))
    assert json.loads(exact)["clock_freq_cpu"] == 2799.9


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("function_execution_time", "function_execution_time"),
        ("host.lab-http-ingress-1", "host.lab-http-ingress-1"),
        ("edgeless_sim::deep", "edgeless_sim%3A%3Adeep"),
        ("a*[b]?\\", "a%2A%5Bb%5D%3F%5C"),
        ("line\nend\0", "line%0Aend%00"),
        ("100%", "100%25"),
        ("Übung ε", "Übung ε"),
    ],
)
def test_ordinary_names_stay_as_they_are_and_others_do_no_harm(name: str, part: str) -> None:
    assert schema.encoded(name) == part
    assert schema.decoded(part) == name


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_name_is_one_part_of_a_key_and_comes_back(name: str) -> None:
    part = schema.encoded(name)
    assert not set(part) & set(":*?[]\\\n\r\0")
    assert schema.decoded(part) == name


OTHER = NodeId(UUID(int=9))


@pytest.mark.parametrize(
    ("key", "value", "intent"),
    [
        (f"intent:migrate:{LID}", f"{OTHER},{NODE}", Migrate(LID, (OTHER, NODE))),
        (f"intent:migrate:{LID}", f",{NODE},,", Migrate(LID, (NODE,))),
        (f"intent:migrate:{LID}", "no-such-node,edge/0", Migrate(LID, (NODE,))),
        (f"intent:migrate:{LID}", "", Migrate(LID, ())),
        (f"intent:cordon:{OTHER}", "yes", Cordon(OTHER)),
        ("intent:cordon:edge/0", "yes", Cordon(NODE)),
        ("intent:cordon:edge/0", "no", Uncordon(NODE)),
    ],
)
def test_intents_are_read_with_ids_and_with_names(key: str, value: str, intent: Any) -> None:
    assert schema.parse_intent(key.encode(), value.encode(), NAMES.get) == intent


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (f"intent:migrate:{LID}".encode(), None, "there is nothing at this key"),
        (b"intent:migrate:nonsense", b"x", "is no id of a component"),
        (b"intent:migrate:", b"x", "write intent:migrate:COMPONENT or intent:cordon:NODE"),
        (b"intent:explode:1", b"x", "write intent:migrate:COMPONENT"),
        (b"intent", b"x", "write intent:migrate:COMPONENT"),
        (b"nonsense", b"x", "write intent:migrate:COMPONENT"),
        (b"\xff\x00", b"x", "the key is no text"),
        (f"intent:migrate:{LID}".encode(), b"\xff", "the value is no text"),
        (f"intent:migrate:{LID}".encode(), b"a,b", "unknown node: 'a'"),
        (f"intent:migrate:{LID}".encode(), b"x," * 2_000, "2000 targets, at most 1024"),
        (b"intent:cordon:edge/0", b"perhaps", "'perhaps' is neither yes nor no"),
        (b"intent:cordon:edge/1", b"yes", "unknown node"),
        (b"intent:cordon:" + b"x" * 70_000, b"yes", "the key has 70014 bytes"),
    ],
)
def test_a_malformed_intent_is_refused_with_the_reason(
    key: bytes, value: bytes | None, reason: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        schema.parse_intent(key, value, NAMES.get)
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 1_100
