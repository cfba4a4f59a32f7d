"""From ``class_type`` to the provider that makes its instances: entry points
``edgeless.resources``, and ``edgeless.resources.simulated`` for twins in simulation.

A provider's module is loaded when the first provider of its class is made.
"""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from edgeless_sim.errors import SettingsError
from edgeless_sim.model.names import clipped, quoted, suggestion
from edgeless_sim.resources.base import ResourceHost, ResourceProvider

__all__ = [
    "check_simulated",
    "create_provider",
    "known_classes",
    "provider_class",
    "simulation_fault",
]

_REAL: Final = "edgeless.resources"
_SIMULATED: Final = "edgeless.resources.simulated"


def known_classes() -> tuple[str, ...]:
    """The resource classes that are installed, sorted."""
    return tuple(sorted(_installed(_REAL)))


def provider_class(class_type: str, *, simulated: bool = False) -> type[ResourceProvider]:
    """The provider of *class_type*, with its ``version`` and ``outputs``; in simulation its twin,
    if it has one.

    Raise `SettingsError` if there is none, naming those that there are, or if it cannot be loaded,
    e.g. because an optional package is missing.
    """
    entry = _installed(_REAL).get(class_type)
    if simulated:
        entry = _installed(_SIMULATED).get(class_type, entry)
    if entry is None:
        known = known_classes()
        raise SettingsError(
            f"unknown resource class {quoted(class_type)}{suggestion(class_type, known)} "
            f"(known: {', '.join(known)})"
        )
    try:
        found: type[ResourceProvider] = entry.load()
    except (ImportError, AttributeError) as cause:
        raise SettingsError(
            clipped(f"resource class {quoted(class_type)} cannot be loaded: {cause}")
        ) from cause
    return found


def simulation_fault(class_type: str) -> str | None:
    """Why there is no provider of *class_type* in simulation; None if there is.

    Raise `SettingsError` as `provider_class`.
    """
    if provider_class(class_type, simulated=True).real_time_only:
        return f"the resource class {class_type} is not available in the world sim"
    return None


def check_simulated(class_types: Iterable[str]) -> None:
    """Raise `SettingsError` if one of *class_types* is not available in simulation."""
    for class_type in class_types:
        fault = simulation_fault(class_type)
        if fault is not None:
            raise SettingsError(f"{fault}; take one of the worlds tcp and grpc")


def create_provider(class_type: str, provider_id: str, host: ResourceHost) -> ResourceProvider:
    """A provider of *class_type* called *provider_id* on *host*; raise as `provider_class`."""
    simulated = host.backends is not None
    return provider_class(class_type, simulated=simulated)(provider_id, host)


@cache  # Looked up per provider and node, but reading all installed packages takes milliseconds.
def _installed(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        other = found.setdefault(entry.name, entry)
        # The same package may be on the path twice, e.g. installed and editable.
        if other.value != entry.value:
            raise SettingsError(
                f"two packages offer the resource class {quoted(entry.name)}: "
                f"{other.value} and {entry.value}; uninstall one"
            )
    return found
