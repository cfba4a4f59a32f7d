"""How a simulated node fares: a plain model of its memory and load."""

from typing import Final

from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus

__all__ = ["LoadMeter", "modelled_health"]

_KIB_PER_MIB: Final = 1024
#: What the node's own process, and one instance, take.
_PROCESS_KIB: Final = 64 * 1024
_INSTANCE_KIB: Final = 32


class LoadMeter:
    """How busy the cores of a node were between two looks."""

    __slots__ = ("_cores", "_counted_ns", "_looked_ns", "_scheduler", "percent")

    def __init__(self, scheduler: Scheduler, cores: int) -> None:
        self._scheduler = scheduler
        self._cores = max(1, cores)
        self._looked_ns = scheduler.now_ns()
        self._counted_ns = 0
        #: Between the last two looks, 0 to 100.
        self.percent = 0

    def look(self, busy_ns: int) -> None:
        """*busy_ns* is the core time used in all. What a long segment was charged ahead of its
        time counts at the next looks."""
        now_ns = self._scheduler.now_ns()
        capacity_ns = (now_ns - self._looked_ns) * self._cores
        if capacity_ns > 0:
            used_ns = min(capacity_ns, busy_ns - self._counted_ns)
            self._counted_ns += used_ns
            self._looked_ns = now_ns
            self.percent = round(100 * used_ns / capacity_ns)


def modelled_health(
    capabilities: NodeCapabilities, instances: int, load_percent: int
) -> NodeHealthStatus:
    """Health of a node with that many instances whose cores were busy for that part of the time."""
    total_kib = capabilities.mem_size * _KIB_PER_MIB
    used_kib = _PROCESS_KIB + instances * _INSTANCE_KIB
    free_kib = max(0, total_kib - used_kib)
    cores = max(1, capabilities.num_cpus)
    load = load_percent * cores
    return NodeHealthStatus(
        mem_free=free_kib,
        mem_used=used_kib,
        mem_available=free_kib,
        proc_cpu_usage=load,
        proc_memory=used_kib,
        proc_vmemory=used_kib,
        load_avg_1=load,
        load_avg_5=load,
        load_avg_15=load,
        disk_free_space=capabilities.disk_tot_space << 20,
        gpu_load_perc=-1,
        gpu_temp_cels=-1000,
        active_power=-1,
    )
