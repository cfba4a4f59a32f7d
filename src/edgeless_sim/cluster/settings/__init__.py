"""Configuration files of the components: what may stand in them, reading and writing them."""

from edgeless_sim.cluster.settings.client import CliSettingsFile
from edgeless_sim.cluster.settings.controller import ControllerSettingsFile, StaticOrchestrator
from edgeless_sim.cluster.settings.file import (
    load_cli_settings,
    load_controller_settings,
    load_node_settings,
    load_orchestrator_settings,
    render_cli_settings,
    render_controller_settings,
    render_node_settings,
    render_orchestrator_settings,
)
from edgeless_sim.cluster.settings.node import NodeSettingsFile
from edgeless_sim.cluster.settings.orchestrator import OrchestratorSettingsFile

__all__ = [
    "CliSettingsFile",
    "ControllerSettingsFile",
    "NodeSettingsFile",
    "OrchestratorSettingsFile",
    "StaticOrchestrator",
    "load_cli_settings",
    "load_controller_settings",
    "load_node_settings",
    "load_orchestrator_settings",
    "render_cli_settings",
    "render_controller_settings",
    "render_node_settings",
    "render_orchestrator_settings",
]
