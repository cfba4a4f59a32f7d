"""The metrics collector of an ε-ORC: a node inside its process (spec 4.8, 6.14).

It has no processors, so that no function is ever placed there (case D15), and one provider of the
class ``metrics-collector``. It registers at its ε-ORC over the wire as any node does. Not here:
what the class does (`resources.metrics_collector`).
"""

from typing import Final
from uuid import UUID, uuid5

from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.cluster.component_settings import NodeComponent, OrchestratorComponent
from edgeless_sim.cluster.surroundings import Surroundings
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.node.node import Node, NodeSettings
from edgeless_sim.node.providers import make_providers
from edgeless_sim.node.state_store import MemoryStateStore
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog

__all__ = ["CollectorHost", "collector_node"]

#: EDGELESS's name of the provider, as of the class.
_CLASS: Final = "metrics-collector"
#: Ids of these nodes derive from this one and the names of their domains.
_IDS: Final = UUID("5b0f3c1e-8d5a-4c0e-9a53-0c1d6f0e7a11")


def collector_node(settings: OrchestratorComponent) -> NodeComponent:
    """The node beside the ε-ORC of *settings*, which has a collector; the same after a restart."""
    return NodeComponent(
        node_id=NodeId(uuid5(_IDS, settings.domain_id)),
        agent_url=settings.agent_url,
        agent_announced_url=settings.agent_announced_url,
        invocation_url=settings.invocation_url,
        invocation_announced_url=settings.invocation_announced_url,
        orchestrator_url=settings.node_url or settings.announced_url or settings.url,
        capabilities=NodeCapabilities(runtimes=()),
        providers=((_CLASS, _CLASS),),
        collector_redis_url=settings.collector_redis_url,
        name=f"{settings.name}/collector",
        seed=settings.seed,
        tls=settings.tls,
    )


class CollectorHost:
    """That node while it lives; nothing at all if *settings* name no Redis of a collector.

    Raises `SettingsError` if its provider cannot be made.
    """

    def __init__(self, settings: OrchestratorComponent, around: Surroundings) -> None:
        self._node: Node | None = None
        if not settings.collector_redis_url:
            return
        told = self._settings = collector_node(settings)
        self._log = around.log
        beside = around.beside(told)
        self._endpoint = beside.endpoint
        context = beside.context
        self._runtimes = RuntimeCatalog(RuntimeSettings())
        self._node = Node(
            context,
            NodeSettings(
                node_id=told.node_id,
                url=told.invocation_announced_url or told.invocation_url,
                agent_url=told.agent_announced_url or told.agent_url,
                orchestrator_url=told.orchestrator_url,
                capabilities=told.capabilities,
                real_time=True,
            ),
            beside.connect,
            runtimes=self._runtimes,
            # The class has no files, and functions, which have states, do not come here.
            providers=make_providers(
                dict(told.providers), context, VirtualFiles(), told.resource_settings()
            ),
            states=MemoryStateStore(),
            nonce=context.entropy.stream(f"{told.name}/life").getrandbits(63),
            wires=beside.wires,
        )

    async def start(self) -> None:
        """Listen and register; raise `ListenError` for an address that cannot be had."""
        node = self._node
        if node is None:
            return
        told = self._settings
        await node.open()
        if told.agent_url == told.invocation_url:
            await self._endpoint.listen(told.agent_url, node.handler, node.plane.receive)
        else:
            await self._endpoint.listen(told.agent_url, node.handler)
            await self._endpoint.listen(told.invocation_url, Dispatcher({}), node.plane.receive)
        self._log.info("Creating resource '%s' at %s", _CLASS, told.agent_url)
        node.start()

    async def stop(self) -> None:
        """Leave in order, before the ε-ORC does."""
        node, self._node = self._node, None
        if node is None:
            return
        await node.stop()
        node.crash("the node was stopped")
        self._endpoint.crash()
        await self._endpoint.ended()
        self._runtimes.close()
