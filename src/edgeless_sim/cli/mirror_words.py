"""EDGELESS's words for what a mirror shows: nodes, capabilities, health, times (spec 7.5).

Pure. Not here: which verb shows what (`mirror_answers`).
"""

import re
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import Final

from edgeless_sim.model.ids import FUNCTION_ID_NONE, NODE_ID_NONE, InstanceId, NodeId
from edgeless_sim.model.mirror import DomainMirror, MirroredComponent, MirroredNode
from edgeless_sim.model.node import NodeCapabilities, NodeHealthStatus, plain_decimal

__all__ = [
    "NodeForm",
    "NodeNames",
    "capabilities_words",
    "health_words",
    "instances_of",
    "node_name",
    "on_one_line",
    "time_words",
    "value_words",
]

_HOSTNAME: Final = "hostname="
_NOT_RUNNING: Final = InstanceId(NODE_ID_NONE, FUNCTION_ID_NONE)
#: The last second that a calendar of four digits has.
_TIME_MAX: Final = 253_402_300_799
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class NodeForm(StrEnum):
    """How a node is printed."""

    HOSTNAME = "hostname"
    UUID = "uuid"
    LABELS = "labels"


def node_name(node: MirroredNode, form: NodeForm) -> str:
    """How *node* is printed: what *form* says, else its name, else its id."""
    if form is NodeForm.UUID:
        return str(node.node_id)
    labels = node.capabilities.labels
    if form is NodeForm.LABELS:
        shown = ",".join(labels)
    else:
        named = (label for label in labels if label.startswith(_HOSTNAME))
        shown = next(named, "").removeprefix(_HOSTNAME)
    return shown or node.name or str(node.node_id)


class NodeNames:
    """How the nodes of a domain are printed; one that is not there, by its id."""

    def __init__(self, mirror: DomainMirror, form: NodeForm) -> None:
        self._names = {node.node_id: node_name(node, form) for node in mirror.nodes}

    def of(self, node_id: NodeId) -> str:
        """How that node is printed."""
        return self._names.get(node_id) or str(node_id)


def instances_of(component: MirroredComponent) -> tuple[InstanceId, ...]:
    """Where it runs; a resource that runs nowhere has the "none" instance, as in EDGELESS."""
    if component.resource is not None and not component.instances:
        return (_NOT_RUNNING,)
    return component.instances


def capabilities_words(offer: NodeCapabilities) -> str:
    """What a node offers."""
    tee = ", TEE" if offer.is_tee_running else ""
    tpm = ", TPM" if offer.has_tpm else ""
    return (
        f"{offer.num_cpus} {offer.model_name_cpu} CPU(s) at "
        f"{plain_decimal(offer.clock_freq_cpu)} BogoMIPS, {offer.num_cores} core(s), "
        f"{offer.mem_size} MiB memory, labels [{','.join(offer.labels)}]{tee}{tpm}, "
        f"runtimes [{','.join(offer.runtimes)}], disk space {offer.disk_tot_space} MiB, "
        f"{offer.num_gpus} {offer.model_name_gpu} GPU(s) {offer.mem_size_gpu} MiB"
    )


def health_words(health: NodeHealthStatus) -> str:
    """How a node fares."""
    return (
        f"memory free {health.mem_free} kb, used {health.mem_used} kb, "
        f"available {health.mem_available} kb, process cpu usage {health.proc_cpu_usage}%, "
        f"memory {health.proc_memory} kb, vmemory {health.proc_vmemory} kb, "
        f"load avg 1 minute {health.load_avg_1}% 5 minutes {health.load_avg_5}% "
        f"15 minutes {health.load_avg_15}%, "
        f"network tot rx {health.tot_rx_bytes} bytes ({health.tot_rx_pkts} pkts) "
        f"{health.tot_rx_errs} errs, "
        f"tot tx {health.tot_tx_bytes} bytes ({health.tot_tx_pkts} pkts) "
        f"{health.tot_tx_errs} errs, "
        f"disk available {health.disk_free_space} bytes, "
        f"tot disk reads {health.disk_tot_reads} writes {health.disk_tot_writes}, "
        f"gpu_load_perc {health.gpu_load_perc}%, "
        f"gpu_temp_cels {health.gpu_temp_cels / 1000:.2f}°, "
        f"active_power {health.active_power} mW"
    )


def time_words(time_s: float) -> str:
    """*time_s* after 1970 as a calendar time, with as many digits as are needed: 0, 3, 6 or 9.

    All digits that the number has, as in EDGELESS: beyond the tenth of a microsecond they are
    noise.
    """
    # Also what is no number: a peer may send anything.
    exact = Decimal(min(time_s, float(_TIME_MAX)) if time_s > 0 else 0)
    seconds = int(exact)
    ns = int(((exact - seconds) * 10**9).to_integral_value(ROUND_DOWN))
    shown = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    digits = f"{ns:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{shown}.{digits} UTC" if digits else f"{shown} UTC"


def value_words(value: float | str) -> str:
    """A measured value, or a line of a log."""
    return on_one_line(value) if isinstance(value, str) else plain_decimal(value)


def on_one_line(text: str) -> str:
    """*text* with everything escaped that would begin a line or command a terminal."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
