"""A workflow in several domains: which are joined, who goes where, and what joins them. Pure.

A portal domain joins others: in each of them a balancer is a node, and in the portal domain it is
another one (spec 3.5). An event from one domain to another goes into a resource of the class portal
there, comes out in the portal domain, goes to the portal of the other domain, and comes out in
that. Not here: a workflow that fits into one domain (`choice`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

import msgspec

from edgeless_sim.controller.choice import (
    DomainOffer,
    DomainView,
    WorkflowNeeds,
    draw,
    needs_of_components,
    shortfall,
)
from edgeless_sim.controller.deployment import Assignment
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.portal import (
    PORTAL_BY_LABEL,
    PORTAL_CLASS,
    PORTAL_OUTPUT,
    PortalRole,
    PortalSide,
)
from edgeless_sim.model.workflow import (
    COMPONENTS_MAX,
    SpawnWorkflowRequest,
    WorkflowFunction,
    WorkflowResource,
)

__all__ = ["Division", "Portal", "bridged", "divide", "find_portals", "reassign"]

#: A portal joins at least so many domains.
_CONNECTED_MIN: Final = 2
#: Odd numbers of 62 bits, so that number and successor fit into any 64-bit integer.
_PAIR_BITS: Final = 61


@dataclass(frozen=True, slots=True)
class Portal:
    """A domain that joins others."""

    domain_id: DomainId
    connected: tuple[DomainId, ...]
    """Sorted; each is registered and offers the class portal."""
    silent: bool = False
    """It did not answer lately."""
    label: str = ""
    """What its balancers have in the domains that it joins; empty if there are no others beside
    them, or they do not have it."""


@dataclass(frozen=True, slots=True)
class Division:
    """How a workflow can be divided, or why it cannot."""

    assignment: Assignment | None
    reason: str = ""
    """Why there is none; empty where there is no portal at all."""
    pending: bool = False
    """It may be possible when a domain has confirmed its reset."""


def find_portals(views: Sequence[DomainView]) -> list[Portal]:
    """The portals among *views* (sorted by domain id), those that answer first.

    A domain that has not confirmed its reset counts: it will be there soon.
    """
    offering = {view.domain_id for view in views if PORTAL_CLASS in view.offer.classes}
    found = [
        Portal(view.domain_id, connected, view.silent)
        for view in views
        if len(connected := tuple(name for name in view.offer.portals if name in offering))
        >= _CONNECTED_MIN
    ]
    known = {view.domain_id: view.offer for view in views}
    found = [_labelled(portal, known) for portal in found]
    return sorted(found, key=lambda portal: portal.silent)


def _labelled(portal: Portal, known: Mapping[DomainId, DomainOffer]) -> Portal:
    """With the label of its balancers, if they have to be told from others beside them."""
    hosts = [known[domain_id].portal_hosts for domain_id in portal.connected]
    if any(len(names) > 1 for names in hosts) and all(portal.domain_id in each for each in hosts):
        return replace(portal, label=f"{PORTAL_BY_LABEL}{portal.domain_id}")
    return portal


def divide(
    request: SpawnWorkflowRequest,
    views: Sequence[DomainView],
    dice: Random,
    ids: Random,
    tried: Mapping[DomainId, str] = {},
) -> Division:
    """Draw a domain for each component among those that one portal joins.

    The first portal for which that is possible is taken. *tried* names the domains that have failed
    this workflow already; they are out. *ids* are for the resources that join the domains.
    """
    portals = find_portals(views)
    if not portals:
        return Division(None)
    known = {view.domain_id: view for view in views}
    needs = {part.name: needs_of_components([part]) for part in _parts(request)}
    pending = False
    reasons = []
    for portal in portals:
        places, why, waits = _places(portal, needs, known, dice, tried)
        pending = pending or waits
        if places is not None:
            assignment, why = _joined(request, places, portal, ids)
            if assignment is not None:
                return Division(assignment)
        reasons.append(f"portal {portal.domain_id}: {why}")
    return Division(None, clipped("; ".join(reasons)), pending)


def reassign(
    request: SpawnWorkflowRequest,
    target: DomainId,
    stay: Mapping[str, DomainId],
    views: Sequence[DomainView],
    ids: Random,
) -> tuple[Assignment | None, str]:
    """The assignment of each component to *target*, or to where *stay* says that it is; or None,
    and why that is not possible.

    One domain must be able to host all of them; several must be joined by a portal, and each must
    be able to host its components (spec 3.4).
    """
    known = {view.domain_id: view for view in views}
    places = {part.name: stay.get(part.name, target) for part in _parts(request)}
    groups: dict[DomainId, list[WorkflowFunction | WorkflowResource]] = {target: []}
    for part in _parts(request):
        groups.setdefault(places[part.name], []).append(part)
    for domain_id, parts in groups.items():
        why = _unfit(domain_id, needs_of_components(parts), known)
        if why is not None:
            return None, why
    if len(groups) == 1:
        return Assignment.whole(request, target, "migration"), ""
    for portal in find_portals(views):
        ready = not known[portal.domain_id].reset_pending
        if ready and all(domain_id in portal.connected for domain_id in groups):
            return _joined(request, places, portal, ids)
    return None, f"no portal joins the domains {', '.join(sorted(groups))}"


def bridged(
    request: SpawnWorkflowRequest,
    places: Mapping[str, DomainId],
    portal: Portal,
    ids: Random,
) -> tuple[SpawnWorkflowRequest, dict[str, DomainId]]:
    """*request* with four resources for each channel that leads from one domain to another, and
    the domains of all components (spec 3.5).

    Their numbers are random: those of an earlier life of this ε-CON may still be in use (upstream
    bug 45).
    """
    all_places = dict(places)
    added: list[WorkflowResource] = []

    def redirected(name: str, mapping: dict[str, str]) -> dict[str, str]:
        here = places[name]
        result = {}
        for channel, target in mapping.items():
            if places[target] != here:
                number = 2 * ids.getrandbits(_PAIR_BITS) + 1
                halves = _halves(number, here, places[target], target, portal.label)
                hub = portal.domain_id
                for half, domain_id in zip(halves, (here, hub, hub, places[target]), strict=True):
                    added.append(half)
                    all_places[half.name] = domain_id
                target = halves[0].name
            result[channel] = target
        return result

    functions = tuple(
        msgspec.structs.replace(each, output_mapping=redirected(each.name, each.output_mapping))
        for each in request.functions
    )
    resources = tuple(
        msgspec.structs.replace(each, output_mapping=redirected(each.name, each.output_mapping))
        for each in request.resources
    )
    resources += tuple(added)
    whole = msgspec.structs.replace(request, functions=functions, resources=resources)
    return whole, all_places


def _halves(
    number: int, origin: DomainId, destination: DomainId, target: str, label: str
) -> tuple[WorkflowResource, ...]:
    """What carries the events of one channel from *origin* to *target* in *destination*.

    Local halves go to balancers with *label*, if there is one.
    """
    marks = {"label_match_all": label} if label else {}
    sink, source = PortalRole.SINK, PortalRole.SOURCE
    local, portal = PortalSide.LOCAL, PortalSide.PORTAL
    enters = _half(sink, local, number, **marks)
    comes = _half(source, local, number + 1, target, **marks)
    crosses = _half(source, portal, number + 1, domain_name=destination)
    leaves = _half(sink, portal, number, crosses.name, domain_name=origin)
    return enters, leaves, crosses, comes


def _half(
    role: PortalRole, side: PortalSide, number: int, target: str = "", **more: str
) -> WorkflowResource:
    return WorkflowResource(
        f"portal-{number}-{role}-{side}",
        PORTAL_CLASS,
        {PORTAL_OUTPUT: target} if target else {},
        {"role": str(role), "domain": str(side), "id": str(number), **more},
    )


def _places(
    portal: Portal,
    needs: Mapping[str, WorkflowNeeds],
    known: Mapping[DomainId, DomainView],
    dice: Random,
    tried: Mapping[DomainId, str],
) -> tuple[dict[str, DomainId] | None, str, bool]:
    """A domain for each component, or None, why, and whether that may change soon."""
    if portal.domain_id in tried:
        return None, tried[portal.domain_id], False
    waits = known[portal.domain_id].reset_pending
    why = "it has not confirmed its reset yet" if waits else ""
    places: dict[str, DomainId] = {}
    for name, wanted in needs.items():
        views = [known[each] for each in portal.connected if each not in tried]
        fitting = [view for view in views if shortfall(wanted, view.offer) is None]
        ready = [view for view in fitting if not view.reset_pending]
        if not fitting:
            return None, f"no domain of {', '.join(portal.connected)} for {quoted(name)}", False
        if not ready:
            waits = True
            why = why or f"no domain for {quoted(name)} has confirmed its reset yet"
            continue
        answering = [view.domain_id for view in ready if not view.silent]
        chosen = draw(answering or [view.domain_id for view in ready], dice)
        assert chosen is not None, "some domain is ready"
        places[name] = chosen
    return (None, why, True) if waits else (places, "", False)


def _joined(
    request: SpawnWorkflowRequest,
    places: Mapping[str, DomainId],
    portal: Portal,
    ids: Random,
) -> tuple[Assignment | None, str]:
    whole, all_places = bridged(request, places, portal, ids)
    total = len(all_places)
    if total > COMPONENTS_MAX:
        return None, f"{total} components with those that join domains, at most {COMPONENTS_MAX}"
    domains = tuple(dict.fromkeys(all_places[part.name] for part in _parts(whole)))
    reason = f"divided between {', '.join(dict.fromkeys(places.values()))}"
    return Assignment(whole, domains, all_places, f"{reason} by portal {portal.domain_id}"), ""


def _unfit(
    domain_id: DomainId, needs: WorkflowNeeds, known: Mapping[DomainId, DomainView]
) -> str | None:
    view = known.get(domain_id)
    if view is None:
        return f"domain {quoted(domain_id)} is not registered"
    if view.reset_pending:
        return f"domain {quoted(domain_id)} has not confirmed its reset yet"
    return shortfall(needs, view.offer)


def _parts(request: SpawnWorkflowRequest) -> Iterable[WorkflowFunction | WorkflowResource]:
    return (*request.functions, *request.resources)
