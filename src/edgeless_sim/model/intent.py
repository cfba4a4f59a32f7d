"""Intents: what an operator or a policy asks an ε-ORC to do (spec 4.7, 7.2).

An intent is a wish: the ε-ORC declines what it cannot do. Not here: the steps of a scenario.
"""

from typing import TypeAlias

import msgspec

from edgeless_sim.model.ids import LogicalId, NodeId

__all__ = ["Cordon", "Intent", "Migrate", "Uncordon"]


class Migrate(msgspec.Struct, frozen=True, tag=True):
    """Move *component* to the first of *targets* that can host it; no target = leave it."""

    component: LogicalId
    targets: tuple[NodeId, ...]


class Cordon(msgspec.Struct, frozen=True, tag=True):
    """Give *node* nothing new; what runs there stays."""

    node: NodeId


class Uncordon(msgspec.Struct, frozen=True, tag=True):
    """End the effect of `Cordon`."""

    node: NodeId


Intent: TypeAlias = Migrate | Cordon | Uncordon
