"""Configuration files of the components: what may stand in them, reading and writing them."""

from edgeless_sim.cluster.settings.balancer import BalancerSettingsFile
from edgeless_sim.cluster.settings.client import CliSettingsFile
from edgeless_sim.cluster.settings.controller import ControllerSettingsFile, StaticOrchestrator
from edgeless_sim.cluster.settings.file import (
    load_balancer_settings,
    load_cli_settings,
    load_controller_settings,
    load_node_settings,
    load_orchestrator_settings,
    render_balancer_settings,
    render_cli_settings,
    render_controller_settings,
    render_node_settings,
    render_orchestrator_settings,
)
from edgeless_sim.cluster.settings.node import NodeSettingsFile
from edgeless_sim.cluster.settings.orchestrator import OrchestratorSettingsFile
from edgeless_sim.cluster.settings.templates import (
    balancer_template,
    cli_template,
    controller_template,
    node_template,
    orchestrator_template,
)
from edgeless_sim.cluster.settings.tls import ComponentTls, load_tls

__all__ = [
    "BalancerSettingsFile",
    "CliSettingsFile",
    "ComponentTls",
    "ControllerSettingsFile",
    "NodeSettingsFile",
    "OrchestratorSettingsFile",
    "StaticOrchestrator",
    "balancer_template",
    "cli_template",
    "controller_template",
    "load_balancer_settings",
    "load_cli_settings",
    "load_controller_settings",
    "load_node_settings",
    "load_orchestrator_settings",
    "load_tls",
    "node_template",
    "orchestrator_template",
    "render_balancer_settings",
    "render_cli_settings",
    "render_controller_settings",
    "render_node_settings",
    "render_orchestrator_settings",
]
