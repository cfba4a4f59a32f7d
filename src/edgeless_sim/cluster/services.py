"""Where a component of a deployment listens, by the keys of its file.

So that an address that is taken is an error with file, line and key. Not here: listening.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edgeless_sim.cluster.component_settings import (
    BalancerComponent,
    ComponentSettings,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.errors import ListenError, ResourceError, SettingsError
from edgeless_sim.model.json_text import path_text
from edgeless_sim.model.toml_document import read_toml_file
from edgeless_sim.model.toml_places import TomlPath

__all__ = ["naming_places", "place_of", "services_of"]

_KEYS: Final[dict[type, dict[str, TomlPath]]] = {
    ControllerComponent: {
        "url": ("controller_url",),
        "domain_url": ("domain_register_url",),
        "metrics_url": ("edgeless_sim", "metrics_url"),
    },
    OrchestratorComponent: {
        "url": ("general", "orchestrator_url"),
        "node_url": ("general", "node_register_url"),
        "agent_url": ("general", "agent_url"),
        "invocation_url": ("general", "invocation_url"),
        "metrics_url": ("edgeless_sim", "metrics_url"),
    },
    NodeComponent: {
        "agent_url": ("general", "agent_url"),
        "invocation_url": ("general", "invocation_url"),
        "http_ingress_url": ("resources", "http_ingress_url"),
        "metrics_url": ("general", "metrics_url"),
    },
}
#: Another key that says the same, where the first one is absent.
_SAME: Final[dict[TomlPath, TomlPath]] = {
    ("general", "metrics_url"): ("telemetry", "metrics_url"),
}
_INGRESS: Final = "http-ingress"


def services_of(settings: ComponentSettings) -> dict[TomlPath, str]:
    """The URLs at which a component of *settings* listens, by their keys in its file."""
    if isinstance(settings, BalancerComponent):
        urls: dict[TomlPath, str] = {
            (table, key): getattr(side, key)
            for table, side in (("local", settings.local), ("portal", settings.portal))
            for key in ("agent_url", "invocation_url")
        }
        urls["telemetry", "metrics_url"] = settings.metrics_url
        return {key: url for key, url in urls.items() if url}
    urls = {key: str(getattr(settings, field)) for field, key in _KEYS[type(settings)].items()}
    if isinstance(settings, NodeComponent):
        offered = {class_type for _, class_type in settings.providers}
        if _INGRESS not in offered:
            del urls[_KEYS[NodeComponent]["http_ingress_url"]]
    return {key: url for key, url in urls.items() if url}


def place_of(path: Path, key: TomlPath) -> str:
    """``FILE:LINE: KEY`` of the file at *path*, which has been read before."""
    document = read_toml_file(path, error=SettingsError)
    if key in _SAME and key[-1] not in document.value.get(str(key[0]), {}):
        key = _SAME[key]
    return f"{path}:{document.places.line_of(key)}: {path_text(key)}"


@contextmanager
def naming_places(settings: ComponentSettings, path: Path) -> Generator[None]:
    """Make a `ListenError` inside name file, line and key of the file at *path*.

    It was read as *settings*. What leaves is a `ResourceError`.
    """
    try:
        yield
    except ListenError as error:
        where = str(path)
        for key, url in services_of(settings).items():
            if url == error.url:
                where = place_of(path, key)
                break
        raise ResourceError(f"{where}: {error}") from None
