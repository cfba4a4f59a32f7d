"""The TOML file of a component, as EDGELESS's programs name its keys (spec 8).

What they have no key for stands in the table ``[edgeless_sim]``, which they ignore.
"""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import tomli_w

from edgeless_sim.cluster.component_settings import (
    ComponentSettings,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.names import quoted
from edgeless_sim.model.node import NodeCapabilities

__all__ = ["FILES", "KINDS", "load_component", "write_component"]

KINDS: Final[dict[type, str]] = {
    ControllerComponent: "con",
    OrchestratorComponent: "orc",
    NodeComponent: "node",
}
#: The guide's names of files, by kind.
FILES: Final = {"con": "controller.toml", "orc": "orchestrator.toml", "node": "node.toml"}
_RUNTIMES: Final = {
    "RUST_WASM": "wasm_runtime",
    "PYTHON": "python_runtime",
    "MODELLED": "modelled_runtime",
}


def write_component(settings: ComponentSettings, folder: Path) -> Path:
    """Write the file of *settings* into *folder* and return its path."""
    path = folder / FILES[KINDS[type(settings)]]
    path.write_bytes(tomli_w.dumps(_table(settings)).encode())
    return path


def load_component(kind: str, path: Path) -> ComponentSettings:
    """Read the file of a component; raise `SettingsError`."""
    if kind not in FILES:
        raise SettingsError(f"{quoted(kind)} is none of {', '.join(FILES)}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from None
    try:
        return _READERS[kind](document)
    except KeyError as error:
        raise SettingsError(f"{path}: the key {error} is missing") from None
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from None


def _table(settings: ComponentSettings) -> dict[str, Any]:
    ours: dict[str, Any] = {"name": settings.name}
    if settings.seed is not None:
        ours["seed"] = settings.seed
    match settings:
        case ControllerComponent():
            table: dict[str, Any] = {"controller_url": settings.url}
            if settings.domain_url:
                table["domain_register_url"] = settings.domain_url
        case OrchestratorComponent():
            table = {
                "general": {
                    "domain_id": settings.domain_id,
                    "orchestrator_url": settings.url,
                    "orchestrator_url_announced": settings.announced_url,
                    "node_register_url": settings.node_url or settings.url,
                    "domain_register_url": settings.domain_register_url,
                },
                "baseline": {"orchestration_strategy": settings.strategy},
            }
            ours["keep_alive_secs"] = settings.keep_alive_s
        case NodeComponent():
            table = _node_table(settings)
            ours |= {
                "fuel_per_event": settings.fuel_per_event,
                "call_timeout_secs": settings.call_timeout_s,
                "state_folder": str(settings.state_folder),
                "files_folder": str(settings.files_folder),
            }
            if settings.module_cache is not None:
                ours["module_cache"] = str(settings.module_cache)
    return {**table, "edgeless_sim": ours}


def _node_table(settings: NodeComponent) -> dict[str, Any]:
    capabilities = settings.capabilities
    table: dict[str, Any] = {
        "general": {
            "node_id": str(settings.node_id),
            "agent_url": settings.agent_url,
            "agent_url_announced": settings.agent_announced_url,
            "invocation_url": settings.invocation_url,
            "invocation_url_announced": settings.invocation_announced_url,
            "node_register_url": settings.orchestrator_url,
        },
        "telemetry": {"metrics_url": "", "performance_samples": settings.performance_samples},
        "user_node_capabilities": {
            "num_cpus": capabilities.num_cpus,
            "model_name_cpu": capabilities.model_name_cpu,
            "clock_freq_cpu": capabilities.clock_freq_cpu,
            "num_cores": capabilities.num_cores,
            "mem_size": capabilities.mem_size,
            "labels": list(capabilities.labels),
            "is_tee_running": capabilities.is_tee_running,
            "has_tpm": capabilities.has_tpm,
        },
        "resources": {
            f"{class_type.replace('-', '_')}_provider": name
            for name, class_type in settings.providers
        },
    }
    for kind, section in _RUNTIMES.items():
        table[section] = {"enabled": kind in capabilities.runtimes}
    table["python_runtime"]["folders"] = [str(folder) for folder in settings.python_folders]
    return table


def _controller(document: dict[str, Any]) -> ControllerComponent:
    ours = document.get("edgeless_sim", {})
    return ControllerComponent(
        url=document["controller_url"],
        domain_url=document.get("domain_register_url", ""),
        name=ours.get("name", "con"),
        seed=ours.get("seed"),
    )


def _orchestrator(document: dict[str, Any]) -> OrchestratorComponent:
    general, ours = document["general"], document.get("edgeless_sim", {})
    baseline = document.get("baseline", {})
    domain_id = general["domain_id"]
    return OrchestratorComponent(
        domain_id=domain_id,
        url=general["orchestrator_url"],
        announced_url=general.get("orchestrator_url_announced", ""),
        node_url=general.get("node_register_url", ""),
        domain_register_url=general.get("domain_register_url", ""),
        strategy=baseline.get("orchestration_strategy", "Random"),
        keep_alive_s=float(
            ours.get("keep_alive_secs", baseline.get("keep_alive_interval_secs", 2))
        ),
        name=ours.get("name", f"orc/{domain_id}"),
        seed=ours.get("seed"),
    )


def _node(document: dict[str, Any]) -> NodeComponent:
    general, ours = document["general"], document.get("edgeless_sim", {})
    declared = document.get("user_node_capabilities", {})
    enabled = [k for k, section in _RUNTIMES.items() if document.get(section, {}).get("enabled")]
    providers = [
        (name, key.removesuffix("_provider").replace("_", "-"))
        for key, name in document.get("resources", {}).items()
        if key.endswith("_provider") and name
    ]
    node_id = NodeId(UUID(general["node_id"]))
    folders = document.get("python_runtime", {}).get("folders", ())
    cache = ours.get("module_cache")
    return NodeComponent(
        node_id=node_id,
        agent_url=general["agent_url"],
        agent_announced_url=general.get("agent_url_announced", ""),
        invocation_url=general["invocation_url"],
        invocation_announced_url=general.get("invocation_url_announced", ""),
        orchestrator_url=general.get("node_register_url") or general["orchestrator_url"],
        capabilities=NodeCapabilities(
            **{**declared, "labels": tuple(declared.get("labels", ()))},
            runtimes=tuple(sorted(enabled)),
        ),
        providers=tuple(providers),
        performance_samples=document.get("telemetry", {}).get("performance_samples", False),
        call_timeout_s=float(ours.get("call_timeout_secs", 30)),
        fuel_per_event=ours.get("fuel_per_event", 10**8),
        python_folders=tuple(Path(folder) for folder in folders),
        module_cache=None if cache is None else Path(cache),
        state_folder=Path(ours.get("state_folder", "function_state")),
        files_folder=Path(ours.get("files_folder", "file-log")),
        name=ours.get("name", str(node_id)),
        seed=ours.get("seed"),
    )


_READERS: Final[dict[str, Callable[[dict[str, Any]], ComponentSettings]]] = {
    "con": _controller,
    "orc": _orchestrator,
    "node": _node,
}
