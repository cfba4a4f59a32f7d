"""The file of a balancer, read into what it is told, or written from that (`component_files`)."""

from pathlib import Path
from typing import Any

from edgeless_sim.cluster.component_settings import BalancerComponent, BalancerSide
from edgeless_sim.cluster.settings import (
    BalancerSettingsFile,
    load_balancer_settings,
    render_balancer_settings,
)
from edgeless_sim.cluster.settings.node import NodeGeneral

__all__ = ["balancer_text", "read_balancer"]


def read_balancer(path: Path) -> BalancerComponent:
    """What the file at *path* says; raise `SettingsError` as `load_balancer_settings`."""
    file = load_balancer_settings(path)
    ours = file.edgeless_sim
    local, portal = file.sides
    return BalancerComponent(
        domain=file.domain,
        portal_domain=ours.portal_domain or "",
        local=_side(local, ours.local_name),
        portal=_side(portal, ours.portal_name),
        performance_samples=file.telemetry.performance_samples,
        call_timeout_s=ours.call_timeout_secs,
        metrics_url=file.telemetry.metrics_url or "",
        said_level=file.telemetry.log_level,
        name=file.name,
        seed=ours.seed,
    )


def balancer_text(settings: BalancerComponent, ours: dict[str, Any]) -> str:
    """The text of the file that says *settings*; *ours* is the table that only we know."""
    ours |= {"call_timeout_secs": settings.call_timeout_s}
    if settings.portal_domain:
        ours["portal_domain"] = settings.portal_domain
    for key, side in (("local_name", settings.local), ("portal_name", settings.portal)):
        if side.name:
            ours[key] = side.name
    table = {
        "general": {"domain": settings.domain},
        "local": _table(settings.local),
        "portal": _table(settings.portal),
        "telemetry": {
            "metrics_url": settings.metrics_url,
            "performance_samples": settings.performance_samples,
            "log_level": settings.said_level,
        },
        "edgeless_sim": ours,
    }
    return render_balancer_settings(BalancerSettingsFile.model_validate(table))


def _side(table: NodeGeneral, name: str | None) -> BalancerSide:
    return BalancerSide(
        node_id=table.node_id,
        agent_url=table.agent_url,
        agent_announced_url=table.agent_url_announced,
        invocation_url=table.invocation_url,
        invocation_announced_url=table.invocation_url_announced,
        orchestrator_url=table.registration_url,
        refresh_interval_s=float(table.subscription_refresh_interval_sec),
        name=name or str(table.node_id),
    )


def _table(side: BalancerSide) -> dict[str, Any]:
    return {
        "node_id": side.node_id,
        "agent_url": side.agent_url,
        "agent_url_announced": side.agent_announced_url,
        "invocation_url": side.invocation_url,
        "invocation_url_announced": side.invocation_announced_url,
        "node_register_url": side.orchestrator_url,
        "subscription_refresh_interval_sec": int(side.refresh_interval_s),
    }
