"""WorkflowService: what clients ask of the ε-CON (spec 3.2 to 3.4).

A start or migration runs in a task of its own: a client that goes away leaves it whole. Not here:
what the ε-CON does unasked (`controller`).
"""

import asyncio
from typing import Final

from msgspec.structs import replace

from edgeless_sim.api.messages import (
    ComponentInventory,
    ComponentMapping,
    MigrateWorkflow,
    StartWorkflow,
    WorkflowInfo,
    WorkflowStatus,
)
from edgeless_sim.controller.choice import needs_of
from edgeless_sim.controller.deployment import Assignment, Component, Deployment
from edgeless_sim.controller.explanations import Explanations
from edgeless_sim.controller.launcher import Launcher
from edgeless_sim.controller.link import DomainLink
from edgeless_sim.controller.portal import reassign
from edgeless_sim.controller.register import DomainRegister
from edgeless_sim.controller.tasks import OwnedTasks
from edgeless_sim.controller.workflow_store import StoredWorkflow, WorkflowStore
from edgeless_sim.controller.workflows import Phase, Workflow, WorkflowTable
from edgeless_sim.errors import (
    EdgelessError,
    RejectedError,
    ResourceError,
    UnknownComponentError,
    UnreachableError,
    WorkflowSpecError,
)
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.entropy import uuid4_from
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.function import shared_annotations, shared_code
from edgeless_sim.model.ids import DomainId, WorkflowId
from edgeless_sim.model.names import clipped, name_fault, quoted
from edgeless_sim.model.workflow import SpawnWorkflowRequest, validate_workflow

__all__ = ["CHANGES_MAX", "CONFIRM_WAIT_S", "WorkflowService"]

#: Starts and migrations under way together.
CHANGES_MAX: Final = 1_024
#: How long a start waits for a domain to confirm its reset, if no other is feasible.
CONFIRM_WAIT_S: Final = 3.0

_INVALID: Final = "Invalid workflow creation request"
_INFEASIBLE: Final = "Migration request cannot be satified"  # EDGELESS spells it so.
_FAILED: Final = "Error when migrating the workflow"
_NOT_STORED: Final = "Controller cannot store workflows"


