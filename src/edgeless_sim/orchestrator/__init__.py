"""The ε-ORC: one orchestration domain, its nodes, and the components that run on them."""

from edgeless_sim.orchestrator.orchestrator import Orchestrator, OrchestratorSettings
from edgeless_sim.orchestrator.placement import (
    PlacementStrategy,
    RandomPlacement,
    RoundRobinPlacement,
    create_strategy,
)
from edgeless_sim.orchestrator.proxy import Proxy
from edgeless_sim.orchestrator.view import ComponentKind, ComponentView, DomainView, NodeView

__all__ = [
    "ComponentKind",
    "ComponentView",
    "DomainView",
    "NodeView",
    "Orchestrator",
    "OrchestratorSettings",
    "PlacementStrategy",
    "Proxy",
    "RandomPlacement",
    "RoundRobinPlacement",
    "create_strategy",
]
