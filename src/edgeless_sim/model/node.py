"""What a node says about itself: capabilities, health, measurements (spec 5.1, 5.2, 10.2).

Fields stand in the order of EDGELESS's messages and CSV files. Not here: how a node finds these
values, and which node is chosen.
"""

from decimal import Decimal
from math import isfinite
from typing import Final, NoReturn

import msgspec

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.ids import FunctionId
from edgeless_sim.model.names import name_fault, quoted

__all__ = [
    "CAPABILITIES_CSV_HEADER",
    "CLOCK_MHZ_MAX",
    "CPUS_MAX",
    "HEALTH_CSV_HEADER",
    "INVALID_HEALTH",
    "LABELS_MAX",
    "FunctionLogEntry",
    "NodeCapabilities",
    "NodeHealthStatus",
    "NodePerformanceSamples",
    "Sample",
    "plain_decimal",
]

#: Most CPUs, and most cores: their product stays below 2^32, where EDGELESS's weight overflows.
CPUS_MAX: Final = 65_535
CLOCK_MHZ_MAX: Final = 1_000_000.0
LABELS_MAX: Final = 1_000
_UINT32_MAX: Final = (1 << 32) - 1


class NodeCapabilities(msgspec.Struct, frozen=True):
    """What a node offers; a node of zero CPUs or cores is never chosen."""

    num_cpus: int = 0
    """Logical CPUs."""
    model_name_cpu: str = ""
    clock_freq_cpu: float = 0.0
    """MHz; 0 = unknown."""
    num_cores: int = 0
    """Physical cores."""
    mem_size: int = 0
    """MiB."""
    labels: tuple[str, ...] = ()
    is_tee_running: bool = False
    has_tpm: bool = False
    runtimes: tuple[str, ...] = ()
    """The ``function_type``s that the node can run."""
    disk_tot_space: int = 0
    """MiB."""
    num_gpus: int = 0
    model_name_gpu: str = ""
    mem_size_gpu: int = 0
    """MiB."""

    def validated(self) -> "NodeCapabilities":
        """These capabilities, if they can be true; else raise `RejectedError`.

        Registration asks: one infinite clock would make every weighted draw fail (reliability
        B60).
        """
        for field in ("num_cpus", "num_cores"):
            _check_range(field, getattr(self, field), CPUS_MAX)
        for field in ("mem_size", "disk_tot_space", "num_gpus", "mem_size_gpu"):
            _check_range(field, getattr(self, field), _UINT32_MAX)
        # Not a number is in no range.
        if not 0 <= self.clock_freq_cpu <= CLOCK_MHZ_MAX:
            _reject(f"clock_freq_cpu: {self.clock_freq_cpu} is not between 0 and {CLOCK_MHZ_MAX}")
        for field in ("labels", "runtimes"):
            count = len(getattr(self, field))
            if count > LABELS_MAX:
                _reject(f"{field}: {count} of them, at most {LABELS_MAX}")
        for runtime in self.runtimes:
            _check_name("runtimes", runtime)
        for label in self.labels:
            _check_optional_name("labels", label)
        _check_optional_name("model_name_cpu", self.model_name_cpu)
        _check_optional_name("model_name_gpu", self.model_name_gpu)
        return self

    def __str__(self) -> str:
        """In EDGELESS's words, as its logs have them; MHz are called BogoMIPS there."""
        return (
            f"{self.num_cpus} {self.model_name_cpu} CPU(s) at {self.clock_freq_cpu:g} BogoMIPS, "
            f"{self.num_cores} core(s), {self.mem_size} MB memory"
        )

    def csv_row(self) -> str:
        """The row that belongs to `CAPABILITIES_CSV_HEADER`."""
        return ",".join(_csv_cell(getattr(self, field)) for field in self.__struct_fields__)


