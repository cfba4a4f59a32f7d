"""What http-poster, serverless and ollama have in common: a cast becomes one POST.

The requests of one instance are made one after the other, in the order of its events; instances do
not wait for each other. What carries a request is a `Web`. Not here: sockets (`socket_web`) and the
simulated web (`simulated.web`), and what is sent and made of the answer (the classes).
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Generic, NamedTuple, Protocol, TypeVar

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink, ResourceHost
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.egress_rules import INSTANCES_MAX, WAITING_MAX, Place
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["Post", "Posted", "PostingInstance", "PostingProvider", "Web", "text_of"]

T = TypeVar("T")

#: What 2xx is.
_GOOD: Final = range(200, 300)
_Answer = Callable[[CallReturn], None]


class Post(NamedTuple):
    """A request to be made."""

    place: Place
    body: bytes
    headers: Mapping[str, str]


class Posted(NamedTuple):
    """What was answered."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether the server did what it was asked for."""
        return self.status in _GOOD


class Web(Protocol):
    """Carries requests."""

    def open(self) -> None:
        """Begin; once, before the first request."""
        ...

    def post(
        self, post: Post, then: Callable[[Posted | str], None], *, timeout_s: float
    ) -> Callable[[], None]:
        """Make a request. *then* gets the answer, or why there is none, later and exactly once;
        never if what is returned has been called.
        """
        ...


@dataclass(slots=True)
class PostingInstance(Generic[T]):
    """One instance, and what it has in hand."""

    pid: InstanceId
    sink: EventSink
    #: What its class has read from its configuration.
    told: T
    #: The outputs that are mapped.
    outputs: frozenset[str] = frozenset()
    waiting: deque[tuple[Event, _Answer]] = field(default_factory=deque)
    #: Of the request that is under way: who wants to know, and how it is cut off.
    active: tuple[_Answer, Callable[[], None]] | None = None


class PostingProvider(ABC, Generic[T]):
    """A `ResourceProvider` whose instances make a POST of each cast."""

    class_type: ClassVar[str]
    version: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]] = ()
    real_time_only: ClassVar[bool]
    description: ClassVar[str]
    configurations: ClassVar[Mapping[str, str]]
    #: Whether redirects are followed; if not, one is an answer like others.
    redirected: ClassVar[bool] = False

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._tasks = ProviderTasks(host.spawn, f"{host.node_name}/{provider_id}")
        self._instances: dict[InstanceKey, PostingInstance[T]] = {}
        self._web = self._make_web(host, self._tasks, self._policy())

    # -- what a class brings --------------------------------------------------------------------

    @abstractmethod
    def _make_web(
        self, host: ResourceHost, tasks: ProviderTasks, policy: EgressPolicy | None
    ) -> Web:
        """What carries the requests."""

    def _policy(self) -> EgressPolicy | None:
        """Where requests may go; None = anywhere, because the node's owner says where."""
        return None

    @property
    @abstractmethod
    def _timeout_s(self) -> float:
        """For everything that belongs to one request."""

    @abstractmethod
    def _read(self, specification: ResourceInstanceSpecification, before: T | None) -> T:
        """What an instance is told, *before* being what it was told last; raise `RejectedError`."""

    @abstractmethod
    def _post(self, instance: PostingInstance[T], payload: str) -> Post:
        """The request that *payload* becomes; raise `ResourceError` if none."""

    @abstractmethod
    def _finish(self, instance: PostingInstance[T], told: T, payload: str, posted: Posted) -> None:
        """Make something of the answer to *payload*, sent when the instance had been told *told*;
        raise `ResourceError` if it is a failure."""

    def _fail(self, instance: PostingInstance[T], message: str) -> None:
        """Tell that a cast came to nothing."""
        self._host.warn(instance.pid, clipped(f"{self.class_type}: {message}"))

    # -- ResourceProvider -----------------------------------------------------------------------

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`."""
        self._web.open()

    def close(self) -> None:
        """See `ResourceProvider.close`."""
        for instance in self._instances.values():
            instance.waiting.clear()
            active, instance.active = instance.active, None
            if active is not None:
                active[1]()
        self._instances.clear()
        self._tasks.close()

    async def start(
        self, pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
    ) -> None:
        """See `ResourceProvider.start`. Requests under way and waiting stay."""
        instance = self._instances.get(pid.key)
        if instance is None and len(self._instances) >= INSTANCES_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {INSTANCES_MAX} instances, the most it can"
            )
        told = self._read(specification, None if instance is None else instance.told)
        if instance is None:
            instance = self._instances[pid.key] = PostingInstance(pid, sink, told)
        else:
            instance.sink, instance.told = sink, told
        if specification.output_mapping is not None:
            instance.outputs = frozenset(specification.output_mapping)

    def handle(self, event: Event, answer: _Answer) -> None:
        """See `ResourceProvider.handle`. A call fails: no class has a reply."""
        instance = self._instances.get(InstanceKey(event.target))
        if instance is None or event.kind != EventType.CAST:
            answer(ERR)
        elif len(instance.waiting) >= WAITING_MAX:
            self._fail(instance, f"{WAITING_MAX} events wait, the most that can; this one is lost")
            answer(ERR)
        else:
            instance.waiting.append((event, answer))
            self._go_on(instance)

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`."""
        instance = self._instances.get(request.function_id.key)
        if instance is not None:
            instance.outputs = frozenset(request.output_mapping)

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. The request under way is cut off and fails."""
        instance = self._instances.pop(pid.key, None)
        if instance is None:
            return
        waiting, instance.waiting = instance.waiting, deque()
        active, instance.active = instance.active, None
        if active is not None:
            answer, cut = active
            cut()
            answer(ERR)
        for _, answer in waiting:
            answer(ERR)

    # -- requests -------------------------------------------------------------------------------

    def _go_on(self, instance: PostingInstance[T]) -> None:
        """Make the next request, unless one is under way."""
        while instance.active is None and instance.waiting:
            event, answer = instance.waiting.popleft()
            try:
                post = self._post(instance, event.payload)
            except ResourceError as cause:
                self._fail(instance, str(cause))
                answer(ERR)
                continue
            instance.active = answer, self._begin(instance, event.payload, post)

    def _begin(self, instance: PostingInstance[T], payload: str, post: Post) -> Callable[[], None]:
        told = instance.told

        def end(found: Posted | str) -> None:
            assert instance.active is not None, "it was cut off"
            answer, _ = instance.active
            instance.active = None
            answer(self._result(instance, told, payload, found))
            self._go_on(instance)

        return self._web.post(post, end, timeout_s=self._timeout_s)

    def _result(
        self, instance: PostingInstance[T], told: T, payload: str, found: Posted | str
    ) -> CallReturn:
        try:
            if isinstance(found, str):
                raise ResourceError(found)
            if len(found.body) > PAYLOAD_BYTES_MAX:
                raise ResourceError(f"the response has more than {PAYLOAD_BYTES_MAX} bytes")
            self._finish(instance, told, payload, found)
        except ResourceError as cause:
            self._fail(instance, str(cause))
            return ERR
        return NO_REPLY


def text_of(body: bytes) -> str:
    """*body* as the payload of an event; raise `ResourceError` if it is no text."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise ResourceError("the answer is no UTF-8 text") from None
