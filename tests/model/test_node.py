"""Capabilities, health and their CSV rows (spec 5, 7.3, cases C090 and C091, reliability B60)."""

from math import inf, nan

import pytest
from msgspec.structs import replace

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.node import (
    CAPABILITIES_CSV_HEADER,
    HEALTH_CSV_HEADER,
    INVALID_HEALTH,
    NodeCapabilities,
    NodeHealthStatus,
)

BOARD = NodeCapabilities(
    num_cpus=8,
    model_name_cpu="Cortex, 8 cores",
    clock_freq_cpu=1500.5,
    num_cores=4,
    mem_size=7812,
    labels=("blue", "hostname=board"),
    has_tpm=True,
    runtimes=("RUST_WASM", "PYTHON"),
)


def test_headers_are_those_of_the_datasets() -> None:
    assert HEALTH_CSV_HEADER == (
        "mem_free,mem_used,mem_available,proc_cpu_usage,proc_memory,proc_vmemory,load_avg_1,"
        "load_avg_5,load_avg_15,tot_rx_bytes,tot_rx_pkts,tot_rx_errs,tot_tx_bytes,tot_tx_pkts,"
        "tot_tx_errs,disk_free_space,disk_tot_reads,disk_tot_writes,gpu_load_perc,gpu_temp_cels,"
        "active_power"
    )
    assert CAPABILITIES_CSV_HEADER == (
        "num_cpus,model_name_cpu,clock_freq_cpu,num_cores,mem_size,labels,is_tee_running,has_tpm,"
        "runtimes,disk_tot_space,num_gpus,model_name_gpu,mem_size_gpu"
    )


def test_a_row_has_as_many_commas_as_its_header() -> None:
    assert NodeHealthStatus().csv_row().count(",") == HEALTH_CSV_HEADER.count(",") == 20
    assert NodeCapabilities().csv_row().count(",") == CAPABILITIES_CSV_HEADER.count(",") == 12


def test_the_default_row_of_capabilities_is_that_of_edgeless() -> None:
    assert NodeCapabilities().csv_row() == "0,,0,0,0,[],false,false,[],0,0,,0"


def test_a_model_name_with_a_comma_stays_one_cell() -> None:
    assert BOARD.csv_row() == (
        '8,"Cortex, 8 cores",1500.5,4,7812,[blue;hostname=board],false,true,[RUST_WASM;PYTHON],'
        "0,0,,0"
    )


def test_the_temperature_is_written_in_degrees() -> None:
    health = NodeHealthStatus(mem_free=3, gpu_temp_cels=48500, active_power=12)
    assert health.csv_row() == "3" + ",0" * 18 + ",48.5,12"
    assert replace(health, gpu_temp_cels=48000).csv_row().endswith(",48,12")
    assert replace(health, gpu_temp_cels=0).csv_row().endswith(",0,12")


def test_a_large_or_small_clock_is_written_without_exponent() -> None:
    assert replace(BOARD, clock_freq_cpu=1e20).csv_row().split(",")[3] == "1" + "0" * 20
    assert replace(BOARD, clock_freq_cpu=1e-7).csv_row().split(",")[3] == "0.0000001"


def test_invalid_health_is_minus_one_everywhere() -> None:
    assert INVALID_HEALTH.mem_free == INVALID_HEALTH.gpu_temp_cels == -1
    assert INVALID_HEALTH.active_power == -1
    assert INVALID_HEALTH.csv_row() == "-1," * 19 + "-0.001,-1"


def test_true_capabilities_are_accepted() -> None:
    assert BOARD.validated() is BOARD
    assert NodeCapabilities().validated() == NodeCapabilities()
    replace(BOARD, num_cpus=65_535, num_cores=65_535).validated()
    replace(BOARD, labels=tuple(f"l{n}" for n in range(1000))).validated()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clock_freq_cpu", nan),
        ("clock_freq_cpu", inf),
        ("clock_freq_cpu", -1.0),
        ("clock_freq_cpu", 1e7),
        ("num_cpus", -1),
        ("num_cpus", 2**32 - 1),
        ("num_cores", 65_536),
        ("num_cores", 10**400),
        ("mem_size", -1),
        ("disk_tot_space", 2**32),
        ("num_gpus", -1),
        ("mem_size_gpu", -1),
        ("labels", tuple(f"l{n}" for n in range(1001))),
        ("labels", ("a\nb",)),
        ("labels", ("x" * 256,)),
        ("runtimes", ("RUST_WASM", "")),
        ("runtimes", ("a\x00",)),
        ("runtimes", ("r",) * 1001),
        ("model_name_cpu", "\u202eCPU"),
        ("model_name_gpu", "x" * 256),
    ],
)
def test_capabilities_that_cannot_be_true_are_rejected(field: str, value: object) -> None:
    with pytest.raises(RejectedError) as caught:
        replace(BOARD, **{field: value}).validated()
    assert caught.value.summary == "invalid node capabilities"
    assert caught.value.detail is not None
    assert caught.value.detail.startswith(f"{field}: ")
    assert len(caught.value.detail) < 512
