"""What ``[proxy]`` of an ``orchestrator.toml`` may say (spec 7, 8.2).

Not here: whether a Redis answers and a folder can be written to; neither keeps an ε-ORC from its
start.
"""

import re
from collections.abc import Iterator

from edgeless_sim.cluster.settings.orchestrator import OrchestratorSettingsFile
from edgeless_sim.cluster.settings.unavailable import Fault
from edgeless_sim.orchestrator.redis_url import redis_url_fault

__all__ = ["mirror_faults"]


def mirror_faults(settings: OrchestratorSettingsFile) -> Iterator[Fault]:
    """What cannot be meant; values of ``redis_url`` are not shown, as they may have a password."""
    proxy = settings.proxy
    if proxy.proxy_type == "Redis":
        fault = redis_url_fault(proxy.redis_url)
        if fault is not None:
            yield ("proxy", "redis_url"), fault
    elif settings.edgeless_sim.flush_mirror:
        yield ("edgeless_sim", "flush_mirror"), 'there is no mirror: proxy_type is "None"'
    for key in ("additional_fields", "additional_header"):
        if re.search(r"[\r\n]", getattr(proxy.dataset_settings, key)):
            yield ("proxy", "dataset_settings", key), "it has more than one line"
