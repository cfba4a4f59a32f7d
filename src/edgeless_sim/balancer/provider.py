"""PortalProvider: what a balancer offers in one of its two domains (spec 6.13)."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from edgeless_sim.balancer.exchange import Exchange
from edgeless_sim.balancer.half import Half, HalfConfiguration
from edgeless_sim.model.event import CallReturn, Event, PatchRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.portal import PORTAL_CLASS, PORTAL_OUTPUT, PortalSide, portal_provider
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import EventSink, ForwardingSink, ResourceProvider

__all__ = ["PortalProvider"]


class PortalProvider(ResourceProvider):
    """See `ResourceProvider`. Its id is the same in both domains."""

    class_type: ClassVar[str] = PORTAL_CLASS
    version: ClassVar[str] = "1.0"
    description: ClassVar[str] = "One half of what carries the events of a channel between domains"
    configurations: ClassVar[Mapping[str, str]] = {
        "role": "sink: events go from the local to the portal domain; source: back",
        "domain": "local or portal: where this half is",
        "domain_name": "of a half in the portal domain: the local domain",
        "id": "the number that both halves have",
    }
    outputs: ClassVar[tuple[str, ...]] = (PORTAL_OUTPUT,)
    real_time_only: ClassVar[bool] = False

    def __init__(self, exchange: Exchange, side: PortalSide) -> None:
        self._exchange = exchange
        self._side = side
        self._specification = ResourceProviderSpecification(
            portal_provider(exchange.domain), self.class_type, self.outputs
        )
        self._pids: dict[InstanceId, None] = {}

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`: there is nothing to open."""

    def close(self) -> None:
        """See `ResourceProvider.close`."""
        for pid in self._pids:
            self._exchange.remove(pid.key)
        self._pids.clear()

    async def start(
        self, pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
    ) -> None:
        """See `ResourceProvider.start`."""
        assert isinstance(sink, ForwardingSink), "a node can forward"
        configuration = HalfConfiguration.parse(
            specification.configuration, self._side, self._exchange.domain
        )
        mapped = PORTAL_OUTPUT in (specification.output_mapping or {})
        self._exchange.add(Half(pid, configuration, sink, mapped))
        self._pids[pid] = None

    def handle(self, event: Event, answer: Callable[[CallReturn], None]) -> None:
        """See `ResourceProvider.handle`. It has been answered when the other end has."""
        self._exchange.take(event, answer)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`."""
        self._exchange.patch(
            request.function_id.key, mapped=PORTAL_OUTPUT in request.output_mapping
        )

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`."""
        self._pids.pop(pid, None)
        self._exchange.remove(pid.key)
