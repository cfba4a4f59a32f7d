"""Which domain gets a workflow, and why not the others (spec 3.2). Pure.

A domain is feasible if, as far as its capabilities tell, it could host every component: EDGELESS
looks at run-times and resource classes only, we also refuse labels, providers and trusted hardware
that no node of the domain has. Whether one node has all of it together, the ε-ORC decides.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Final

from edgeless_sim.model.annotations import parse_requirements
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.portal import PORTAL_BY_LABEL, PORTAL_LABEL
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

__all__ = [
    "Choice",
    "DomainOffer",
    "DomainView",
    "WorkflowNeeds",
    "choose",
    "draw",
    "needs_of",
    "needs_of_components",
    "shortfall",
]

#: How many domains an explanation names.
_NAMED_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class WorkflowNeeds:
    """What a workflow asks of a domain. Each need maps to the first component that has it."""

    runtimes: Mapping[str, str]
    classes: Mapping[str, str]
    labels: Mapping[str, str]
    providers: Mapping[str, str]
    tee: str | None
    """The first component that needs a trusted execution environment."""
    tpm: str | None
    """The first component that needs a trusted platform module."""


@dataclass(frozen=True, slots=True)
class DomainOffer:
    """Capabilities, made ready for look-up; sets are only asked, never walked through."""

    runtimes: Collection[str]
    classes: Collection[str]
    labels: Collection[str]
    providers: Collection[str]
    num_tee: int
    num_tpm: int
    portals: tuple[DomainId, ...] = ()
    """The domains, sorted, to which it says that it is a portal (spec 3.5)."""
    portal_hosts: tuple[DomainId, ...] = ()
    """The portal domains, sorted, to which its own balancers say that they lead."""

    @classmethod
    def of(cls, capabilities: DomainCapabilities) -> "DomainOffer":
        """The offer that *capabilities* describe."""
        return cls(
            runtimes=frozenset(capabilities.runtimes),
            classes=frozenset(capabilities.resource_classes),
            labels=frozenset(capabilities.labels),
            providers=frozenset(capabilities.resource_providers),
            num_tee=capabilities.num_tee,
            num_tpm=capabilities.num_tpm,
            portals=_named_by(PORTAL_LABEL, capabilities),
            portal_hosts=_named_by(PORTAL_BY_LABEL, capabilities),
        )


@dataclass(frozen=True, slots=True)
class DomainView:
    """A registered domain as the choice sees it."""

    domain_id: DomainId
    offer: DomainOffer
    reset_pending: bool = False
    """It has not confirmed its reset yet: what it were given now would be wiped (defect U04)."""
    silent: bool = False
    """It did not answer lately: asked only if no other is feasible."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The domain chosen, and what speaks against the others."""

    domain_id: DomainId | None
    feasible: tuple[DomainId, ...]
    pending: tuple[DomainId, ...]
    """Would be feasible, but have not confirmed their reset yet."""
    refused: tuple[tuple[DomainId, str], ...]
    """Domains that cannot have it, each with the reason."""

    @property
    def reason(self) -> str:
        """One line for people, such as ``2 of 3 domains feasible; lab: no run-time 'PYTHON'``."""
        total = len(self.feasible) + len(self.pending) + len(self.refused)
        if not total:
            return "no domain is registered"
        head = f"{len(self.feasible)} of {total} domains feasible"
        named = [f"{domain_id}: {why}" for domain_id, why in islice(self._against(), _NAMED_MAX)]
        rest = len(self.pending) + len(self.refused) - len(named)
        return clipped("; ".join([head, *named, *([f"and {rest} more"] if rest else [])]))

    def _against(self) -> Iterator[tuple[DomainId, str]]:
        yield from self.refused
        for domain_id in self.pending:
            yield domain_id, "it has not confirmed its reset yet"


def needs_of(request: SpawnWorkflowRequest) -> WorkflowNeeds:
    """What a valid *request* asks of a domain; raise `WorkflowSpecError` if it is not valid."""
    return needs_of_components((*request.functions, *request.resources))


def needs_of_components(
    components: Iterable[WorkflowFunction | WorkflowResource],
) -> WorkflowNeeds:
    """As `needs_of`, for some components of a workflow."""
    runtimes: dict[str, str] = {}
    classes: dict[str, str] = {}
    labels: dict[str, str] = {}
    providers: dict[str, str] = {}
    tee: str | None = None
    tpm: str | None = None
    for component in components:
        name = component.name
        if isinstance(component, WorkflowFunction):
            runtimes.setdefault(component.class_specification.function_type, name)
            requirements = parse_requirements(component.annotations)
        else:
            classes.setdefault(component.class_type, name)
            requirements = parse_requirements(component.configurations)
        for label in requirements.labels:
            labels.setdefault(label, name)
        for provider in requirements.providers:
            providers.setdefault(provider, name)
        if requirements.tee_required and tee is None:
            tee = name
        if requirements.tpm_required and tpm is None:
            tpm = name
    return WorkflowNeeds(runtimes, classes, labels, providers, tee, tpm)


def shortfall(needs: WorkflowNeeds, offer: DomainOffer) -> str | None:
    """The first thing that the domain lacks, and who needs it; None if it is feasible."""
    for what, wanted, offered in (
        ("run-time", needs.runtimes, offer.runtimes),
        ("resource class", needs.classes, offer.classes),
        ("node with label", needs.labels, offer.labels),
        ("provider", needs.providers, offer.providers),
    ):
        for name, component in wanted.items():
            if name not in offered:
                return f"no {what} {quoted(name)} for {quoted(component)}"
    if needs.tee is not None and not offer.num_tee:
        return f"no node with a TEE for {quoted(needs.tee)}"
    if needs.tpm is not None and not offer.num_tpm:
        return f"no node with a TPM for {quoted(needs.tpm)}"
    return None


def choose(
    needs: WorkflowNeeds,
    views: Iterable[DomainView],
    dice: Random,
    tried: Mapping[DomainId, str] = {},
) -> Choice:
    """Draw uniformly among the feasible domains that answer; if none does, among the silent.

    *views* are sorted by domain id. *tried* names the domains that have failed this workflow
    already, each with the reason; they are out.
    """
    answering: list[DomainId] = []
    silent: list[DomainId] = []
    pending: list[DomainId] = []
    refused: list[tuple[DomainId, str]] = []
    for view in views:
        why = tried.get(view.domain_id) or shortfall(needs, view.offer)
        if why is not None:
            refused.append((view.domain_id, why))
        elif view.reset_pending:
            pending.append(view.domain_id)
        else:
            (silent if view.silent else answering).append(view.domain_id)
    return Choice(
        domain_id=draw(answering or silent, dice),
        feasible=tuple(answering + silent),
        pending=tuple(pending),
        refused=tuple(refused),
    )


def draw(candidates: Sequence[DomainId], dice: Random) -> DomainId | None:
    """One of *candidates*, uniformly; None if there are none."""
    if not candidates:
        return None
    return candidates[0] if len(candidates) == 1 else candidates[dice.randrange(len(candidates))]


def _named_by(prefix: str, capabilities: DomainCapabilities) -> tuple[DomainId, ...]:
    found = sorted(label for label in capabilities.labels if label.startswith(prefix))
    return tuple(DomainId(label.removeprefix(prefix)) for label in found)
