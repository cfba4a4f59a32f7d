"""Steps of a scenario -> calls on the cluster's handles.

Each step is performed by a task of its own, so that a slow one delays no other. Not here: when it
begins (`runner`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import anyio

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.cluster.faults import Fault
from edgeless_sim.cluster.handles import BalancerHandle, DomainHandle, NodeHandle
from edgeless_sim.cluster.network_base import Network
from edgeless_sim.errors import EdgelessError, ExpectationError, UnknownComponentError
from edgeless_sim.model.event import CallReturnKind
from edgeless_sim.model.names import quoted
from edgeless_sim.scenario import steps as do
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.observer import Observer
from edgeless_sim.scenario.web_steps import WebSteps
from edgeless_sim.scenario.workflow_names import WorkflowNames

__all__ = ["StepPerformer"]

_NS_PER_S: Final = 1_000_000_000


class StepPerformer:
    """Performs the steps of one scenario on one cluster."""

    def __init__(
        self,
        scenario: Scenario,
        cluster: Cluster,
        observer: Observer,
        web: WebSteps,
        names: WorkflowNames,
        begun_ns: int = 0,
    ) -> None:
        """*begun_ns* is the cluster's time from which those of the scenario count."""
        self._begun_ns = begun_ns
        self._scenario = scenario
        self._cluster = cluster
        self._observer = observer
        self._web = web
        self._names = names
        # Workflows whose start has not been answered.
        self._starting: dict[str, anyio.Event] = {}

    async def perform(self, step: do.Step, done: Callable[[], object]) -> None:
        """Perform *step*; call *done* when it has taken effect, and then see to what it undoes.

        Raises the `EdgelessError` of the cluster, or `ExpectationError` for a wrong reply.
        """
        await self._start_of(step)
        match step:
            case do.StartWorkflow() | do.StopWorkflow():
                await self._workflow(step)
            case do.CrashNode() | do.StopNode() | do.CrashOrchestrator() | do.CrashBalancer():
                await self._outage(step, done)
            case do.RestartNode() | do.RestartOrchestrator() | do.RestartBalancer():
                await self._recovery(step)
            case do.Cordon() | do.Uncordon() | do.Migrate():
                await self._intent(step)
            case do.Partition() | do.Degrade() | do.Heal():
                await self._network(step, done)
            case do.Send() | do.CallComponent():
                await self._event(step)
            case do.HttpRequest():
                await self._web.ask(step)
            case do.Backend():
                await self._web.change(step, done, self.until)
            case do.HttpReply():
                self._web.reply(step)
        done()

    async def until(self, when_ns: int) -> None:
        """Return at *when_ns* of the scenario's time, or at once if that has passed."""
        now_ns = self._cluster.clock.now_ns() - self._begun_ns
        if when_ns > now_ns:
            await self._cluster.clock.sleep((when_ns - now_ns) / _NS_PER_S)

    async def _workflow(self, step: do.StartWorkflow | do.StopWorkflow) -> None:
        if isinstance(step, do.StopWorkflow):
            await self._cluster.stop_workflow(step.workflow)
            self._names.unnamed(step.workflow)
            return
        request = self._scenario.files.workflows[step.file]
        started = self._starting[step.workflow] = anyio.Event()
        try:
            status = await self._cluster.start_workflow(request, name=step.workflow)
        finally:
            self._starting.pop(step.workflow, None)
            started.set()
        self._names.named(step.workflow, status.workflow_id)

    async def _start_of(self, step: do.Step) -> None:
        """Wait for the answer to the start of the workflow that *step* names, if it is under way:
        in real time that takes as long as the machine takes."""
        match step:
            case do.StopWorkflow():
                named = step.workflow
            case do.Migrate():
                named = step.component
            case do.Send() | do.CallComponent():
                named = step.to
            case _:
                return
        await self._started(named)

    async def _started(self, named: str) -> None:
        started = self._starting.get(named.partition("/")[0])
        if started is not None:
            await started.wait()

    async def _outage(
        self,
        step: do.CrashNode | do.StopNode | do.CrashOrchestrator | do.CrashBalancer,
        done: Callable[[], object],
    ) -> None:
        handle: NodeHandle | DomainHandle | BalancerHandle
        if isinstance(step, do.StopNode):
            handle = await self._node(step.node)
            await handle.stop()
        else:
            handle = await self._handle(step)
            await handle.crash()
        done()
        if step.restart_after is not None:
            await self.until(step.at + step.restart_after)
            await handle.restart()

    async def _recovery(
        self, step: do.RestartNode | do.RestartOrchestrator | do.RestartBalancer
    ) -> None:
        await (await self._handle(step)).restart()

    async def _intent(self, step: do.Cordon | do.Uncordon | do.Migrate) -> None:
        if isinstance(step, do.Migrate):
            await self._cluster.migrate(step.component, await self._located(step.to))
            return
        node = await self._node(step.node)
        if isinstance(step, do.Cordon):
            node.cordon()
        else:
            node.uncordon()

    async def _handle(
        self,
        step: do.CrashNode
        | do.RestartNode
        | do.CrashOrchestrator
        | do.RestartOrchestrator
        | do.CrashBalancer
        | do.RestartBalancer,
    ) -> NodeHandle | DomainHandle | BalancerHandle:
        match step:
            case do.CrashNode() | do.RestartNode():
                return await self._node(step.node)
            case do.CrashBalancer() | do.RestartBalancer():
                return self._cluster.balancer(f"bal/{step.domain}/{step.portal}")
            case _:
                return self._cluster.domain(step.domain)

    async def _network(
        self, step: do.Partition | do.Degrade | do.Heal, done: Callable[[], object]
    ) -> None:
        network = self._cluster.network
        if isinstance(step, do.Heal):
            network.heal_all()
            return
        faults: list[Fault] = []
        a, b = [[await self._located(name) for name in side] for side in step.between]
        if isinstance(step, do.Partition):
            faults.append(network.one_way(a, b) if step.one_way else network.partition(a, b))
        else:
            faults += _degradations(network, step, a, b)
        done()
        if step.heal_after is not None:
            await self.until(step.at + step.heal_after)
            for fault in faults:
                fault.heal()

    async def _node(self, name: str) -> NodeHandle:
        return self._cluster.node(await self._located(name))

    async def _located(self, name: str) -> str:
        """*name*, or the node that hosts the component if it is ``@WORKFLOW/COMPONENT``."""
        if not name.startswith("@"):
            return name
        workflow, _, component = name[1:].partition("/")
        await self._started(workflow)
        # Not asked of the ε-CON, whose answer would take time, or never come.
        await self._cluster.caught_up()
        node = self._observer.component(workflow, component).node
        if not node:
            raise UnknownComponentError("the component has no instance", name[1:])
        return node

    async def _event(self, step: do.Send | do.CallComponent) -> None:
        if isinstance(step, do.CallComponent):
            await self._call(step)
        elif step.count == 1:
            await self._cluster.cast(step.to, step.payload)
        else:
            await self._send_many(step)

    async def _send_many(self, step: do.Send) -> None:
        errors: list[EdgelessError] = []

        async def send() -> None:
            try:
                await self._cluster.cast(step.to, step.payload)
            except EdgelessError as error:
                errors.append(error)

        # Looking the component up takes a round trip; it must not slow down the rate.
        async with anyio.create_task_group() as group:
            for number in range(step.count):
                await self.until(step.at + number * step.every)
                if errors:
                    break
                group.start_soon(send)
        if errors:
            raise errors[0]

    async def _call(self, step: do.CallComponent) -> None:
        timeout_s = step.timeout / _NS_PER_S
        result = await self._cluster.call(step.to, step.payload, timeout_s=timeout_s)
        if result.kind is not CallReturnKind.REPLY:
            raise ExpectationError(f"the call to {step.to} ended with {result.kind.name}")
        if step.reply is not None and result.payload != step.reply:
            raise ExpectationError(
                f"{step.to} answered {quoted(result.payload)}, expected {quoted(step.reply)}"
            )


def _degradations(
    network: Network, step: do.Degrade, a: Sequence[str], b: Sequence[str]
) -> Iterator[Fault]:
    """The faults of one step."""
    if step.loss:
        yield network.loss(step.loss, a, b)
    if step.latency or step.jitter:
        yield network.delay(step.latency, step.jitter, a, b)
    if step.bandwidth is not None:
        yield network.bandwidth(step.bandwidth, a, b)
    if step.duplicate:
        yield network.duplicate(step.duplicate, a, b)
    if step.reorder:
        yield network.reorder(step.reorder_window, step.reorder, a, b)
