"""Where each component of a simulated cluster listens, and what a side of a fault means."""

from collections.abc import Callable, Iterable
from typing import Final

__all__ = [
    "CLIENT",
    "CONTROLLER",
    "member_of",
    "node_location",
    "node_name_of",
    "orchestrator_location",
    "url_of",
]

CONTROLLER: Final = "con"
CLIENT: Final = "client"
_NODE: Final = "node/"
_ORCHESTRATOR: Final = "orc/"


def node_location(name: str) -> str:
    """The location of the node called *name* (``edge/0``)."""
    return _NODE + name


def orchestrator_location(domain: str) -> str:
    """The location of the ε-ORC of *domain*."""
    return _ORCHESTRATOR + domain


def node_name_of(location: str) -> str | None:
    """The name of the node that listens at *location*; None if no node does."""
    return location.removeprefix(_NODE) if location.startswith(_NODE) else None


def url_of(location: str) -> str:
    """The URL of *location* on the memory network."""
    return f"memory://{location}"


def member_of(names: Iterable[str]) -> Callable[[str], bool]:
    """Whether a location belongs to a side of a fault or a link.

    A side lists nodes (``edge/0``), domains (``edge``: its nodes and its ε-ORC), ε-ORCs
    (``orc/edge``), or ``con``. An empty side is everybody.
    """
    exact: set[str] = set()
    prefixes: list[str] = []
    for name in names:
        if name in (CONTROLLER, CLIENT) or name.startswith(_ORCHESTRATOR):
            exact.add(name)
        elif "/" in name:
            exact.add(node_location(name))
        elif name:
            exact.add(orchestrator_location(name))
            prefixes.append(node_location(name) + "/")
    if not exact:
        return lambda _: True
    starts = tuple(prefixes)
    return lambda location: location in exact or (bool(starts) and location.startswith(starts))