class WorkflowService:
    """Implements `WorkflowInstanceApi` over the controller's tables."""

    def __init__(
        self,
        context: ActorContext,
        *,
        table: WorkflowTable,
        register: DomainRegister,
        links: dict[DomainId, DomainLink],
        launcher: Launcher,
        explanations: Explanations,
        tasks: OwnedTasks,
        store: WorkflowStore,
    ) -> None:
        self._clock = context.clock
        self._scheduler = context.scheduler
        self._journal = context.journal
        # The time is in the name, so that an ε-CON that is restarted draws other ids.
        self._ids = context.entropy.stream(f"{context.name}/workflows/{context.clock.now_ns()}")
        self._table = table
        self._register = register
        self._links = links
        self._launcher = launcher
        self._explanations = explanations
        self._tasks = tasks
        self._store = store
        self._clients: dict[asyncio.Future[WorkflowStatus], None] = {}
        self._usable: list[asyncio.Future[bool]] = []
        self._changes = 0

    def restore(self) -> None:
        """Take up the workflows of the last life: orphans, until a domain registers.

        Raises `ResourceError` if they cannot be read, or one of them is not valid.
        """
        reason = "the controller was restarted"
        for stored in self._store.load():
            try:
                validate_workflow(stored.request)
                self._table.check(stored.name)
                if self._table.get(stored.workflow_id) or len(stored.state_ids) != len(
                    stored.request.functions
                ):
                    raise RejectedError("Stored twice, or not complete")
                needs = needs_of(stored.request)
            except (WorkflowSpecError, RejectedError) as error:
                place = f"stored workflow {stored.workflow_id}"
                raise ResourceError(clipped(f"{place}: {error}")) from None
            workflow = Workflow(
                workflow_id=stored.workflow_id,
                name=stored.name,
                request=stored.request,
                needs=needs,
                state_ids=stored.state_ids,
                number=self._journal.intern("workflow", str(stored.workflow_id)),
            )
            self._table.add(workflow)
            self._table.orphan(workflow, reason, self._clock.now_ns())
            self.note(workflow, "orphan", reason)

    async def start(self, request: StartWorkflow) -> WorkflowStatus:
        """See `WorkflowInstanceApi.start`."""
        self._check_load()
        workflow = self._admit(request)
        answer = self._expect_answer()
        self._tasks.spawn(f"start {workflow.title}", self._bring_up, workflow, answer)
        return await self._answered(answer)

    async def stop(self, workflow_id: WorkflowId) -> None:
        """See `WorkflowInstanceApi.stop`."""
        workflow = self._table.get(workflow_id)
        if workflow is not None:
            try:
                self._store.remove(workflow_id)
            except ResourceError as error:
                raise RejectedError(_NOT_STORED, clipped(str(error))) from None
            deployment = workflow.deployment
            self._table.remove(workflow)
            self.note(workflow, "stopped", "")
            if deployment is not None:
                self._launcher.undeploy(deployment)

    async def list_workflows(self) -> tuple[WorkflowStatus, ...]:
        """See `WorkflowInstanceApi.list_workflows`."""
        return tuple(self._status(workflow) for workflow in self._table.listed())

    async def inspect(self, workflow_id: WorkflowId) -> WorkflowInfo:
        """See `WorkflowInstanceApi.inspect`."""
        workflow = self._known(workflow_id, "Unknown workflow identifier")
        deployment = workflow.deployment
        request = workflow.request if deployment is None else deployment.request
        return WorkflowInfo(request, self._status(workflow))

    async def domains(self, domain_id: DomainId) -> dict[str, DomainCapabilities]:
        """See `WorkflowInstanceApi.domains`."""
        return {
            entry.domain_id: entry.capabilities
            for entry in self._register.entries()
            if domain_id in ("", entry.domain_id)
        }

    async def migrate(self, request: MigrateWorkflow) -> WorkflowStatus:
        """See `WorkflowInstanceApi.migrate`."""
        workflow = self._known(request.workflow_id, "Unknown workflow id")
        assignment = self._destination(workflow, request)
        self._check_load()
        answer = self._expect_answer()
        workflow.busy = True
        name = f"migrate {workflow.title}"
        self._tasks.spawn(name, self._move, workflow, assignment, answer)
        return await self._answered(answer)

    def note(self, workflow: Workflow, state: str, reason: str) -> None:
        """Put a change of state into the journal."""
        self._journal.record("state", workflow.number, state, reason)

    def tell_usable(self) -> None:
        """A domain has become usable: starts that wait look again."""
        waiting, self._usable = self._usable, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(True)

    def close(self) -> None:
        """Tell the clients that wait that they wait in vain."""
        for answer in list(self._clients):
            _fail(answer, UnreachableError("the controller has stopped"))

    def _admit(self, request: StartWorkflow) -> Workflow:
        try:
            validate_workflow(request.request)
            needs = needs_of(request.request)
        except WorkflowSpecError as error:
            raise RejectedError(_INVALID, clipped(str(error))) from None
        fault = name_fault(request.name) if request.name else None
        if fault is not None:
            raise RejectedError(_INVALID, f"the name {quoted(request.name)}: {fault}")
        self._table.check(request.name)
        ids = self._ids
        workflow_id = WorkflowId(uuid4_from(ids))
        while self._table.get(workflow_id) is not None:
            # One that was restored, of a life with the same seed.
            workflow_id = WorkflowId(uuid4_from(ids))
        workflow = Workflow(
            workflow_id=workflow_id,
            name=request.name,
            request=_shared(request.request),
            needs=needs,
            state_ids=tuple(uuid4_from(ids) for _ in request.request.functions),
            number=self._journal.intern("workflow", str(workflow_id)),
            busy=True,
        )
        self._table.add(workflow)
        return workflow

    async def _bring_up(self, workflow: Workflow, answer: "asyncio.Future[WorkflowStatus]") -> None:
        deadline_ns = self._clock.now_ns() + round(CONFIRM_WAIT_S * 1e9)

        async def wait() -> bool:
            return await self._wait_for_usable(deadline_ns)

        try:
            deployment = await self._launcher.launch(workflow, wait)
            self._keep(workflow, deployment)
        except RejectedError as error:
            if workflow.phase is not Phase.STOPPED:
                self._table.remove(workflow)
                self.note(workflow, "refused", clipped(str(error)))
            _fail(answer, error)
            return
        finally:
            self._changes -= 1
        workflow.busy = False
        self._table.activate(workflow, deployment)
        self.note(workflow, "started", f"{workflow.title} in {deployment.where}")
        if not answer.done():
            answer.set_result(self._status(workflow))

    def _keep(self, workflow: Workflow, deployment: Deployment) -> None:
        """Store what is about to be promised; if that fails, undo it and raise `RejectedError`."""
        try:
            self._store.put(
                StoredWorkflow(
                    workflow.workflow_id, workflow.name, workflow.request, workflow.state_ids
                )
            )
        except ResourceError as error:
            self._launcher.undeploy(deployment)
            raise RejectedError(_NOT_STORED, clipped(str(error))) from None

    async def _wait_for_usable(self, deadline_ns: int) -> bool:
        if self._clock.now_ns() >= deadline_ns:
            return False
        usable: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._usable.append(usable)
        timer = self._scheduler.timer_at(deadline_ns, _give_up, usable)
        try:
            return await usable
        finally:
            timer.cancel()

    def _destination(self, workflow: Workflow, request: MigrateWorkflow) -> Assignment:
        """Where everything is to be; raise `RejectedError` if that cannot be tried.

        The order of the checks is EDGELESS's (spec 3.4).
        """
        identifier = str(workflow.workflow_id)
        stay = _others(workflow, request) if request.component else {}
        views = self._register.views()
        assignment, why = reassign(workflow.request, request.domain_id, stay, views, self._ids)
        if assignment is None:
            raise RejectedError(_INFEASIBLE, clipped(f"{identifier}: {why}"))
        if workflow.phase is Phase.ORPHAN:
            raise RejectedError("Error when terminating the workflow during migration", identifier)
        if workflow.busy:
            raise RejectedError(_FAILED, f"{identifier}: it is being migrated already")
        return assignment

    async def _move(
        self, workflow: Workflow, assignment: Assignment, answer: "asyncio.Future[WorkflowStatus]"
    ) -> None:
        """The new deployment first: if it fails, the old one has not stopped."""
        attempt = await self._launcher.deploy(workflow, assignment)
        deployment = attempt.deployment
        self._changes -= 1
        workflow.busy = False
        if deployment is None:
            if workflow.phase is Phase.ORPHAN:
                # It lost its domain meanwhile, and nobody looked at it because it was busy.
                self._table.orphan(workflow, workflow.reason, self._clock.now_ns())
            self._explanations.note(workflow, "declined", None, reason=attempt.why)
            why = clipped(f"{workflow.workflow_id}: {attempt.why}")
            _fail(answer, RejectedError(_FAILED, why))
            return
        old = workflow.deployment
        self._table.activate(workflow, deployment)
        if old is not None:
            self._launcher.undeploy(old)
        self.note(workflow, "migrated", f"{workflow.title} to {deployment.where}")
        where, reason = deployment.where, assignment.reason
        self._explanations.note(workflow, "migrated", None, chosen=where, reason=reason)
        if not answer.done():
            answer.set_result(self._status(workflow))

    def _known(self, workflow_id: WorkflowId, summary: str) -> Workflow:
        workflow = self._table.get(workflow_id)
        if workflow is None or workflow.phase is Phase.STARTING:
            raise UnknownComponentError(summary, str(workflow_id))
        return workflow

    def _status(self, workflow: Workflow) -> WorkflowStatus:
        mapping: tuple[ComponentMapping, ...] = ()
        deployment = workflow.deployment
        if deployment is not None:
            mapping = tuple(
                ComponentMapping(
                    component.name,
                    component.lid,
                    component.domain_id,
                    state=(seen := self._describe(component)).state,
                    reason=seen.reason,
                    instance=seen.instance,
                    node=seen.node,
                    further=seen.further,
                )
                for component in deployment.components
            )
        return WorkflowStatus(workflow.workflow_id, mapping, workflow.name, workflow.reason)

    def _describe(self, component: Component) -> ComponentInventory:
        return self._links[component.domain_id].ledger.describe(component)

    def _check_load(self) -> None:
        if self._changes >= CHANGES_MAX:
            raise RejectedError("Controller busy", f"{CHANGES_MAX} workflows are being deployed")

    def _expect_answer(self) -> "asyncio.Future[WorkflowStatus]":
        self._changes += 1
        answer: asyncio.Future[WorkflowStatus] = asyncio.get_running_loop().create_future()
        self._clients[answer] = None
        return answer

    async def _answered(self, answer: "asyncio.Future[WorkflowStatus]") -> WorkflowStatus:
        try:
            return await answer
        finally:
            del self._clients[answer]


