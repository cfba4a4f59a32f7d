"""The names of the worlds: where a cluster runs. What they are made of is `cluster.worlds`."""

from typing import Final

__all__ = ["REAL_WORLDS", "SIM", "WORLDS"]

SIM: Final = "sim"
REAL_WORLDS: Final = ("tcp", "grpc")
WORLDS: Final = (SIM, *REAL_WORLDS)
