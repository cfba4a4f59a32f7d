"""What the machine can do on which this process runs (spec 5.1)."""

import os
import platform
import re
from pathlib import Path
from typing import Final

import psutil

from edgeless_sim.model.node import CLOCK_MHZ_MAX, CPUS_MAX, NodeCapabilities

__all__ = ["detected_capabilities"]

_CPUINFO: Final = Path("/proc/cpuinfo")
_MIB: Final = 1 << 20


def detected_capabilities() -> NodeCapabilities:
    """Processors, memory and disk of this machine. What cannot be found out is 0 or empty."""
    cpus = min(os.cpu_count() or 1, CPUS_MAX)
    cores = psutil.cpu_count(logical=False) or cpus
    return NodeCapabilities(
        num_cpus=cpus,
        model_name_cpu=_told("model name") or platform.processor(),
        clock_freq_cpu=_clock_mhz(),
        num_cores=min(cores, CPUS_MAX),
        mem_size=psutil.virtual_memory().total // _MIB,
        disk_tot_space=psutil.disk_usage("/").total // _MIB,
    )


def _clock_mhz() -> float:
    text = _told("cpu MHz")
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", text):
        return min(float(round(float(text))), CLOCK_MHZ_MAX)
    frequency = psutil.cpu_freq()
    return 0.0 if frequency is None else min(float(round(frequency.current)), CLOCK_MHZ_MAX)


def _told(key: str) -> str:
    """What the kernel says of the first processor; empty if it does not."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
    return "" if found is None else found[1].strip()
