"""A node of a deployment tells how its machine fares; defect U33 is absent."""

import psutil
import pytest

from edgeless_sim.node.machine_health import MachineHealth


def test_free_disk_is_free_and_what_was_sent_is_not_what_was_received() -> None:
    before, disk = psutil.net_io_counters(), psutil.disk_usage("/")
    health = MachineHealth().look()
    after = psutil.net_io_counters()
    assert before.bytes_sent <= health.tot_tx_bytes <= after.bytes_sent
    assert before.packets_sent <= health.tot_tx_pkts <= after.packets_sent
    assert before.bytes_recv <= health.tot_rx_bytes <= after.bytes_recv
    assert abs(health.disk_free_space - disk.free) < disk.total // 100


def test_memory_is_in_kib_and_this_process_has_some_of_it() -> None:
    health = MachineHealth().look()
    total_kib = psutil.virtual_memory().total // 1024
    assert 0 < health.proc_memory < health.mem_used <= total_kib
    assert health.proc_memory <= health.proc_vmemory
    assert 0 < health.mem_available <= total_kib


def test_what_cannot_be_seen_is_said_to() -> None:
    health = MachineHealth().look()
    assert (health.gpu_load_perc, health.gpu_temp_cels, health.active_power) == (-1, -1000, -1)


@pytest.mark.parametrize("failure", [None, NotImplementedError("no /proc/diskstats"), OSError(13)])
def test_a_machine_without_counters_has_a_health_all_the_same(
    failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counters() -> None:
        if failure is not None:
            raise failure

    monkeypatch.setattr(psutil, "net_io_counters", counters)
    monkeypatch.setattr(psutil, "disk_io_counters", counters)
    health = MachineHealth().look()
    assert (health.tot_rx_bytes, health.tot_tx_errs, health.disk_tot_reads) == (-1, -1, -1)
    assert health.mem_available > 0