class NodeHealthStatus(msgspec.Struct, frozen=True):
    """How a node fares now; -1 = not known."""

    mem_free: int = 0
    """KiB, as are all memory sizes here."""
    mem_used: int = 0
    mem_available: int = 0
    proc_cpu_usage: int = 0
    """Percent of one CPU."""
    proc_memory: int = 0
    proc_vmemory: int = 0
    load_avg_1: int = 0
    """Hundredths, as are the other two."""
    load_avg_5: int = 0
    load_avg_15: int = 0
    tot_rx_bytes: int = 0
    """Since boot, over all interfaces, as are the five after it."""
    tot_rx_pkts: int = 0
    tot_rx_errs: int = 0
    tot_tx_bytes: int = 0
    tot_tx_pkts: int = 0
    tot_tx_errs: int = 0
    disk_free_space: int = 0
    """Bytes, as are the two after it."""
    disk_tot_reads: int = 0
    disk_tot_writes: int = 0
    gpu_load_perc: int = 0
    gpu_temp_cels: int = 0
    """Thousandths of a degree Celsius."""
    active_power: int = 0
    """mW."""

    def csv_row(self) -> str:
        """The row that belongs to `HEALTH_CSV_HEADER`; the temperature is in degrees."""
        cells: dict[str, int | float] = msgspec.structs.asdict(self)
        cells["gpu_temp_cels"] = self.gpu_temp_cels / 1000
        return ",".join(_csv_cell(value) for value in cells.values())


INVALID_HEALTH: Final = NodeHealthStatus(*[-1] * len(NodeHealthStatus.__struct_fields__))
HEALTH_CSV_HEADER: Final = ",".join(NodeHealthStatus.__struct_fields__)
CAPABILITIES_CSV_HEADER: Final = ",".join(NodeCapabilities.__struct_fields__)


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One measured value and when it was measured (seconds since 1970 and nanoseconds)."""

    timestamp_sec: int
    timestamp_ns: int
    sample: float


class FunctionLogEntry(msgspec.Struct, frozen=True, gc=False):
    """One line that a function logged, and when (seconds since 1970 and nanoseconds)."""

    timestamp_sec: int
    timestamp_ns: int
    target: str
    msg: str


class NodePerformanceSamples(msgspec.Struct, frozen=True):
    """What a node measured since its last refresh, by instance.

    The node is known to the reader, so the second half of the physical id names the instance.
    Times are in seconds.
    """

    function_instantiate_times: dict[FunctionId, tuple[Sample, ...]] = {}
    function_init_times: dict[FunctionId, tuple[Sample, ...]] = {}
    function_execution_times: dict[FunctionId, tuple[Sample, ...]] = {}
    function_stop_times: dict[FunctionId, tuple[Sample, ...]] = {}
    function_transfer_times: dict[FunctionId, tuple[Sample, ...]] = {}
    function_log_entries: dict[FunctionId, tuple[FunctionLogEntry, ...]] = {}


def _check_range(field: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        # A number of thousands of digits cannot even be printed.
        shown = value if value.bit_length() <= 64 else "a number beyond 64 bits"
        _reject(f"{field}: {shown} is not between 0 and {most}")


def _check_name(field: str, name: str) -> None:
    fault = name_fault(name)
    if fault:
        _reject(f"{field}: {quoted(name)}: {fault}")


def _check_optional_name(field: str, name: str) -> None:
    if name:
        _check_name(field, name)


def _reject(detail: str) -> NoReturn:
    raise RejectedError("invalid node capabilities", detail)


def _csv_cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return plain_decimal(value)
    text = f"[{';'.join(value)}]" if isinstance(value, tuple) else str(value)
    # A model name may have a comma, which must not become a column.
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def plain_decimal(value: float) -> str:
    """The shortest decimal that reads back as *value*: no exponent, no ``.0`` (spec 0)."""
    if not isfinite(value):
        return "NaN" if value != value else str(value)
    shown = format(Decimal(repr(value)), "f")
    return shown.removesuffix(".0")
