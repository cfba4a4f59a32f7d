"""``edgeless_node_d --available-resources``: the classes that a node can offer (spec 9.1).

The formats are EDGELESS's. Not here: which of them a node does offer, which its file says.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from edgeless_sim.cluster.settings import load_node_settings
from edgeless_sim.errors import SettingsError
from edgeless_sim.resources.catalog import known_classes, provider_class

__all__ = ["AvailableClass", "as_json", "as_text", "available_classes"]

#: The order of EDGELESS; other classes come last.
_ORDER: Final = (
    "dda",
    "file-log",
    "http-egress",
    "http-ingress",
    "http-poster",
    "file-pusher",
    "ollama",
    "redis",
    "sqlx",
    "kafka-egress",
    "metrics-collector",
    "serverless",
)
_SERVERLESS: Final = "serverless"


class AvailableClass(NamedTuple):
    """A class, as it is shown; its fields are the keys of the JSON."""

    class_type: str
    description: str
    version: str
    outputs: tuple[str, ...]
    configurations: Mapping[str, str]


def available_classes(config_file: Path, warn: Callable[[str], None]) -> list[AvailableClass]:
    """The classes that are installed. Of ``serverless``, one for each entry of *config_file*.

    What hides a part of them, such as a file that cannot be read, is told by *warn*.
    """
    known = known_classes()
    ordered = [name for name in _ORDER if name in known]
    found: list[AvailableClass] = []
    for class_type in (*ordered, *(name for name in known if name not in _ORDER)):
        try:
            found += _shown(class_type, config_file, warn)
        except SettingsError as cause:
            warn(f"warning: {cause}")
    return found


def as_text(classes: list[AvailableClass]) -> str:
    """*classes* for people."""
    return "\n".join(line for each in classes for line in _lines(each))


def as_json(classes: list[AvailableClass]) -> str:
    """*classes* on one line."""
    return msgspec.json.encode([each._asdict() for each in classes]).decode()


def _shown(
    class_type: str, config_file: Path, warn: Callable[[str], None]
) -> Iterator[AvailableClass]:
    made = provider_class(class_type)
    shown = AvailableClass(
        class_type, made.description, made.version, made.outputs, made.configurations
    )
    if class_type != _SERVERLESS:
        yield shown
    elif config_file.exists():
        try:
            entries = load_node_settings(config_file).resources.serverless()
        except SettingsError as cause:
            warn(f"warning: its functions that run elsewhere are not listed: {cause}")
            return
        for each in entries:
            yield shown._replace(class_type=each.class_type, version=each.version)


def _lines(shown: AvailableClass) -> Iterator[str]:
    yield "----------"
    yield f"class_type: {shown.class_type}"
    yield f"version: {shown.version}"
    yield f"outputs: [{','.join(shown.outputs)}]"
    if shown.configurations:
        yield "configurations:"
        for key, meaning in shown.configurations.items():
            yield f"  - {key}: {meaning}"
    yield "description:"
    yield shown.description
    yield ""