def _shared(request: SpawnWorkflowRequest) -> SpawnWorkflowRequest:
    """*request*, without a copy of code that another workflow has already."""
    functions = tuple(
        replace(
            each,
            class_specification=shared_code(each.class_specification),
            annotations=shared_annotations(each.annotations),
        )
        for each in request.functions
    )
    return replace(request, functions=functions)


def _others(workflow: Workflow, request: MigrateWorkflow) -> dict[str, DomainId]:
    """Where all but the component of *request* are; raise `RejectedError` if that cannot move."""
    if workflow.deployment is None:
        raise RejectedError(
            "Cannot migrate a single component of an orphan workflow", str(workflow.workflow_id)
        )
    places = workflow.deployment.places
    own = [function.name for function in workflow.request.functions]
    own += [resource.name for resource in workflow.request.resources]
    if request.component not in own:
        # What joins domains follows from where the others are.
        raise UnknownComponentError(
            "Invalid component name specified in migration request", quoted(request.component)
        )
    if places[request.component] == request.domain_id:
        raise RejectedError(
            "Ignoring request to migrate component to the same domain", request.domain_id
        )
    return {name: places[name] for name in own if name != request.component}


def _fail(answer: "asyncio.Future[WorkflowStatus]", error: EdgelessError) -> None:
    if not answer.done():
        answer.set_exception(error)


def _give_up(usable: "asyncio.Future[bool]") -> None:
    if not usable.done():
        usable.set_result(False)
