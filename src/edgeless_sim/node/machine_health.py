"""How the machine fares on which this process runs (spec 5.1)."""

from collections.abc import Callable
from typing import Any, Final

import psutil

from edgeless_sim.model.node import NodeHealthStatus

__all__ = ["MachineHealth"]

_KIB: Final = 1024


class MachineHealth:
    """Looks at the machine, and at this process beside it; -1 where there is nothing to look at."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        # The first answer of it counts from nowhere.
        self._process.cpu_percent()

    def look(self) -> NodeHealthStatus:
        """Now. Takes half a millisecond."""
        memory = psutil.virtual_memory()
        own = self._process.memory_info()
        loads = [round(100 * load) for load in psutil.getloadavg()]
        sent = _counted(psutil.net_io_counters)
        disk = _counted(psutil.disk_io_counters)
        return NodeHealthStatus(
            mem_free=_kib(memory.free),
            mem_used=_kib(memory.used),
            mem_available=_kib(memory.available),
            proc_cpu_usage=int(self._process.cpu_percent()),
            proc_memory=_kib(own.rss),
            proc_vmemory=_kib(own.vms),
            load_avg_1=loads[0],
            load_avg_5=loads[1],
            load_avg_15=loads[2],
            tot_rx_bytes=-1 if sent is None else sent.bytes_recv,
            tot_rx_pkts=-1 if sent is None else sent.packets_recv,
            tot_rx_errs=-1 if sent is None else sent.errin,
            tot_tx_bytes=-1 if sent is None else sent.bytes_sent,
            tot_tx_pkts=-1 if sent is None else sent.packets_sent,
            tot_tx_errs=-1 if sent is None else sent.errout,
            disk_free_space=psutil.disk_usage("/").free,
            disk_tot_reads=-1 if disk is None else disk.read_bytes,
            disk_tot_writes=-1 if disk is None else disk.write_bytes,
            gpu_load_perc=-1,
            gpu_temp_cels=-1000,
            active_power=-1,
        )


def _counted(counters: Callable[[], Any]) -> Any:
    """What *counters* tell, or None: containers may have no such thing, or not show it."""
    try:
        return counters()
    except (OSError, NotImplementedError, RuntimeError):
        return None


def _kib(size: int) -> int:
    return size // _KIB
