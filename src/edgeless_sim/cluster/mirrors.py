"""The mirrors of an ε-ORC that runs for real: from its file, to its file, and made (spec 7).

Not here: what they do (`edgeless_sim.orchestrator`).
"""

from typing import Any

from edgeless_sim.cluster.component_settings import OrchestratorComponent
from edgeless_sim.cluster.settings.orchestrator import OrchestratorSettingsFile
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.orchestrator.datasets import DatasetProxy
from edgeless_sim.orchestrator.proxy import Proxy
from edgeless_sim.orchestrator.settings import DatasetSettings, RedisMirrorSettings

__all__ = ["add_mirrors", "make_mirrors", "mirror_fields"]


def mirror_fields(file: OrchestratorSettingsFile) -> dict[str, Any]:
    """What the file says of mirrors, as fields of an `OrchestratorComponent`."""
    proxy = file.proxy
    told = proxy.dataset_settings
    datasets = None
    if told.dataset_path:
        datasets = DatasetSettings(
            path=told.dataset_path,
            append=told.append,
            header=told.additional_header,
            fields=told.additional_fields,
        )
    return {
        "redis_url": proxy.redis_url if proxy.proxy_type == "Redis" else "",
        "mirror_gc_period_s": float(proxy.proxy_gc_period_seconds),
        "flush_mirror": file.edgeless_sim.flush_mirror,
        "datasets": datasets,
    }


def add_mirrors(table: dict[str, Any], settings: OrchestratorComponent) -> None:
    """Say in the *table* of a file what *settings* do of mirrors."""
    proxy: dict[str, Any] = {"proxy_type": "None"}
    if settings.redis_url:
        proxy = {"proxy_type": "Redis", "redis_url": settings.redis_url}
    if settings.mirror_gc_period_s:
        proxy["proxy_gc_period_seconds"] = int(settings.mirror_gc_period_s)
    if settings.datasets is not None:
        proxy["dataset_settings"] = {
            "dataset_path": settings.datasets.path,
            "append": settings.datasets.append,
            "additional_fields": settings.datasets.fields,
            "additional_header": settings.datasets.header,
        }
    if len(proxy) > 1:
        table["proxy"] = proxy
    if settings.flush_mirror:
        table["edgeless_sim"]["flush_mirror"] = True


def make_mirrors(settings: OrchestratorComponent, context: ActorContext) -> tuple[Proxy, ...]:
    """The mirrors that *settings* ask for."""
    made: list[Proxy] = []
    if settings.redis_url:
        # Loaded where it is wanted: it takes a tenth of a second.
        from edgeless_sim.orchestrator.redis_proxy import RedisProxy

        told = RedisMirrorSettings(
            url=settings.redis_url,
            gc_period_s=settings.mirror_gc_period_s,
            flush=settings.flush_mirror,
        )
        made.append(RedisProxy(context, told))
    if settings.datasets is not None:
        made.append(DatasetProxy(context, settings.datasets))
    return tuple(made)
