"""EDGELESS's words for nodes, capabilities, health and times, letter by letter (spec 7.5)."""

from uuid import UUID

import pytest

from edgeless_sim.cli.mirror_dumps import Measurement, csv_line, series_files
from edgeless_sim.cli.mirror_intents import meant_component, meant_node
from edgeless_sim.cli.mirror_words import (
    NodeForm,
    NodeNames,
    capabilities_words,
    health_words,
    node_name,
    on_one_line,
    time_words,
    value_words,
)
from edgeless_sim.cli.top_tables import nodes_answer
from edgeless_sim.errors import UnknownComponentError
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import DomainId, FunctionId, InstanceId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.mirror import (
    DomainMirror,
    MirroredComponent,
    MirroredHealth,
    MirroredNode,
    Point,
    Series,
)
from edgeless_sim.model.node import INVALID_HEALTH, NodeCapabilities, NodeHealthStatus

FIRST, SECOND = (NodeId(UUID(f"{digit}ba123fd-e697-4e92-8413-ff63fd70ae9c")) for digit in "19")
LID = LogicalId(UUID("d65ae2b9-0b15-4ab6-8a06-cf52287d0276"))
PID = FunctionId(UUID("4aa04c71-d518-4c0a-b544-e2a19074174d"))
WORKFLOW = WorkflowId(UUID("193f5335-96e4-45f8-8ca9-219603cf70f5"))


def _node(node_id: NodeId, *labels: str, name: str = "") -> MirroredNode:
    return MirroredNode(node_id, NodeCapabilities(labels=labels), name=name)


def test_capabilities_of_a_plain_machine() -> None:
    offer = NodeCapabilities(
        num_cpus=8,
        model_name_cpu="AMD EPYC",
        clock_freq_cpu=2596.0,
        num_cores=4,
        mem_size=24105,
        labels=("hostname=vm", "tier=edge"),
        runtimes=("RUST_WASM", "CONTAINER"),
        disk_tot_space=258019,
    )
    assert capabilities_words(offer) == (
        "8 AMD EPYC CPU(s) at 2596 BogoMIPS, 4 core(s), 24105 MiB memory, "
        "labels [hostname=vm,tier=edge], runtimes [RUST_WASM,CONTAINER], "
        "disk space 258019 MiB, 0  GPU(s) 0 MiB"
    )


def test_capabilities_of_a_trusted_machine_with_gpus() -> None:
    offer = NodeCapabilities(
        clock_freq_cpu=1499.5,
        is_tee_running=True,
        has_tpm=True,
        num_gpus=2,
        model_name_gpu="A100",
        mem_size_gpu=40960,
    )
    assert capabilities_words(offer) == (
        "0  CPU(s) at 1499.5 BogoMIPS, 0 core(s), 0 MiB memory, labels [], TEE, TPM, "
        "runtimes [], disk space 0 MiB, 2 A100 GPU(s) 40960 MiB"
    )


def test_health() -> None:
    assert health_words(NodeHealthStatus(*[*range(1, 20), 45678, 21])) == (
        "memory free 1 kb, used 2 kb, available 3 kb, process cpu usage 4%, memory 5 kb, "
        "vmemory 6 kb, load avg 1 minute 7% 5 minutes 8% 15 minutes 9%, "
        "network tot rx 10 bytes (11 pkts) 12 errs, tot tx 13 bytes (14 pkts) 15 errs, "
        "disk available 16 bytes, tot disk reads 17 writes 18, gpu_load_perc 19%, "
        "gpu_temp_cels 45.68°, active_power 21 mW"
    )
    assert "gpu_temp_cels -1.00°, active_power -1 mW" in health_words(
        NodeHealthStatus(gpu_temp_cels=-1000, active_power=-1)
    )


@pytest.mark.parametrize(
    ("time_s", "words"),
    [
        # As EDGELESS's own program writes these numbers.
        (1795827966.2528315, "2026-11-28 01:06:06.252831459 UTC"),
        (1795827967.2609053, "2026-11-28 01:06:07.260905265 UTC"),
        (1795827967.260383, "2026-11-28 01:06:07.260382890 UTC"),
        (1750244173.0, "2025-06-18 10:56:13 UTC"),
        (1750244173.5, "2025-06-18 10:56:13.500 UTC"),
        (0.000001, "1970-01-01 00:00:00.000000999 UTC"),
        (-5.0, "1970-01-01 00:00:00 UTC"),
        (1e300, "9999-12-31 23:59:59 UTC"),
        (float("inf"), "9999-12-31 23:59:59 UTC"),
        (float("nan"), "1970-01-01 00:00:00 UTC"),
    ],
)
def test_a_time_has_the_digits_that_it_needs(time_s: float, words: str) -> None:
    assert time_words(time_s) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.000065718, "0.000065718"), (100.0, "100"), (1e-9, "0.000000001"), ("a: b, c", "a: b, c")],
)
def test_a_value_has_no_exponent(value: float | str, words: str) -> None:
    assert value_words(value) == words


def test_a_line_of_a_log_stays_one_line_and_commands_no_terminal() -> None:
    assert on_one_line("a\nb\x1b[2Jc\x85\u2028é") == r"a\nb\x1b[2Jc\x85\u2028é"


