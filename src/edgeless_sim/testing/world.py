"""In which world the cluster of a test runs."""

from typing import Final

import pytest

__all__ = ["SIM", "world_of"]

#: As `edgeless_sim.cluster.worlds.SIM`, which is too heavy for who has no cluster.
SIM: Final = "sim"


def world_of(item: pytest.Item) -> str:
    """The closest marker's world, or else the option's. Whether it exists is not known here."""
    for marker in item.iter_markers("edgeless"):
        if "world" in marker.kwargs:
            return str(marker.kwargs["world"])
    return str(item.config.getoption("--edgeless-world") or SIM)
