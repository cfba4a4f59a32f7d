"""What the ε-ORC talks to on a node: start, stop and patch functions and resources (spec 5.4).

Operations on functions end at once: nothing waits for a guest, so a control request is answered
however many guests loop (invariant I41). Every operation is idempotent by instance id, and counted,
so that the ε-ORC can tell an inventory taken before it from one taken after.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import cached_property
from random import Random
from typing import Final

from msgspec.structs import replace

from edgeless_sim.api.messages import (
    InstanceInventory,
    InstanceState,
    StartReply,
    StopReply,
    UpdatePeersRequest,
    UpdatePeersType,
)
from edgeless_sim.errors import BadCodeError, RejectedError
from edgeless_sim.kernel.entropy import uuid4_from
from edgeless_sim.model.event import PatchRequest
from edgeless_sim.model.function import (
    Predecessor,
    SpawnFunctionRequest,
    shared_annotations,
    shared_code,
    shared_name,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId
from edgeless_sim.model.names import clipped
from edgeless_sim.model.recent import Recent
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.node.arrival import Clients
from edgeless_sim.node.function import HostedFunction
from edgeless_sim.node.handover import Handovers
from edgeless_sim.node.hosting import HostingContext
from edgeless_sim.node.movable import MovableFunction
from edgeless_sim.node.phase import Phase
from edgeless_sim.node.resource import HostedResource
from edgeless_sim.resources.base import ResourceProvider
from edgeless_sim.runtimes.base import FunctionInstance
from edgeless_sim.runtimes.catalog import RuntimeCatalog

__all__ = ["INSTANCES_MAX", "STOPPED_MAX", "Agent"]

INSTANCES_MAX: Final = 10_000
#: Instances that were stopped, and are remembered.
STOPPED_MAX: Final = 10_000
_NOT_CREATED: Final = "Error when creating a function instance"
_NO_RESOURCE: Final = "Error when creating a resource"
_STATES: Final = {Phase.BACKOFF: InstanceState.BACKOFF, Phase.FAILED: InstanceState.FAILED}


class Agent:
    """Hosts the instances of one node. Serves `ComponentApi` and `NodeManagementApi`."""

    def __init__(
        self,
        node_id: NodeId,
        context: HostingContext,
        runtimes: RuntimeCatalog,
        function_types: tuple[str, ...],
        providers: Mapping[str, ResourceProvider],
        *,
        on_change: Callable[[], None],
        clients: Clients,
    ) -> None:
        """*clients* speak to the agents of other nodes."""
        self._node_id = node_id
        self._context = context
        self._runtimes = runtimes
        self._function_types = function_types
        self._providers = providers
        self._on_change = on_change
        self.functions: dict[InstanceId, MovableFunction] = {}
        self.resources: dict[InstanceId, HostedResource] = {}
        #: Those of `resources` whose start has not ended: what it ends with.
        self._starting: dict[InstanceId, asyncio.Future[RejectedError | None]] = {}
        #: Serves `HandoverApi`.
        self.handovers = Handovers(self.functions, context, clients)
        self._arriving: dict[InstanceId, asyncio.Future[None]] = {}
        # A start that arrives after the stop of the same instance must not bring it back (F44).
        self._stopped: Recent[InstanceId] = Recent(STOPPED_MAX)
        self._closing = False
        self._emptied: asyncio.Future[None] | None = None
        # Bound once, and not for each instance.
        self._new_guest = self._instantiate
        self._when_changed = self._changed
        self._when_gone = self._forget_function
        #: Control operations carried out so far.
        self.revision = 0
        #: Grows with every change of what `inventory` returns.
        self.changes = 0

    # -- functions ------------------------------------------------------------------------------

    async def start_function(self, request: SpawnFunctionRequest) -> StartReply:
        """See `ComponentApi.start_function`; raise `RejectedError` for a type not offered here,
        and if the instance was to take over from one that goes on instead."""
        pid = self._instance_id(request.instance_id)
        while pid in self._arriving:
            # Copies of one request: after one that failed, the next one tries, and no two at once.
            # Shielded: who gives up waiting must not take the other's future along.
            await asyncio.shield(self._arriving[pid])
        if pid not in self.functions:
            hosted = self._made(pid, request)
            if request.takes_over is None:
                self._begin(hosted, request)
            else:
                await self._take_over(hosted, request, request.takes_over)
        self.revision += 1
        return StartReply(pid, self.revision)

    def _made(self, pid: InstanceId, request: SpawnFunctionRequest) -> MovableFunction:
        function_type = request.code.function_type
        if function_type not in self._function_types:
            raise RejectedError(_NOT_CREATED, clipped(f"Could not find runner for {function_type}"))
        self._check_fresh(_NOT_CREATED, pid)
        # What lasts is kept once; its handle keeps the outputs.
        kept = replace(
            request,
            code=shared_code(request.code),
            annotations=shared_annotations(request.annotations),
            name=shared_name(request.name),
            instance_id=pid,
            output_mapping=None,
        )
        try:
            return MovableFunction(
                pid,
                kept,
                self._context,
                self._new_guest,
                on_change=self._when_changed,
                on_gone=self._when_gone,
            )
        except BadCodeError as error:
            raise RejectedError(_NOT_CREATED, f"{request.name}: {error}") from None

    def _begin(self, hosted: MovableFunction, request: SpawnFunctionRequest) -> None:
        self.functions[hosted.pid] = hosted
        self.handovers.reclaim(request.state_specification.state_id)
        self._record_start(hosted.handle.number, str(request.workflow_id), request.name)
        hosted.begin(request.output_mapping)
        self._changed()

    async def _take_over(
        self,
        hosted: MovableFunction,
        request: SpawnFunctionRequest,
        predecessor: Predecessor,
    ) -> None:
        pid = hosted.pid
        arriving = self._arriving[pid] = asyncio.get_running_loop().create_future()
        try:
            arrival = await self.handovers.arrive(hosted, predecessor)
            if self._closing:
                arrival.crash("the node is stopping")
                raise RejectedError(_NOT_CREATED, "the node is stopping")
        except BaseException:
            hosted.abandon()
            raise
        finally:
            del self._arriving[pid]
            arriving.set_result(None)
        self._begin(hosted, request)
        arrival.begin()
        if arrival.cancelled:
            hosted.stop()

    async def stop_function(self, instance_id: InstanceId) -> StopReply:
        """See `ComponentApi.stop_function`. Returns when the stop has begun."""
        self._stopped.add(instance_id)
        hosted = self.functions.get(instance_id)
        if hosted is not None:
            hosted.stop()
            self._changed()
        else:
            self.handovers.cancel(instance_id)
        return self._done()

    async def patch_function(self, request: PatchRequest) -> StopReply:
        """See `ComponentApi.patch_function`; an unknown id is no error (case D24)."""
        hosted = self.functions.get(request.function_id)
        if hosted is not None and hosted.handle.patch(request.output_mapping, request.generation):
            hosted.patched()
            self._record_patch(hosted.handle.number, request)
        return self._done()

    def _instantiate(
        self, pid: InstanceId, request: SpawnFunctionRequest, life: int
    ) -> FunctionInstance:
        # Dice for each life: who draws nothing need not keep any.
        name = f"instance/{pid.function_id}"
        dice = self._context.actor.entropy.stream(f"{name}/{life}" if life else name)
        return self._runtimes.get(request.code.function_type).instantiate(pid, request, dice)

    def _forget_function(self, hosted: HostedFunction) -> None:
        self.functions.pop(hosted.pid, None)
        self.handovers.gone(hosted.pid)
        self._note_emptied()
        self._changed()

    def _note_emptied(self) -> None:
        if self._emptied is not None and not self.functions and not self._emptied.done():
            self._emptied.set_result(None)

    # -- resources ------------------------------------------------------------------------------

    async def start_resource(self, request: ResourceInstanceSpecification) -> StartReply:
        """See `ComponentApi.start_resource`; raise `RejectedError` if the provider refuses."""
        pid = self._instance_id(request.instance_id)
        starting = self._starting.get(pid)
        if starting is not None:
            # Asked for again while it starts: the answer is that of the first request.
            error = await asyncio.shield(starting)
            if error is not None:
                raise RejectedError(error.summary, error.detail)
        elif pid not in self.resources:
            self._check_fresh(_NO_RESOURCE, pid)
            await self._start_resource(pid, request)
        self.revision += 1
        return StartReply(pid, self.revision)

    async def _start_resource(
        self, pid: InstanceId, request: ResourceInstanceSpecification
    ) -> None:
        hosted = HostedResource(pid, request, self._provider_for(request), self._context)
        starting: asyncio.Future[RejectedError | None] = asyncio.get_running_loop().create_future()
        self.resources[pid] = hosted
        self._starting[pid] = starting
        failure: RejectedError | None = RejectedError(_NO_RESOURCE, "its start was given up")
        try:
            await hosted.start()
            failure = None
        except RejectedError as error:
            failure = error
            raise
        finally:
            if failure is not None and self.resources.get(pid) is hosted:
                del self.resources[pid]
            del self._starting[pid]
            starting.set_result(failure)
        self._record_start(hosted.handle.number, str(request.workflow_id), request.name)
        self._changed()

    async def stop_resource(self, instance_id: InstanceId) -> StopReply:
        """See `ComponentApi.stop_resource`; unlike in EDGELESS an unknown id is no error, since
        a stop whose answer was lost is repeated."""
        self._stopped.add(instance_id)
        hosted = self.resources.pop(instance_id, None)
        if hosted is not None:
            await hosted.stop()
            self._changed()
        return self._done()

    async def patch_resource(self, request: PatchRequest) -> StopReply:
        """See `ComponentApi.patch_resource`; raise `RejectedError` for an unknown id."""
        hosted = self.resources.get(request.function_id)
        if hosted is None:
            raise RejectedError(
                "Error when patching a resource",
                f"Cannot patch a resource, not found with fid: {request.function_id}",
            )
        if hosted.handle.patch(request.output_mapping, request.generation):
            await hosted.provider.patch(request)
            self._record_patch(hosted.handle.number, request)
        return self._done()

    def _provider_for(self, request: ResourceInstanceSpecification) -> ResourceProvider:
        for provider_id in sorted(self._providers):
            provider = self._providers[provider_id]
            if request.provider_id in ("", provider_id) and (
                provider.specification.class_type == request.class_type
            ):
                return provider
        raise RejectedError(
            _NO_RESOURCE, clipped(f"Provider for class_type does not exist: {request.class_type}")
        )

    # -- the node -------------------------------------------------------------------------------

    async def update_peers(self, request: UpdatePeersRequest) -> None:
        """See `NodeManagementApi.update_peers`."""
        plane = self._context.plane
        if request.kind is UpdatePeersType.CLEAR:
            plane.clear_peers()
        elif request.node_id is None:
            raise RejectedError("Error when updating peers", "the node id is missing")
        elif request.kind is UpdatePeersType.ADD:
            plane.add_peer(request.node_id.bytes, request.invocation_url)
        else:
            plane.remove_peer(request.node_id.bytes)

    async def reset(self) -> StopReply:
        """See `NodeManagementApi.reset`: functions first, then resources; peers stay (D25)."""
        self.handovers.cancel_all()
        for function_pid in list(self.functions):
            await self.stop_function(function_pid)
        for pid in list(self.resources):
            await self.stop_resource(pid)
        return self._done()

    async def close(self) -> None:
        """Start nothing more, stop everything, and return when all stop hooks have run (T_stop)."""
        self._closing = True
        self.handovers.close()
        await self.reset()
        if self.functions:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            # Shielded: who gives up waiting must not take the others' future along.
            await asyncio.shield(self._emptied)

    def inventory(self) -> tuple[InstanceInventory, ...]:
        """What runs here, in the order of start.

        An instance that is stopping counts as gone; one that has left does not before the ε-ORC,
        which may not know of that yet, has stopped it. A resource that is starting is not there
        yet: its start may still fail.
        """
        functions = [
            InstanceInventory(
                pid,
                max(0, hosted.handle.generation),
                _STATES.get(hosted.phase, InstanceState.RUNNING),
                hosted.reason[:300],
            )
            for pid, hosted in self.functions.items()
            if not hosted.stopping or hosted.lingers
        ]
        resources = [
            InstanceInventory(pid, max(0, hosted.handle.generation), InstanceState.RUNNING)
            for pid, hosted in self.resources.items()
            if pid not in self._starting
        ]
        return (*functions, *resources)

    def crash(self, cause: str) -> None:
        """Lose everything at once; nobody is told."""
        self._closing = True
        for hosted in list(self.functions.values()):
            hosted.crash(cause)
        for resource in list(self.resources.values()):
            resource.crash(cause)
        self.handovers.crash(cause)
        self.functions.clear()
        self.resources.clear()
        self._note_emptied()

    def _instance_id(self, wanted: InstanceId | None) -> InstanceId:
        if wanted is None:
            return InstanceId(self._node_id, FunctionId(uuid4_from(self._dice)))
        if wanted.node_id != self._node_id:
            raise RejectedError("wrong node", f"{wanted} is not of node {self._node_id}")
        # With its own id, which all that it hosts share.
        return InstanceId(self._node_id, wanted.function_id)

    @cached_property
    def _dice(self) -> Random:
        # Made when it is needed: 2.5 KiB, and the ε-ORC draws the ids of what it starts.
        actor = self._context.actor
        return actor.entropy.stream(f"{actor.name}/instances")

    def _check_fresh(self, summary: str, pid: InstanceId) -> None:
        """Raise `RejectedError` if there cannot be a new instance called *pid*."""
        if self._closing:
            raise RejectedError(summary, "the node is stopping")
        if pid in self._stopped:
            raise RejectedError(summary, f"{pid} was stopped before")
        hosted = len(self.functions) + len(self._arriving) + len(self.resources)
        if hosted >= INSTANCES_MAX:
            raise RejectedError(summary, f"the node hosts {INSTANCES_MAX} instances already")

    def _changed(self) -> None:
        self.changes += 1
        self._on_change()

    def _done(self) -> StopReply:
        self.revision += 1
        return StopReply(self.revision)

    def _record_start(self, number: int, workflow: str, component: str) -> None:
        journal = self._context.actor.journal
        node = journal.intern("node", self._context.actor.name)
        journal.record(
            "start", number, journal.intern("component", f"{workflow}/{component}"), node
        )

    def _record_patch(self, number: int, request: PatchRequest) -> None:
        self._context.actor.journal.record(
            "patch", number, request.generation, len(request.output_mapping)
        )