@pytest.mark.parametrize(
    ("form", "labels", "name", "printed"),
    [
        (NodeForm.HOSTNAME, ("a=b", "hostname=vm", "hostname=other"), "n", "vm"),
        (NodeForm.HOSTNAME, ("hostname:vm",), "edge/0", "edge/0"),
        (NodeForm.HOSTNAME, ("hostname=",), "", str(FIRST)),
        (NodeForm.LABELS, ("a=b", "hostname=vm"), "n", "a=b,hostname=vm"),
        (NodeForm.LABELS, (), "", str(FIRST)),
        (NodeForm.UUID, ("hostname=vm",), "n", str(FIRST)),
    ],
)
def test_how_a_node_is_printed(
    form: NodeForm, labels: tuple[str, ...], name: str, printed: str
) -> None:
    assert node_name(_node(FIRST, *labels, name=name), form) == printed


@pytest.mark.parametrize("text", [str(FIRST), str(FIRST).upper(), "1ba1", "vm", "edge/0", " vm "])
def test_a_node_goes_by_id_and_by_what_is_printed(text: str) -> None:
    mirror = DomainMirror(
        DomainId("d"), (_node(FIRST, "hostname=vm", name="edge/0"), _node(SECOND, "hostname=b"))
    )
    assert meant_node(text, mirror) == FIRST


def test_a_name_of_two_nodes_is_ambiguous() -> None:
    mirror = DomainMirror(
        DomainId("d"), (_node(FIRST, "hostname=vm"), _node(SECOND, "hostname=vm"))
    )
    with pytest.raises(UnknownComponentError, match="invalid node id 'vm'") as refusal:
        meant_node("vm", mirror)
    assert refusal.value.detail == f"it may be {FIRST}, {SECOND}"


def test_an_unknown_node_is_refused_with_the_nearest_name() -> None:
    mirror = DomainMirror(DomainId("d"), (_node(FIRST, "hostname=edge-one"),))
    with pytest.raises(UnknownComponentError, match="invalid node id 'edge-on'") as refusal:
        meant_node("edge-on", mirror)
    assert (refusal.value.detail or "").endswith("; did you mean 'edge-one'?")
    stranger = "6f4c4ee4-2c4b-4b8f-9d7d-6b1f3a1c0001"
    assert meant_node(stranger, mirror) == UUID(stranger), "it may be too new to be shown"


def test_a_component_goes_by_its_name_where_that_is_known() -> None:
    request = SpawnFunctionRequest(
        FunctionClassSpecification("c", "RUST_WASM", "1"),
        {},
        StateSpecification(UUID(int=1)),
        WORKFLOW,
        name="ping",
    )
    mirror = DomainMirror(DomainId("d"), components=(MirroredComponent(LID, function=request),))
    for text in (str(LID), "d65ae2b9", "ping", f"{WORKFLOW}/ping"):
        assert meant_component(text, mirror) == LID
    for text in ("d65", "pong", ""):
        with pytest.raises(UnknownComponentError, match="invalid instance id"):
            meant_component(text, mirror)


def test_a_log_cannot_choose_where_its_file_goes() -> None:
    names = ["../../etc/passwd", "a::b", "x" * 300, "x" * 299 + "y", "é\0"]
    mirror = DomainMirror(
        DomainId("d"),
        series=tuple(
            Series(InstanceId(FIRST, PID), name, (Point(1.0, "hello, world\n"),)) for name in names
        ),
    )
    files = dict(series_files(mirror))
    assert len(files) == len(names), "each has a file of its own"
    assert f"a::b-{PID}.dat" in files
    assert all("/" not in file and "\0" not in file and len(file) < 255 for file in files)
    assert set(files.values()) == {"1970-01-01 00:00:01 UTC,hello, world\\n\n"}


def test_what_has_a_comma_is_quoted_in_the_table() -> None:
    row = Measurement("log", "lid", 'say "hi", twice', "t", "a,b")
    assert csv_line(row) == 'log,lid,"say ""hi"", twice",t,"a,b"'


@pytest.mark.parametrize(
    ("used", "available", "memory"), [(3, 4, "0.75"), (1, 0, "-"), (-1, 5, "-"), (0, 5, "0.00")]
)
def test_memory_is_a_ratio(used: int, available: int, memory: str) -> None:
    health = NodeHealthStatus(mem_used=used, mem_available=available)
    node = MirroredNode(FIRST, NodeCapabilities(), health=(MirroredHealth(1.0, health),))
    mirror = DomainMirror(DomainId("d"), (node,))
    ((*_, shown, _gpu, _power),) = nodes_answer(mirror, NodeNames(mirror, NodeForm.UUID)).rows
    assert shown == memory


def test_what_is_not_known_of_a_node_is_shown_as_such() -> None:
    nodes = (
        MirroredNode(FIRST, NodeCapabilities(runtimes=("A", "B"))),
        MirroredNode(SECOND, NodeCapabilities(), health=(MirroredHealth(1.0, INVALID_HEALTH),)),
    )
    mirror = DomainMirror(DomainId("d"), nodes)
    answer = nodes_answer(mirror, NodeNames(mirror, NodeForm.HOSTNAME))
    assert answer.rows == [
        (str(FIRST), "A,B", "-", "-", "-", "-", "-"),
        (str(SECOND), "-", "-", "-", "-", "-", "-"),
    ]
