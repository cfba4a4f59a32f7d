"""Can this node host that component? Pure; every "no" says why (spec 2.3, 4.4).

Not here: which of the feasible nodes is chosen (`placement`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from edgeless_sim.errors import RejectedError, WorkflowSpecError
from edgeless_sim.model.annotations import DeploymentRequirements, parse_requirements
from edgeless_sim.model.decision import CANDIDATES_SHOWN_MAX
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.names import clipped
from edgeless_sim.model.portal import PORTAL_CLASS, PortalSide, portal_provider
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.orchestrator.view import ComponentKind, NodeView

__all__ = [
    "OUT_MAX",
    "Feasibility",
    "Needs",
    "explained",
    "feasible_nodes",
    "function_needs",
    "infeasible_reason",
    "resource_needs",
    "suitable_providers",
]

#: A domain of thousands of nodes has thousands of reasons; a reader has time for a few.
REASONS_MAX: Final = 8
#: An explanation that somebody has asked for may be longer.
OUT_MAX: Final = CANDIDATES_SHOWN_MAX // 2
_EXPLANATION_CHARS_MAX: Final = 300
_NONE: Final = DeploymentRequirements()


@dataclass(frozen=True, slots=True)
class Needs:
    """All that decides where a component may be. Equal needs share one answer."""

    kind: ComponentKind
    type_name: str
    requirements: DeploymentRequirements = _NONE
    provider_id: str = ""
    """The only provider that will do; empty = any of the class (spec 4.4, portal)."""


# The same object for equal needs: components keep theirs.
_needs = lru_cache(maxsize=4_096)(Needs)


@dataclass(frozen=True, slots=True)
class Feasibility:
    """Which nodes can host a component, and why the first few others cannot."""

    nodes: tuple[NodeView, ...]
    """Sorted by id."""
    nodes_total: int
    out: tuple[tuple[str, str], ...] = ()
    """Names of nodes that cannot, and why; at most `OUT_MAX`."""
    shown: tuple[tuple[str, str], ...] = ()
    """Names of the first nodes and what speaks against them (nothing, of the feasible ones first);
    at most `CANDIDATES_SHOWN_MAX`."""

    @classmethod
    def of(
        cls, nodes: Sequence[NodeView], nodes_total: int, out: Sequence[tuple[str, str]]
    ) -> "Feasibility":
        """With what is shown of it; *out* has `OUT_MAX` entries at most."""
        shown = [(node.name, "") for node in nodes[: CANDIDATES_SHOWN_MAX - len(out)]]
        return cls(tuple(nodes), nodes_total, tuple(out), (*shown, *out))

    @property
    def reasons(self) -> tuple[str, ...]:
        """``name: reason``, at most `REASONS_MAX`."""
        return tuple(f"{name}: {reason}" for name, reason in self.out[:REASONS_MAX])


def function_needs(request: SpawnFunctionRequest) -> Needs:
    """What a function asks of its node; raise `RejectedError` if that cannot be understood."""
    return _needs(
        ComponentKind.FUNCTION, request.code.function_type, _requirements(request.annotations)
    )


def resource_needs(request: ResourceInstanceSpecification) -> Needs:
    """What a resource asks of its node; raise `RejectedError` if that cannot be understood.

    The half of a portal that is in the portal domain belongs to the balancer of the domain that
    its configuration names (case D20).
    """
    configuration = request.configuration
    crosses = (
        request.class_type == PORTAL_CLASS and configuration.get("domain") == PortalSide.PORTAL
    )
    return _needs(
        ComponentKind.RESOURCE,
        request.class_type,
        _requirements(configuration),
        portal_provider(configuration.get("domain_name", "")) if crosses else "",
    )


def feasible_nodes(needs: Needs, nodes: Sequence[NodeView]) -> Feasibility:
    """Those of *nodes* (sorted by id) that can host a component with *needs*."""
    feasible: list[NodeView] = []
    out: list[tuple[str, str]] = []
    for node in nodes:
        reason = infeasible_reason(needs, node)
        if reason is None:
            feasible.append(node)
        elif len(out) < OUT_MAX:
            out.append((node.name, reason))
    return Feasibility.of(feasible, len(nodes), out)


def infeasible_reason(needs: Needs, node: NodeView) -> str | None:
    """Why *node* cannot host a component with *needs*; None if it can."""
    if node.cordoned:
        return "cordoned"
    if not node.reachable:
        return "does not answer"
    if needs.kind is ComponentKind.FUNCTION:
        reason = _function_reason(needs, node)
    else:
        reason = None if suitable_providers(needs, node) else f"no provider of {needs.type_name}"
    return reason or _requirement_reason(needs.requirements, node)


def suitable_providers(needs: Needs, node: NodeView) -> tuple[str, ...]:
    """The ids, sorted, of the providers on *node* that can make the resource."""
    return tuple(
        sorted(
            provider.provider_id
            for provider in node.providers
            if provider.class_type == needs.type_name
            and needs.provider_id in ("", provider.provider_id)
        )
    )


def explained(strategy: str, found: Feasibility, scores: Mapping[str, float] | None = None) -> str:
    """One line that says how a choice came about, for the journal."""
    head = f"{strategy}: {len(found.nodes)} of {found.nodes_total} feasible"
    given = ", ".join(f"{name} {score:g}" for name, score in (scores or {}).items())
    parts = (head, *([f"scores {given}"] if given else []), *found.reasons)
    return "; ".join(parts)[:_EXPLANATION_CHARS_MAX]


def _function_reason(needs: Needs, node: NodeView) -> str | None:
    capabilities = node.capabilities
    # Balancer nodes announce no CPU on purpose, to host portals and nothing else (case D15).
    if not capabilities.num_cpus * capabilities.num_cores:
        return "no CPU"
    if needs.type_name not in capabilities.runtimes:
        return f"no run-time {needs.type_name}"
    return None


def _requirement_reason(requirements: DeploymentRequirements, node: NodeView) -> str | None:
    if requirements.nodes and not (
        node.name in requirements.nodes or str(node.node_id) in requirements.nodes
    ):
        return "not among the wanted nodes"
    for label in requirements.labels:
        if label not in node.capabilities.labels:
            return f"label {label} missing"
    if requirements.providers:
        hosted = [provider.provider_id for provider in node.providers]
        for provider_id in requirements.providers:
            if provider_id not in hosted:
                return f"provider {provider_id} missing"
    if requirements.tee_required and not node.capabilities.is_tee_running:
        return "no TEE"
    if requirements.tpm_required and not node.capabilities.has_tpm:
        return "no TPM"
    return None


def _requirements(annotations: dict[str, str]) -> DeploymentRequirements:
    try:
        return parse_requirements(annotations)
    except WorkflowSpecError as error:
        raise RejectedError("Invalid deployment requirements", clipped(str(error))) from None
