"""The files that ``-t`` writes: keys, values and order of EDGELESS's step-by-step guide (spec 8.0).

The guide has no balancer: the keys of its file are the newer EDGELESS's (spec 8.5), and its ports
fit beside the others, as EDGELESS's do not (upstream bug 83). Not here: writing files, and finding
out what a node can do.
"""

from edgeless_sim.cluster.settings.balancer import BalancerGeneral, BalancerSettingsFile
from edgeless_sim.cluster.settings.client import CliSettingsFile
from edgeless_sim.cluster.settings.controller import ControllerSettingsFile, StaticOrchestrator
from edgeless_sim.cluster.settings.file import (
    render_balancer_settings,
    render_cli_settings,
    render_controller_settings,
    render_node_settings,
    render_orchestrator_settings,
)
from edgeless_sim.cluster.settings.node import (
    CapabilitiesTable,
    ContainerTable,
    NodeGeneral,
    NodeSettingsFile,
    TelemetryTable,
    WasmTable,
)
from edgeless_sim.cluster.settings.orchestrator import (
    BaselineTable,
    CollectorTable,
    OrchestratorGeneral,
    OrchestratorSettingsFile,
    ProxyTable,
)
from edgeless_sim.cluster.settings.resources import ResourcesTable
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.node import NodeCapabilities

__all__ = [
    "balancer_template",
    "cli_template",
    "controller_template",
    "node_template",
    "orchestrator_template",
]

_DOMAIN = "domain-1"
_CONTROLLER_URL = "http://127.0.0.1:7001"
_ORCHESTRATOR_URL = "http://127.0.0.1:7011"


def controller_template() -> str:
    """The guide's ``controller.toml``."""
    entry = StaticOrchestrator(domain_id=_DOMAIN, orchestrator_url=_ORCHESTRATOR_URL)
    return render_controller_settings(
        ControllerSettingsFile(controller_url=_CONTROLLER_URL, orchestrators=(entry,))
    )


def orchestrator_template() -> str:
    """The guide's ``orchestrator.toml``."""
    return render_orchestrator_settings(
        OrchestratorSettingsFile(
            general=OrchestratorGeneral(
                domain_id=_DOMAIN,
                orchestrator_url=_ORCHESTRATOR_URL,
                orchestrator_url_announced="",
                agent_url="http://127.0.0.1:7121",
                agent_url_announced="",
                invocation_url="http://127.0.0.1:7102",
                invocation_url_announced="",
            ),
            baseline=BaselineTable(orchestration_strategy="Random", keep_alive_interval_secs=2),
            proxy=ProxyTable(proxy_type="None", redis_url=""),
            collector=CollectorTable(collector_type="None", redis_url=""),
        )
    )


def node_template(node_id: NodeId, detected: NodeCapabilities) -> str:
    """The guide's ``node.toml`` for a node that is *node_id* and can do what was *detected*."""
    return render_node_settings(
        NodeSettingsFile(
            general=NodeGeneral(
                node_id=node_id,
                agent_url="http://127.0.0.1:7021",
                agent_url_announced="",
                invocation_url="http://127.0.0.1:7002",
                invocation_url_announced="",
                metrics_url="http://127.0.0.1:7003",
                orchestrator_url=_ORCHESTRATOR_URL,
            ),
            wasm_runtime=WasmTable(enabled=True),
            container_runtime=ContainerTable(enabled=False, guest_api_host_url=""),
            resources=ResourcesTable(
                http_ingress_url="http://127.0.0.1:7035",
                http_ingress_provider="http-ingress-1",
                http_egress_provider="http-egress-1",
                file_log_provider="file-log-1",
                redis_provider="redis-1",
            ),
            user_node_capabilities=CapabilitiesTable(
                num_cpus=detected.num_cpus,
                model_name_cpu=detected.model_name_cpu,
                clock_freq_cpu=detected.clock_freq_cpu,
                num_cores=detected.num_cores,
                mem_size=detected.mem_size,
                labels=(),
                is_tee_running=False,
                has_tpm=False,
            ),
        )
    )


def balancer_template(local_id: NodeId, portal_id: NodeId) -> str:
    """A ``balancer.toml`` that joins the domain of the other templates to another one."""
    return render_balancer_settings(
        BalancerSettingsFile(
            general=BalancerGeneral(domain=_DOMAIN),
            local=_side(local_id, 7115, 7116, _ORCHESTRATOR_URL),
            portal=_side(portal_id, 7105, 7106, "http://127.0.0.1:7104"),
            telemetry=TelemetryTable(
                metrics_url="http://127.0.0.1:7117", performance_samples=False
            ),
        )
    )


def _side(node_id: NodeId, agent_port: int, invocation_port: int, register: str) -> NodeGeneral:
    return NodeGeneral(
        node_id=node_id,
        agent_url=f"http://127.0.0.1:{agent_port}",
        agent_url_announced="",
        invocation_url=f"http://127.0.0.1:{invocation_port}",
        invocation_url_announced="",
        node_register_url=register,
        subscription_refresh_interval_sec=2,
    )


def cli_template() -> str:
    """The guide's ``cli.toml``."""
    return render_cli_settings(CliSettingsFile(controller_url=_CONTROLLER_URL))
