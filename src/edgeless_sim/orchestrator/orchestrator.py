"""The ε-ORC of one domain: takes requests from the ε-CON and registrations from nodes.

Control is level-triggered: requests and registrations only change the state; then what should be is
compared with what is known, and the difference repaired, again and again. State changes never
wait, so requests need no queue; intents have a mailbox. Not here: talking to nodes (`performer`)
and to the ε-CON (`subscriber`).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from edgeless_sim.api.clients import DomainRegistrationClient
from edgeless_sim.api.dispatch import Dispatcher, Request
from edgeless_sim.api.messages import UpdateNodeRequest, UpdateNodeResponse
from edgeless_sim.api.services import UPDATE_NODE
from edgeless_sim.api.wire import Wire
from edgeless_sim.api.wires import OUR_WIRES, Wires
from edgeless_sim.errors import RejectedError, UnreachableError
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.ids import LogicalId, NodeId
from edgeless_sim.model.intent import Cordon, Intent, Migrate, Uncordon
from edgeless_sim.orchestrator.announcement import DomainAnnouncement
from edgeless_sim.orchestrator.chronicle import Chronicle
from edgeless_sim.orchestrator.decisions import DecisionLog
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.intents import IntentActor, named_node, sensible
from edgeless_sim.orchestrator.invariants import check_state
from edgeless_sim.orchestrator.judge import Judge
from edgeless_sim.orchestrator.membership import Membership
from edgeless_sim.orchestrator.mirror import Mirror
from edgeless_sim.orchestrator.mirror_service import MirrorService
from edgeless_sim.orchestrator.performer import Connect, NodePerformer, Reports
from edgeless_sim.orchestrator.placement import create_strategy
from edgeless_sim.orchestrator.placer import Placer
from edgeless_sim.orchestrator.proxy import Proxy
from edgeless_sim.orchestrator.records import Component
from edgeless_sim.orchestrator.register import NodeRegister, Registration
from edgeless_sim.orchestrator.requests import ComponentRequests, is_final
from edgeless_sim.orchestrator.settings import OrchestratorSettings
from edgeless_sim.orchestrator.subscriber import DomainSubscriber
from edgeless_sim.orchestrator.view import DomainView

__all__ = ["Orchestrator", "OrchestratorSettings"]

_TICK_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Door:
    """One address at which it listens."""

    wire: Wire
    dispatch: Dispatcher
    accepted: bytes
    """The reply to a registration."""


class Orchestrator:
    """One domain. `handler` is what its transport listens with at its URL."""

    def __init__(
        self,
        context: ActorContext,
        settings: OrchestratorSettings,
        connect: Connect,
        *,
        proxies: Sequence[Proxy] = (),
        wires: Wires = OUR_WIRES,
    ) -> None:
        self._context = context
        self._settings = settings
        self._scheduler = context.scheduler
        self._chronicle = Chronicle(context.journal, settings.domain_id)
        self._state = DomainState()
        self._register = NodeRegister(settings.keep_alive_s, connect, settings.url)
        self._membership = Membership(self._state, self._chronicle)
        # The time is part of the name: a restarted ε-ORC must not choose the same ids again.
        name = f"{context.name}/placement/{context.scheduler.now_ns()}"
        self._dice = context.entropy.stream(name)
        self._mirror = Mirror(
            context.clock,
            self._state,
            self._register,
            settings.domain_id,
            proxies,
            gc_period_s=settings.gc_period_s,
        )
        decisions = self._make_decisions()
        self._shown = MirrorService(self._state, self._mirror, decisions)
        self._requests = ComponentRequests(
            self._state,
            self._chronicle,
            self._dice,
            settings.domain_id,
            decisions,
            self._kick,
        )
        self._placer = self._make_placer(decisions)
        self._wires = wires
        self._performer = self._make_performer(connect)
        self._announcement = self._make_announcement()
        self._subscriber = self._make_subscriber(connect)
        self._intents = IntentActor(context, self._obey)
        #: Serves one request of the ε-CON or of a node.
        self.handler = self.handler_for(settings.url)
        self._ticks: Timer | None = None
        self._kicked = False
        self._stopped = False

    # --- life

    async def start(self) -> None:
        """Begin to tick, and register with the ε-CON."""
        self._next_tick()
        self._mirror.begin(self._obey_all)
        if self._subscriber is not None:
            self._subscriber.start()

    async def stop(self) -> None:
        """Stop serving. Instances keep running; who waits for a start is told."""
        self.crash()
        self._requests.abandon(UnreachableError(f"{self._context.name} has stopped"))

    def crash(self) -> None:
        """Stop without a word: no message, no record, no answer."""
        self._stopped = True
        self._performer.stop()
        self._intents.stop()
        self._mirror.end()
        if self._subscriber is not None:
            self._subscriber.stop()
        if self._ticks is not None:
            self._ticks.cancel()

    # --- frames

    def handler_for(self, url: str) -> Callable[[Request], bytes | Awaitable[bytes]]:
        """What its transport listens with at *url*, one of its own."""
        wire = self._wires.serving(url)
        keep_alive_s = self._settings.keep_alive_s
        response = UpdateNodeResponse(keep_alive_s / 2 if keep_alive_s else None)
        services: dict[str, object] = {
            "FunctionInstance": self._requests,
            "ResourceConfiguration": self._requests,
            "DomainPoll": self._announcement,
            "DomainMirror": self._shown,
        }
        accepted = wire.encode_result(UPDATE_NODE, response)
        return partial(self._serve, _Door(wire, Dispatcher(services, wire), accepted))

    def _serve(self, door: _Door, incoming: Request) -> bytes | Awaitable[bytes]:
        if incoming.method != UPDATE_NODE:
            return door.dispatch(incoming)
        # The refresh of an idle node, ten thousand times a second: no decoding, no task.
        if self._register.repeat(incoming.peer, incoming.payload, self._scheduler.now_ns()):
            return door.accepted
        try:
            request: UpdateNodeRequest = door.wire.decode_request(UPDATE_NODE, incoming.payload)
            self._update_node(request)
        except RejectedError as error:
            return door.wire.encode_refusal(UPDATE_NODE, error)
        if door.wire.repeatable and not self._state.nodes[request.node_id].older:
            self._register.remember(request.node_id, incoming.peer, incoming.payload)
        return door.accepted

    def _update_node(self, request: UpdateNodeRequest) -> None:
        if self._stopped:
            raise RejectedError("the orchestrator has stopped")
        before = self._versions()
        registration = self._register.update(request, self._scheduler.now_ns())
        restart = "it has a new nonce" if registration is Registration.RESTARTED else ""
        if registration is Registration.REFRESHED and self._membership.went_back(request):
            restart = "it goes on as it was at an earlier time"
        if restart:
            self._membership.leave(request.node_id, "restarted", restart)
            self._performer.forget(request.node_id)
        if restart or registration is Registration.JOINED:
            self._membership.join(request)
        else:
            self._membership.refresh(request)
        self._mirror.take(request)
        for component in self._membership.compare(request):
            self._requests.started(component)
        if (
            self._state.waiting.unplaced
            or self._state.waiting.short
            or self._state.called
            or before != self._versions()
        ):
            self._kick()

    # --- direct calls, for scenarios and tests

    def cordon(self, node: NodeId | str) -> None:
        """Give *node* (an id or a name) nothing new; raise `UnknownComponentError` for a typo."""
        self._intents.cast(Cordon(named_node(self._state, node)))

    def uncordon(self, node: NodeId | str) -> None:
        """End a cordon; raise `UnknownComponentError` for a typo."""
        self._intents.cast(Uncordon(named_node(self._state, node)))

    def migrate(self, component: LogicalId, nodes: Sequence[NodeId | str]) -> None:
        """Move *component* to the first of *nodes* that can host it; the journal says if none can.

        Raises `UnknownComponentError` for a name that no node has.
        """
        self._intents.cast(
            Migrate(component, tuple(named_node(self._state, node) for node in nodes))
        )

    def snapshot(self) -> DomainView:
        """The domain as it is now."""
        return self._state.view(components=True)

    def mirror_counters(self) -> Counter[str]:
        """What its mirrors counted since it began; see `Proxy.counters`."""
        return self._mirror.counters()

    def unready_reason(self) -> str:
        """Why the ε-CON does not know of this domain; empty if it does."""
        known = self._announcement.polled or (self._subscriber and self._subscriber.registered)
        return "" if known else "the ε-CON does not know of the domain yet"

    def check_invariants(self) -> None:
        """Raise AssertionError if the tables of the state contradict each other."""
        check_state(self._state)
        assert len(self._register) == len(self._state.nodes), "register and state differ"

    # --- repair

    def _kick(self) -> None:
        """Look at the state as soon as the present callback has ended; once for many changes."""
        if not self._kicked and not self._stopped:
            self._kicked = True
            self._scheduler.foreground_soon(self._reconcile)

    def _reconcile(self) -> None:
        self._kicked = False
        if self._stopped:
            return
        state = self._state
        self._placer.place_all()
        called, state.called = state.called, {}
        for node_id in called:
            node = state.nodes.get(node_id)
            if node is not None:
                self._performer.talk(node)
        if self._subscriber is not None:
            self._subscriber.look()

    def _start_failed(self, component: Component, error: RejectedError) -> None:
        if not component.accepted and is_final(error):
            self._requests.refuse(component, error)

    def _reset(self) -> None:
        """The ε-CON wants nothing of what runs here."""
        self._requests.stop_all()
        self._kick()

    # --- time

    def _next_tick(self) -> None:
        when_ns = self._scheduler.now_ns() + _TICK_NS
        self._ticks = self._scheduler.background_at(when_ns, self._tick)

    def _tick(self) -> None:
        if self._stopped:
            return
        for node_id in self._register.expired(self._scheduler.now_ns()):
            self._membership.leave(node_id, "lost", "no refresh before its deadline")
            self._performer.forget(node_id)
            self._kick()
        self._obey_all(self._shown.inbox.take())
        self._obey_all(self._placer.rebalance())
        self._mirror.tick()
        self._next_tick()

    # --- intents

    def _obey_all(self, intents: Iterable[Intent]) -> None:
        for intent in sensible(self._state, intents, self._chronicle):
            self._obey(intent)

    def _obey(self, intent: Intent) -> None:
        match intent:
            case Cordon():
                self._membership.cordon(intent.node, cordoned=True)
            case Uncordon():
                self._membership.cordon(intent.node, cordoned=False)
            case Migrate():
                self._placer.migrate(intent)
        self._kick()

    # --- making

    def _versions(self) -> tuple[int, int]:
        return self._state.version, self._state.totals_version

    def _make_decisions(self) -> DecisionLog:
        return DecisionLog(
            self._settings.domain_id,
            self._settings.strategy,
            lambda: self._context.clock.utc().timestamp(),
            lambda logical_id: self._chronicle.name_of(self._state.components[logical_id]),
        )

    def _make_placer(self, decisions: DecisionLog) -> Placer:
        name = self._settings.strategy
        return Placer(
            self._scheduler,
            self._state,
            self._requests,
            self._chronicle,
            decisions,
            Judge(name, create_strategy(name), self._scheduler.now_ns),
            self._dice,
            self._kick,
        )

    def _make_performer(self, connect: Connect) -> NodePerformer:
        return NodePerformer(
            self._context,
            self._state,
            connect,
            Reports(self._requests.started, self._start_failed, self._kick),
            chronicle=self._chronicle,
            timeout_s=self._settings.rpc_timeout_s,
            wires=self._wires,
        )

    def _make_announcement(self) -> DomainAnnouncement:
        return DomainAnnouncement(
            self._context,
            self._state,
            self._reset,
            domain_id=self._settings.domain_id,
            url=self._settings.url,
            ttl_s=2 * self._settings.announcement_interval_s + 1,
            chronicle=self._chronicle,
        )

    def _make_subscriber(self, connect: Connect) -> DomainSubscriber | None:
        settings = self._settings
        if not settings.domain_register_url:
            return None
        connection = connect(settings.domain_register_url)
        return DomainSubscriber(
            self._context,
            self._state,
            DomainRegistrationClient(
                connection,
                self._wires.calling(settings.domain_register_url),
                timeout_s=settings.rpc_timeout_s,
            ),
            self._announcement,
            interval_s=settings.announcement_interval_s,
            chronicle=self._chronicle,
        )
