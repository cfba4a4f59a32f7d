"""Whom the texts of ``proxy_cli intent`` mean (spec 7.2, 7.5).

Pure. A node goes by its id, the beginning of it, its name, its host name or its labels; a
component by its logical id, the beginning of it, or its name. Not here: who is told
(`proxy_asking`).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar
from uuid import UUID

from edgeless_sim.cli.mirror_words import NodeForm, node_name
from edgeless_sim.errors import UnknownComponentError
from edgeless_sim.model.ids import LogicalId, NodeId, parse_uuid
from edgeless_sim.model.mirror import DomainMirror, MirroredComponent
from edgeless_sim.model.names import quoted, suggestion

__all__ = ["meant_component", "meant_node"]

IdT = TypeVar("IdT", bound=UUID)
_PREFIX: Final = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")
_CANDIDATES_SHOWN: Final = 5


def meant_node(text: str, mirror: DomainMirror) -> NodeId:
    """The node that *text* means; an id need not be there.

    Raises `UnknownComponentError`, with EDGELESS's words.
    """
    named = [
        (node.node_id, {node.name, *(node_name(node, form) for form in NodeForm)})
        for node in mirror.nodes
    ]
    return _meant(text, "node", named, NodeId)


def meant_component(text: str, mirror: DomainMirror) -> LogicalId:
    """The function or resource that *text* means; as `meant_node`."""
    named = [(each.logical_id, _names(each)) for each in mirror.components]
    return _meant(text, "instance", named, LogicalId)


def _names(component: MirroredComponent) -> set[str]:
    """As its workflow calls it, with and without the workflow; a Redis does not know it."""
    asked = component.function or component.resource
    if asked is None or not asked.name:
        return set()
    return {asked.name, f"{asked.workflow_id}/{asked.name}"}


def _meant(
    text: str,
    what: str,
    named: Sequence[tuple[IdT, set[str]]],
    make: Callable[[UUID], IdT],
) -> IdT:
    text = text.strip()
    try:
        return make(parse_uuid(text))
    except ValueError as error:
        reason = str(error)
    # Sets are asked, not walked: nothing depends on their order.
    found = [one for one, names in named if text and text in names]
    if not found and _PREFIX.fullmatch(text.lower()):
        found = [one for one, _ in named if str(one).startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    summary = f"invalid {what} id {quoted(text)}"
    if found:
        raise UnknownComponentError(summary, f"it may be {_listed(found)}")
    known = sorted({name for _, names in named for name in names if name})
    raise UnknownComponentError(summary, f"{reason}{suggestion(text, known)}")


def _listed(found: Iterable[UUID]) -> str:
    ids = [str(one) for one in found]
    more = f" or one of {len(ids) - _CANDIDATES_SHOWN} more" if len(ids) > _CANDIDATES_SHOWN else ""
    return ", ".join(ids[:_CANDIDATES_SHOWN]) + more
