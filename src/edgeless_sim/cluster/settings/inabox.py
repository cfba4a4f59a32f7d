"""The files of a whole deployment on one machine, as ``edgeless_inabox -t`` writes them (spec 8.7).

They are those of EDGELESS's present generation: domains register themselves. Not here: writing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Final

import msgspec

from edgeless_sim.cluster.settings.controller import PERSISTENCE_FILENAME, ControllerSettingsFile
from edgeless_sim.cluster.settings.file import (
    render_controller_settings,
    render_node_settings,
    render_orchestrator_settings,
)
from edgeless_sim.cluster.settings.node import (
    CapabilitiesTable,
    ContainerTable,
    NodeEdgelessSimTable,
    NodeGeneral,
    NodeSettingsFile,
    TelemetryTable,
    WasmTable,
)
from edgeless_sim.cluster.settings.orchestrator import (
    BaselineTable,
    OrchestratorGeneral,
    OrchestratorSettingsFile,
    ProxyTable,
)
from edgeless_sim.cluster.settings.resources import ResourcesTable
from edgeless_sim.cluster.settings.urls import PORT_MAX
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.node.state_store import STATE_FOLDER

__all__ = ["BoxAddress", "inabox_templates", "initial_port_max"]

#: Of the ε-CON, whatever the others are.
_CONTROLLER_PORT: Final = 7001
_DOMAIN_REGISTER_PORT: Final = 7002
_TAKEN: Final = (_CONTROLLER_PORT, _DOMAIN_REGISTER_PORT)
_ORCHESTRATOR_PORTS: Final = 2
_NODE_PORTS: Final = 4
_REFRESH_S: Final = 2


@dataclass(frozen=True, slots=True)
class BoxAddress:
    """Where the components of a box listen, and what others are told."""

    bound: str = "127.0.0.1"
    """Of what nodes and ε-ORC call one another at."""
    announced: str = "127.0.0.1"
    """The same as others reach it; everything else listens here."""


def initial_port_max(nodes: int) -> int:
    """The highest first port with which *nodes* nodes have all theirs."""
    return PORT_MAX + 1 - _ports_total(nodes)


def inabox_templates(
    node_ids: Sequence[NodeId],
    detected: NodeCapabilities,
    *,
    hostname: str,
    initial_port: int = 7000,
    address: BoxAddress = BoxAddress(),
) -> dict[str, str]:
    """File name -> text, of a deployment with a node for each of *node_ids*.

    *initial_port* is at most `initial_port_max`.
    """
    free = (port for port in count(initial_port) if port not in _TAKEN)
    ports = list(islice(free, _ports_total(len(node_ids))))
    assert ports[-1] <= PORT_MAX, "checked by initial_port_max"
    orchestrator, register, *others = ports
    files = {
        "orchestrator.toml": _orchestrator(initial_port, orchestrator, register, address),
        "controller.toml": _controller(address),
    }
    single = len(node_ids) == 1
    for index, node_id in enumerate(node_ids):
        name = "node" if single else f"node{index}"
        mine = others[_NODE_PORTS * index :]
        file = NodeSettingsFile(
            general=_node_general(node_id, register, mine, address),
            telemetry=TelemetryTable(
                metrics_url=_url(address.announced, mine[2]),
                performance_samples=False,
            ),
            wasm_runtime=WasmTable(enabled=True),
            container_runtime=ContainerTable(enabled=False, guest_api_host_url=""),
            resources=_resources(index + 1, _url(address.announced, mine[3])),
            user_node_capabilities=_capabilities(detected, hostname),
            edgeless_sim=_ours(name, alone=single),
        )
        files[f"{name}.toml"] = render_node_settings(file)
    return files


def _ports_total(nodes: int) -> int:
    return _ORCHESTRATOR_PORTS + _NODE_PORTS * nodes


def _url(host: str, port: int) -> str:
    return f"http://{host}:{port}"


def _controller(address: BoxAddress) -> str:
    return render_controller_settings(
        ControllerSettingsFile(
            controller_url=_url(address.announced, _CONTROLLER_PORT),
            domain_register_url=_url(address.announced, _DOMAIN_REGISTER_PORT),
            persistence_filename=PERSISTENCE_FILENAME,
        )
    )


def _orchestrator(initial_port: int, port: int, register: int, address: BoxAddress) -> str:
    return render_orchestrator_settings(
        OrchestratorSettingsFile(
            general=OrchestratorGeneral(
                domain_register_url=_url(address.announced, _DOMAIN_REGISTER_PORT),
                subscription_refresh_interval_sec=_REFRESH_S,
                domain_id=f"domain-{initial_port}",
                orchestrator_url=_url(address.bound, port),
                orchestrator_url_announced=_url(address.announced, port),
                node_register_url=_url(address.announced, register),
            ),
            baseline=BaselineTable(orchestration_strategy="Random"),
            proxy=ProxyTable(proxy_type="None", proxy_gc_period_seconds=0),
        )
    )


def _node_general(
    node_id: NodeId, register: int, ports: Sequence[int], address: BoxAddress
) -> NodeGeneral:
    agent, invocation, *_ = ports
    return NodeGeneral(
        node_id=node_id,
        agent_url=_url(address.bound, agent),
        agent_url_announced=_url(address.announced, agent),
        invocation_url=_url(address.bound, invocation),
        invocation_url_announced=_url(address.announced, invocation),
        node_register_url=_url(address.announced, register),
        subscription_refresh_interval_sec=_REFRESH_S,
    )


def _resources(number: int, ingress_url: str) -> ResourcesTable:
    return ResourcesTable(
        prepend_hostname=True,
        http_ingress_url=ingress_url,
        http_ingress_provider=f"http-ingress-{number}",
        http_egress_provider=f"http-egress-{number}",
        file_log_provider=f"file-log-{number}",
        redis_provider=f"redis-{number}",
    )


def _capabilities(detected: NodeCapabilities, hostname: str) -> CapabilitiesTable:
    told = msgspec.structs.asdict(detected)
    told["labels"] = (f"hostname={hostname}",) if hostname else ()
    return CapabilitiesTable(**{key: told[key] for key in CapabilitiesTable.model_fields})


def _ours(name: str, *, alone: bool) -> NodeEdgelessSimTable:
    """What people call the node; nodes of one folder keep their states apart."""
    if alone:
        return NodeEdgelessSimTable(name=name)
    return NodeEdgelessSimTable(name=name, state_folder=Path(STATE_FOLDER) / name)
