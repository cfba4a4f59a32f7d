"""Dice and identifiers, all from one seed.

Every purpose has its own named stream, so that one more draw for one purpose changes no other
(reliability 9.4). The name is hashed with SHA-256, never with ``hash()``, which differs between
processes.
"""

from hashlib import sha256
from random import Random
from uuid import UUID

__all__ = ["Entropy", "uuid4_from"]


class Entropy:
    """The root of all chance in a run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, name: str) -> Random:
        """A fresh generator for *name*; the same seed and name give the same draws."""
        digest = sha256(f"{self.seed}/{name}".encode()).digest()
        # Not for secrets: every draw must be repeatable.
        return Random(int.from_bytes(digest[:16], "big"))  # noqa: S311 - see above


def uuid4_from(dice: Random) -> UUID:
    """A random (version 4) UUID drawn from *dice*."""
    return UUID(int=dice.getrandbits(128), version=4)
