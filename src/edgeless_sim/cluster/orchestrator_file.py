"""The file of an ε-ORC, read into what it is told, or written from that (`component_files`)."""

from pathlib import Path
from typing import Any, Final

from edgeless_sim.cluster.component_settings import OrchestratorComponent
from edgeless_sim.cluster.mirrors import add_mirrors, mirror_fields
from edgeless_sim.cluster.settings import (
    OrchestratorSettingsFile,
    load_orchestrator_settings,
    render_orchestrator_settings,
)

__all__ = ["AGENT_URLS", "orchestrator_text", "read_orchestrator"]

#: Of a node, and of the collector's beside an ε-ORC.
AGENT_URLS: Final = {
    "agent_url": "agent_url",
    "agent_announced_url": "agent_url_announced",
    "invocation_url": "invocation_url",
    "invocation_announced_url": "invocation_url_announced",
}


def read_orchestrator(path: Path) -> OrchestratorComponent:
    """What the file at *path* says; raise `SettingsError` as `load_orchestrator_settings`."""
    file = load_orchestrator_settings(path)
    general, ours = file.general, file.edgeless_sim
    keep_alive_s = ours.keep_alive_secs or float(file.baseline.keep_alive_interval_secs)
    told = "subscription_refresh_interval_sec" in general.model_fields_set
    return OrchestratorComponent(
        domain_id=general.domain_id,
        url=general.orchestrator_url,
        announced_url=general.orchestrator_url_announced,
        node_url=general.node_register_url or "",
        domain_register_url=general.domain_register_url or "",
        strategy=file.baseline.orchestration_strategy,
        keep_alive_s=keep_alive_s,
        subscription_interval_s=float(general.subscription_refresh_interval_sec) if told else 0.0,
        **mirror_fields(file),
        metrics_url=ours.metrics_url or "",
        name=file.name,
        seed=ours.seed,
        **_collector(file),
    )


def _collector(file: OrchestratorSettingsFile) -> dict[str, Any]:
    """What is opened only with a collector."""
    if file.collector.collector_type == "None":
        return {}
    urls = {field: getattr(file.general, key) or "" for field, key in AGENT_URLS.items()}
    return urls | {"collector_redis_url": file.collector.redis_url}


def orchestrator_text(settings: OrchestratorComponent, ours: dict[str, Any]) -> str:
    """The text of the file that says *settings*; *ours* is the table that only we know."""
    general: dict[str, Any] = {
        "domain_id": settings.domain_id,
        "orchestrator_url": settings.url,
        "orchestrator_url_announced": settings.announced_url,
        "node_register_url": settings.node_url,
        "domain_register_url": settings.domain_register_url,
    }
    if settings.subscription_interval_s:
        general["subscription_refresh_interval_sec"] = int(settings.subscription_interval_s)
    table: dict[str, Any] = {
        "general": general,
        "baseline": {"orchestration_strategy": settings.strategy},
        "edgeless_sim": {**ours, "keep_alive_secs": settings.keep_alive_s},
    }
    add_mirrors(table, settings)
    if settings.collector_redis_url:
        general |= {key: getattr(settings, field) for field, key in AGENT_URLS.items()}
        table["collector"] = {
            "collector_type": "Redis",
            "redis_url": settings.collector_redis_url,
        }
    return render_orchestrator_settings(OrchestratorSettingsFile.model_validate(table))
