"""Controller: the ε-CON. Accepts workflows, gives each a domain, and keeps it that way (spec 3).

Level-triggered: each registration of a domain is compared with what should be there, a domain that
is lost makes orphans of its workflows, and orphans are deployed again until it succeeds. Requests
are served side by side, since a domain that hangs must stop no other; state changes only between
awaits, so that no request sees half of one. Not here: how a workflow is divided between domains
(`portal`), and the file of workflows (`workflow_store`).
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from msgspec.structs import replace

from edgeless_sim.api.clients import RPC_TIMEOUT_S, DomainPollClient
from edgeless_sim.api.dispatch import Dispatcher, Request
from edgeless_sim.api.messages import UpdateDomainRequest, UpdateDomainResponse
from edgeless_sim.api.methods import METHODS
from edgeless_sim.api.wire import Wire
from edgeless_sim.api.wires import OUR_WIRES, Wires
from edgeless_sim.controller.explanations import Explanations
from edgeless_sim.controller.launcher import Launcher
from edgeless_sim.controller.link import Connect, DomainLink
from edgeless_sim.controller.poller import POLL_TIMEOUT_S, DomainPoller, StaticDomain
from edgeless_sim.controller.register import DOMAINS_MAX, DomainEntry, DomainRegister, News
from edgeless_sim.controller.tasks import OwnedTasks
from edgeless_sim.controller.workflow_service import WorkflowService
from edgeless_sim.controller.workflow_store import MemoryWorkflowStore, WorkflowStore
from edgeless_sim.controller.workflows import Phase, Workflow, WorkflowTable
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.scheduler import Timer
from edgeless_sim.model.compat import Profile
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.names import clipped

__all__ = ["REVIVALS_MAX", "Controller", "ControllerSettings"]

#: Orphans that are being deployed together.
REVIVALS_MAX: Final = 64
#: How long a domain of EDGELESS's own has for its reset, since it cannot confirm one.
TRUST_AFTER_S: Final = 1.0

_UPDATE_DOMAIN: Final = METHODS["DomainRegistration"]["update_domain"].path


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """What the ε-CON is told at its start. Times in seconds."""

    url: str
    """Where it listens."""
    domains: tuple[StaticDomain, ...] = ()
    """Those that it asks by itself; others register."""
    profile: Profile = Profile.STRICT
    tick_s: float = 1.0
    """How often it looks for lost domains and for orphans whose time has come."""
    rpc_timeout_s: float = RPC_TIMEOUT_S


class Controller:
    """The ε-CON; its services are `WorkflowInstanceApi` and `DomainRegistrationApi`."""

    def __init__(
        self,
        context: ActorContext,
        settings: ControllerSettings,
        connect: Connect,
        *,
        wires: Wires = OUR_WIRES,
        store: WorkflowStore | None = None,
    ) -> None:
        """Workflows of *store* are orphans from the beginning; None = it remembers nothing.

        Raises `ResourceError` if they cannot be read.
        """
        self.settings: Final = settings
        self._context = context
        self._connect = connect
        self._journal = context.journal
        self._wires = wires
        self._tasks = OwnedTasks(context.spawn)
        self._links: dict[DomainId, DomainLink] = {}
        self._peers: dict[str, DomainLink] = {}
        self._table = WorkflowTable()
        self._reviving = 0
        self._timer: Timer | None = None
        # The time is in the names: an ε-CON that is restarted must draw other ids and epochs.
        now_ns = context.clock.now_ns()
        stream = context.entropy.stream
        self._register = DomainRegister(stream(f"{context.name}/epochs/{now_ns}"))
        self._explanations = Explanations(
            self._table, self._links, lambda: context.clock.utc().timestamp()
        )
        self._launcher = Launcher(
            self._links,
            self._register.views,
            dice=stream(f"{context.name}/choice"),
            ids=stream(f"{context.name}/components/{now_ns}"),
            journal=context.journal,
            explanations=self._explanations,
        )
        #: The service for clients; for callers in the same process.
        self.workflows: Final = WorkflowService(
            context,
            table=self._table,
            register=self._register,
            links=self._links,
            launcher=self._launcher,
            explanations=self._explanations,
            tasks=self._tasks,
            store=MemoryWorkflowStore() if store is None else store,
        )
        self.workflows.restore()
        self._pollers = [self._make_poller(domain) for domain in settings.domains]
        #: What a transport listens with at its URL.
        self.handler = self.handler_for(settings.url)

    async def start(self) -> None:
        """Begin to look after domains and orphans; whoever calls this listens with `handler`."""
        self._set_timer()
        for poller in self._pollers:
            poller.start()

    async def stop(self) -> None:
        """Serve nobody any more. Workflows stay where they are."""
        self.workflows.close()
        self.crash()

    def crash(self) -> None:
        """End all at once, without a word to anybody."""
        if self._timer is not None:
            self._timer.cancel()
        for poller in self._pollers:
            poller.stop()
        for link in self._links.values():
            link.close()
        self._tasks.end()

    def handler_for(self, url: str) -> Callable[[Request], bytes | Awaitable[bytes]]:
        """What a transport listens with at *url*, one of its own."""
        wire = self._wires.serving(url)
        services = {
            "WorkflowInstance": self.workflows,
            "WorkflowExplanation": self._explanations,
            "DomainRegistration": self,
        }
        return partial(self._serve, wire, Dispatcher(services, wire))

    def _serve(
        self, wire: Wire, dispatch: Dispatcher, incoming: Request
    ) -> bytes | Awaitable[bytes]:
        """Serve one request. A registration is answered at once, without a task."""
        if incoming.method != _UPDATE_DOMAIN:
            return dispatch(incoming)
        link = self._peers.get(incoming.peer)
        if link is not None:
            entry = link.entry
            if entry.accepted == incoming.payload and link.ledger.settled:
                self._register.prolong(entry, self._context.scheduler.now_ns())
                return entry.reply
        return self._update(wire, incoming)

    async def update_domain(self, request: UpdateDomainRequest) -> UpdateDomainResponse:
        """See `DomainRegistrationApi.update_domain`."""
        return self._register_domain(request)

    def _register_domain(self, request: UpdateDomainRequest) -> UpdateDomainResponse:
        return self._take_registration(request)[1]

    def _make_poller(self, domain: StaticDomain) -> DomainPoller:
        client = DomainPollClient(
            self._connect(domain.url), self._wires.calling(domain.url), timeout_s=POLL_TIMEOUT_S
        )
        return DomainPoller(
            domain,
            client,
            self._register_domain,
            scheduler=self._context.scheduler,
            tasks=self._tasks,
            journal=self._journal,
        )

    def census(self) -> tuple[Counter[str], Counter[str]]:
        """How many workflows there are by phase, and how many domains by usability."""
        workflows = Counter(workflow.phase.value for workflow in self._table.listed())
        domains = Counter(
            "resetting" if entry.epoch is None else "silent" if entry.silent else "usable"
            for entry in self._register.entries()
        )
        return workflows, domains

    def check_invariants(self) -> None:
        """Raise AssertionError if the books contradict each other."""
        running: dict[DomainId, list[object]] = {domain_id: [] for domain_id in self._links}
        for workflow in self._table.listed():
            deployment = workflow.deployment
            assert (deployment is None) == (workflow.phase is Phase.ORPHAN), workflow.title
            if deployment is not None:
                for domain_id in deployment.domains:
                    assert domain_id in self._links, workflow.title
                    assert workflow in self._table.tenants(domain_id), workflow.title
                for component in deployment.components:
                    assert component.domain_id in deployment.domains, component.name
                    running[component.domain_id].append(component.lid)
        for domain_id, link in self._links.items():
            assert self._register.get(domain_id) is link.entry, domain_id
            expected = link.ledger.expected
            assert all(lid in expected for lid in running[domain_id]), domain_id
            if not self._tasks:
                assert len(expected) == len(running[domain_id]), domain_id

    def _update(self, wire: Wire, incoming: Request) -> bytes:
        try:
            request: UpdateDomainRequest = wire.decode_request(_UPDATE_DOMAIN, incoming.payload)
            link, response = self._take_registration(request)
        except RejectedError as error:
            return wire.encode_refusal(_UPDATE_DOMAIN, error)
        reply = wire.encode_result(_UPDATE_DOMAIN, response)
        if wire.repeatable and not response.reset:
            # Good for as long as the ledger is settled.
            link.entry.accepted = incoming.payload
            link.entry.reply = reply
            if len(self._peers) > 2 * DOMAINS_MAX:
                self._peers.clear()
            self._peers[incoming.peer] = link
        return reply

    def _take_registration(
        self, request: UpdateDomainRequest
    ) -> tuple[DomainLink, UpdateDomainResponse]:
        verdict = self._register.update(request, self._context.scheduler.now_ns())
        entry = verdict.entry
        entry.accepted = b""
        link = self._links.get(entry.domain_id)
        if link is None:
            link = self._open_link(entry)
        self._react(link, verdict.news)
        if verdict.response.reset:
            if request.components is None and not request.epoch:
                when_ns = self._context.scheduler.now_ns() + round(TRUST_AFTER_S * 1e9)
                self._context.scheduler.call_at(when_ns, self._trust, link, entry.nonce)
            return link, verdict.response
        ledger = link.ledger
        if not verdict.overtaken:
            ledger.report(
                request.components,
                base=request.base,
                version=request.version,
                gone=request.gone,
                more=request.more,
            )
            if ledger.next_repair_ns() is not None:
                link.kick_soon()
        return link, replace(verdict.response, version=ledger.version)

    def _react(self, link: DomainLink, news: News) -> None:
        """Act on what a registration has changed."""
        if news is News.NONE:
            return
        domain_id = link.entry.domain_id
        if news is not News.CHANGED:
            number = self._journal.intern("domain", domain_id)
            self._journal.record("state", number, news.value, "")
        if news in (News.RESTARTED, News.RESET):
            link.forget_all()
            self._orphan_all(domain_id, f"domain {domain_id} was restarted")
        if news in (News.USABLE, News.RESET, News.CHANGED):
            self.workflows.tell_usable()
            if self._table.hurry(self._context.scheduler.now_ns()):
                self._revive_soon()

    def _open_link(self, entry: DomainEntry) -> DomainLink:
        link = self._links[entry.domain_id] = DomainLink(
            entry,
            self._connect,
            scheduler=self._context.scheduler,
            tasks=self._tasks,
            rpc_timeout_s=self.settings.rpc_timeout_s,
            wires=self._wires,
        )
        return link

    def _trust(self, link: DomainLink, nonce: int) -> None:
        entry = link.entry
        if not link.closed and entry.nonce == nonce and entry.epoch is None:
            self._register.trust(entry)
            self._react(link, News.USABLE)

    def _set_timer(self) -> None:
        scheduler = self._context.scheduler
        when_ns = scheduler.now_ns() + round(self.settings.tick_s * 1e9)
        self._timer = scheduler.background_at(when_ns, self._tick)

    def _tick(self) -> None:
        now_ns = self._context.scheduler.now_ns()
        for entry in self._register.expire(now_ns):
            self._lose(entry)
        retry_ns = self._table.next_retry_ns()
        if retry_ns is not None and retry_ns <= now_ns:
            self._revive_soon()
        self._set_timer()

    def _lose(self, entry: DomainEntry) -> None:
        domain_id = entry.domain_id
        link = self._links.pop(domain_id)
        link.close()
        self._peers = {peer: other for peer, other in self._peers.items() if other is not link}
        number = self._journal.intern("domain", domain_id)
        self._journal.record("state", number, "lost", "its deadline has passed")
        self._orphan_all(domain_id, f"domain {domain_id} was lost")

    def _orphan_all(self, domain_id: DomainId, reason: str) -> None:
        now_ns = self._context.scheduler.now_ns()
        for workflow in self._table.tenants(domain_id):
            deployment = workflow.deployment
            self._table.orphan(workflow, reason, now_ns)
            self.workflows.note(workflow, "orphan", reason)
            if deployment is not None:
                # What is left of it in other domains (upstream bug 65).
                self._launcher.undeploy(deployment)
        self._revive_soon()

    def _revive_soon(self) -> None:
        # Foreground: `settled` waits until each orphan has been tried.
        self._context.scheduler.foreground_soon(self._revive)

    def _revive(self) -> None:
        now_ns = self._context.scheduler.now_ns()
        for orphan in self._table.due(now_ns, REVIVALS_MAX - self._reviving):
            orphan.busy = True
            self._reviving += 1
            self._tasks.spawn(f"redeploy {orphan.title}", self._redeploy, orphan)

    async def _redeploy(self, orphan: Workflow) -> None:
        try:
            deployment = await self._launcher.launch(orphan)
        except RejectedError as error:
            if orphan.phase is not Phase.STOPPED:
                self._postpone(orphan, clipped(str(error)))
        else:
            self._table.activate(orphan, deployment)
            reason = f"{orphan.title} in {deployment.where}"
            self.workflows.note(orphan, "redeployed", reason)
        orphan.busy = False
        self._reviving -= 1
        self._revive()

    def _postpone(self, orphan: Workflow, reason: str) -> None:
        if reason != orphan.reason:
            self.workflows.note(orphan, "orphan", reason)
        self._table.postpone(orphan, reason, self._context.scheduler.now_ns())
