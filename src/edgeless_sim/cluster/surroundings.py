"""What a component of a deployment is made with: its sockets, its wires, its life.

Not here: the component (`component`).
"""

import logging
from copy import copy
from dataclasses import replace

from edgeless_sim.api.services import HANDLE
from edgeless_sim.api.wire import EventError
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.cluster.capture import open_part
from edgeless_sim.cluster.component_settings import (
    BalancerComponent,
    BalancerSide,
    ComponentSettings,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.cluster.endpoint import Endpoint
from edgeless_sim.cluster.supervision import Charter
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.model.ids import NodeId
from edgeless_transports import Connection

__all__ = ["Surroundings"]


class Surroundings:
    """What a component is made with: its sockets, its wires, its life."""

    def __init__(
        self,
        context: ActorContext,
        clock: LoopClock,
        settings: ComponentSettings,
        charter: Charter | None,
        log: logging.Logger,
    ) -> None:
        """Of a balancer, those of its local side; see `other_side`."""
        self.context = context
        self.log = log
        self._clock = clock
        self.life = 1 if charter is None else charter.life
        self.supervised = charter is not None
        self._tls = settings.tls
        self._routes = {} if charter is None else charter.routes
        part = None if charter is None else charter.capture
        self._here = "" if part is None else part.here
        self._recorder = None if part is None else open_part(part, clock)
        self.begin(*_identity(settings))

    def other_side(self, side: BalancerSide) -> "Surroundings":
        """The same with sockets and wires of their own, for the other *side* of a balancer."""
        other = copy(self)
        other.begin(*_identity_of(side))
        return other

    def begin(self, role: Role, home: NodeId | None, announced: str) -> None:
        """Have sockets and wires of its own; see `_identity`."""
        context, clock, routes = self.context, self._clock, self._routes
        self.wires = Wires(
            role, epoch_ns=clock.epoch_ns, now_ns=context.scheduler.now_ns, home=home
        )
        self._event_wire = self.wires.serving(announced or "memory://")
        self.endpoint = Endpoint(
            context.scheduler,
            context.spawn,
            announced=announced,
            route=lambda url: routes.get(url, url),
            tls=self._tls,
            on_cast_lost=self._cast_lost,
        )

    def beside(self, settings: NodeComponent) -> "Surroundings":
        """The same for a node in the same process, with sockets of its own."""
        context = replace(self.context, name=settings.name)
        return Surroundings(context, self._clock, settings, None, self.log)

    def connect(self, url: str) -> Connection:
        """A connection of the component; see `Endpoint.connection`."""
        connection = self.endpoint.connection(url)
        if self._recorder is None:
            return connection
        return self._recorder.wrapped(connection, self._here, url)

    async def end_capture(self) -> None:
        """Write down which calls wait, and no frame after that."""
        if self._recorder is not None:
            self._recorder.close()

    def _cast_lost(self, method: str, payload: bytes, cause: str) -> None:
        if method != HANDLE:
            return
        try:
            event = self._event_wire.decode_event(payload)
        except EventError:
            return
        journal = self.context.journal
        number = journal.intern("instance", event.target.hex())
        journal.record("drop", event.serial, number, cause)


def _identity(settings: ComponentSettings) -> tuple[Role, NodeId | None, str]:
    """Role, id if it is a node, and the URL at which it takes events, if it does."""
    match settings:
        case ControllerComponent():
            return Role.CONTROLLER, None, ""
        case OrchestratorComponent():
            return Role.ORCHESTRATOR, None, ""
        case NodeComponent():
            return _identity_of(settings)
        case BalancerComponent(local=local):
            return _identity_of(local)


def _identity_of(node: NodeComponent | BalancerSide) -> tuple[Role, NodeId, str]:
    return Role.NODE, node.node_id, node.invocation_announced_url or node.invocation_url
