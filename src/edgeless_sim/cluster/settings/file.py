"""Configuration files: TOML -> values that can be used, or one error; and values -> TOML.

What was set in a value is written, in the order of EDGELESS's files; what was not is left out, so
that files stay as short as they were. Reading what was written gives the same value.
"""

from pathlib import Path
from typing import TypeVar

import tomli_w

from edgeless_sim.cluster.settings.balancer import BalancerSettingsFile
from edgeless_sim.cluster.settings.checks import sense_faults
from edgeless_sim.cluster.settings.client import CliSettingsFile
from edgeless_sim.cluster.settings.controller import ControllerSettingsFile
from edgeless_sim.cluster.settings.node import NodeSettingsFile
from edgeless_sim.cluster.settings.orchestrator import OrchestratorSettingsFile
from edgeless_sim.cluster.settings.unavailable import unavailable_faults
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.toml_document import read_toml_file
from edgeless_sim.model.toml_table import Table

__all__ = [
    "load_balancer_settings",
    "load_cli_settings",
    "load_controller_settings",
    "load_node_settings",
    "load_orchestrator_settings",
    "render_balancer_settings",
    "render_cli_settings",
    "render_controller_settings",
    "render_node_settings",
    "render_orchestrator_settings",
]

_TableT = TypeVar("_TableT", bound=Table)


def load_controller_settings(path: Path, *, any_port: bool = False) -> ControllerSettingsFile:
    """The settings in the ``controller.toml`` at *path*.

    With *any_port*, where it listens may have port 0, which is any free one. Raise `SettingsError`,
    which names file, line, key and remedy; its message has at most 1 KiB.
    """
    return _loaded(path, ControllerSettingsFile, any_port=any_port)


def load_orchestrator_settings(path: Path, *, any_port: bool = False) -> OrchestratorSettingsFile:
    """The settings in the ``orchestrator.toml`` at *path*; see `load_controller_settings`.

    The strategy that it names is imported.
    """
    return _loaded(path, OrchestratorSettingsFile, any_port=any_port)


def load_node_settings(path: Path, *, any_port: bool = False) -> NodeSettingsFile:
    """The settings in the ``node.toml`` at *path*; see `load_controller_settings`."""
    return _loaded(path, NodeSettingsFile, any_port=any_port)


def load_balancer_settings(path: Path, *, any_port: bool = False) -> BalancerSettingsFile:
    """The settings in the ``balancer.toml`` at *path*; see `load_controller_settings`."""
    return _loaded(path, BalancerSettingsFile, any_port=any_port)


def load_cli_settings(path: Path) -> CliSettingsFile:
    """The settings in the ``cli.toml`` at *path*; see `load_controller_settings`."""
    return _loaded(path, CliSettingsFile, any_port=False)


def render_controller_settings(settings: ControllerSettingsFile) -> str:
    """*settings* as the text of a ``controller.toml``."""
    return _rendered(settings)


def render_orchestrator_settings(settings: OrchestratorSettingsFile) -> str:
    """*settings* as the text of an ``orchestrator.toml``."""
    return _rendered(settings)


def render_node_settings(settings: NodeSettingsFile) -> str:
    """*settings* as the text of a ``node.toml``."""
    return _rendered(settings)


def render_balancer_settings(settings: BalancerSettingsFile) -> str:
    """*settings* as the text of a ``balancer.toml``."""
    return _rendered(settings)


def render_cli_settings(settings: CliSettingsFile) -> str:
    """*settings* as the text of a ``cli.toml``."""
    return _rendered(settings)


def _loaded(path: Path, root: type[_TableT], *, any_port: bool) -> _TableT:
    document = read_toml_file(path, error=SettingsError)
    settings = document.validated(root)
    faults = [*unavailable_faults(settings), *sense_faults(settings, any_port=any_port)]
    if faults:
        document.refuse(faults)
    return settings


def _rendered(settings: Table) -> str:
    tables = settings.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    return tomli_w.dumps(tables)
