"""Intents that wait to be obeyed, and what can be said of one at once (spec 4.7).

Not here: obeying them (`orchestrator`), and who brings them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from edgeless_sim.errors import RejectedError, UnknownComponentError
from edgeless_sim.kernel.actor import Actor
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import NodeId, parse_uuid
from edgeless_sim.model.intent import Cordon, Intent, Migrate, Uncordon
from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.proxy import INTENTS_MAX, INTENTS_PER_TICK_MAX

__all__ = ["IntentActor", "IntentInbox", "check_intent", "named_node", "node_called", "sensible"]

_TARGETS_MAX: Final = 1_024


class IntentActor(Actor[Intent]):
    """The mailbox for intents of this process."""

    def __init__(self, context: ActorContext, obey: Callable[[Intent], None]) -> None:
        super().__init__(f"{context.name} intents", context.spawn)
        self._obey = obey

    async def handle(self, request: Intent) -> None:
        """Obey one intent."""
        self._obey(request)


class IntentInbox:
    """Intents in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[Intent] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, intent: Intent) -> None:
        """Leave an intent; raise `RejectedError` when too many wait."""
        if len(self._waiting) >= INTENTS_MAX:
            raise RejectedError("too many intents", f"{INTENTS_MAX} wait already")
        self._waiting.append(intent)

    def take(self) -> list[Intent]:
        """As many as may be obeyed in one tick; each is given out once."""
        count = min(len(self._waiting), INTENTS_PER_TICK_MAX)
        return [self._waiting.popleft() for _ in range(count)]


def check_intent(state: DomainState, intent: Intent) -> None:
    """Raise `RejectedError` if it names what is not here."""
    match intent:
        case Migrate():
            if intent.component not in state.components:
                raise RejectedError("unknown component", str(intent.component))
            if not intent.targets:
                raise RejectedError("no target", f"{intent.component} is to move to no node")
            if len(intent.targets) > _TARGETS_MAX:
                raise RejectedError("too many targets", f"{len(intent.targets)} > {_TARGETS_MAX}")
            for node_id in intent.targets:
                _check_node(state, node_id)
        case Cordon():
            _check_node(state, intent.node)
        case Uncordon():
            # A cordon outlives its node; so it can be ended without it.
            if intent.node not in state.cordoned:
                _check_node(state, intent.node)


def sensible(
    state: DomainState, intents: Iterable[Intent], chronicle: Chronicle
) -> Iterator[Intent]:
    """Those of *intents* that may be obeyed, each looked at when the one before was obeyed.

    A migration is declined by its plan, which passes over targets that are not here (spec 4.7).
    """
    for intent in intents:
        try:
            if not isinstance(intent, Migrate):
                check_intent(state, intent)
        except RejectedError as error:
            chronicle.domain("declined", f"{type(intent).__name__.lower()}: {error}")
        else:
            yield intent


def named_node(state: DomainState, node: NodeId | str) -> NodeId:
    """The node of that name; an id need not be here. Raise `UnknownComponentError` for a typo."""
    if not isinstance(node, str):
        return node
    found = node_called(state, node)
    if found is not None:
        return found
    try:
        return NodeId(parse_uuid(node))
    except ValueError:
        names = [view.name for view in state.views()]
        detail = f"{quoted(node)}{suggestion(node, names)}"
        raise UnknownComponentError("unknown node", detail) from None


def node_called(state: DomainState, name: str) -> NodeId | None:
    """The id of the node that has this name or id, if it is here."""
    for view in state.views():
        if name in (view.name, str(view.node_id)):
            return view.node_id
    return None


def _check_node(state: DomainState, node_id: NodeId) -> None:
    if node_id not in state.nodes:
        raise RejectedError("unknown node", str(node_id))
