"""What a resource provider is, and what it gets from the node that it runs on.

Not here: which providers there are (`catalog`) and which of them a node offers (its settings).
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final, NoReturn, Protocol, runtime_checkable

from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.kernel.clock import Clock
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.model.compat import STRICT, Compatibility
from edgeless_sim.model.event import CallReturn, Event, PatchRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.files import FileStore
from edgeless_sim.resources.simulated.backends import Backends

__all__ = [
    "COLLECTOR_REDIS_URL",
    "KAFKA_ALLOW",
    "PAYLOAD_BYTES_MAX",
    "REDIS_ALLOW",
    "EventSink",
    "ForwardingSink",
    "OllamaSettings",
    "ResourceHost",
    "ResourceProvider",
    "ResourceSettings",
    "ServerlessSettings",
]

#: Longest payload of an event that a resource makes: what functions may send, too.
PAYLOAD_BYTES_MAX: Final = 1 << 20
#: Private addresses that redis may connect to unless told otherwise: the usual Redis on the node.
REDIS_ALLOW: Final = ("127.0.0.1:6379", "[::1]:6379")
#: The same for kafka-egress: the usual broker on the node.
KAFKA_ALLOW: Final = ("127.0.0.1:9092", "[::1]:9092")
#: Where metrics-collector keeps its samples unless told otherwise.
COLLECTOR_REDIS_URL: Final = "redis://127.0.0.1:6379"


class EventSink(Protocol):
    """Where a resource instance sends the events it makes."""

    def cast(self, channel: str, payload: str) -> None:
        """Send *payload* on *channel*; nothing happens if that is not mapped."""
        ...

    async def call(self, channel: str, payload: str, *, timeout_s: float) -> CallReturn:
        """Send *payload* on *channel* and return the answer; Err after *timeout_s*."""
        ...

    def call_nowait(
        self, channel: str, payload: str, answer: Callable[[CallReturn], None], *, timeout_s: float
    ) -> None:
        """As `call`, but give the answer to *answer*, exactly once."""
        ...


@runtime_checkable
class ForwardingSink(EventSink, Protocol):
    """A sink of one that passes events on, rather than making its own."""

    def forward(self, channel: str, event: Event, answer: Callable[[CallReturn], None]) -> None:
        """Send the cast or call *event* again on *channel*, with its metadata.

        *answer* is called exactly once: with the return of a call, with NoReply for a cast.
        """
        ...

    def refuse(self, event: Event, cause: str) -> None:
        """Drop *event*, which came to this instance; its ``answer`` need not be called any more."""
        ...


@dataclass(frozen=True, slots=True)
class OllamaSettings:
    """The server of a node's ollama provider."""

    host: str = "localhost"
    """A name or an address, or either with ``http://`` or ``https://`` before it."""
    port: int = 11_434
    messages_number_limit: int = 30
    """Most messages of one chat that the model is told, the prompt included."""
    timeout_s: float = 120.0
    """For one answer: models are slow, above all when one is loaded first."""


_OLLAMA: Final = OllamaSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerlessSettings:
    """One provider of functions that run elsewhere: a resource class with a name of the user's."""

    provider_id: str
    class_type: str
    function_url: str
    version: str = "1.0"


@dataclass(frozen=True, slots=True)
class ResourceSettings:
    """What a node is told about its providers; each takes what concerns it."""

    #: Where http-ingress listens; with port 0 at a free one.
    http_ingress_url: str = ""
    #: Private addresses that http-egress and http-poster may send to; see `egress_policy`.
    http_egress_allow: tuple[str, ...] = ()
    #: Private addresses that redis may connect to.
    redis_allow: tuple[str, ...] = REDIS_ALLOW
    #: When calls end with Err on this node.
    call_timeout_s: float = 30.0
    ollama: OllamaSettings = _OLLAMA
    #: One for each provider of the class ``serverless``.
    serverless: tuple[ServerlessSettings, ...] = ()
    #: Private addresses that kafka-egress may connect to.
    kafka_allow: tuple[str, ...] = KAFKA_ALLOW
    #: Where file-pusher has its files.
    file_pusher_directory: Path | None = None
    #: Where sqlx has its databases; None = in a temporary folder.
    database_folder: Path | None = None
    #: Where metrics-collector keeps its samples.
    collector_redis_url: str = field(default=COLLECTOR_REDIS_URL, repr=False)


_SETTINGS: Final = ResourceSettings()


def _unheard(pid: InstanceId, message: str) -> None:
    """Nobody listens."""


def _no_tasks(coroutine: Coroutine[Any, Any, None], name: str) -> NoReturn:
    coroutine.close()
    raise AssertionError(f"no tasks on this host: {name}")


def _fixed_dice() -> Random:
    return Entropy(0).stream("resources")


@dataclass(frozen=True, slots=True)
class ResourceHost:
    """What a provider is made with: its node's name, time, files, profile, settings and tasks."""

    node_name: str
    clock: Clock
    scheduler: Scheduler
    files: FileStore
    compatibility: Compatibility = STRICT
    #: Takes what an instance could not do, for the node's log.
    warn: Callable[[InstanceId, str], None] = _unheard
    settings: ResourceSettings = _SETTINGS
    #: Begins a task that its node's supervisor owns; see `ProviderTasks`.
    spawn: Spawn = _no_tasks
    dice: Random = field(default_factory=_fixed_dice)
    #: The world in simulation; None = there is a real one.
    backends: Backends | None = None


class ResourceProvider(Protocol):
    """Makes resource instances of one ``class_type`` on one node."""

    class_type: ClassVar[str]
    version: ClassVar[str]
    #: For people: what it does, and the keys of an instance's configuration with their meanings.
    description: ClassVar[str]
    configurations: ClassVar[Mapping[str, str]]
    outputs: ClassVar[tuple[str, ...]]
    #: Whether it meets the world by sockets, which virtual time cannot wait for. In simulation its
    #: twin takes its place, if there is one (`catalog`).
    real_time_only: ClassVar[bool]

    def __init__(self, provider_id: str, host: ResourceHost) -> None: ...

    @property
    def specification(self) -> ResourceProviderSpecification:
        """What the node announces."""
        ...

    async def open(self) -> None:
        """Begin, before any instance is started. Once.

        Raise `ListenError` for a port that cannot be had, `SettingsError` for what else cannot.
        """
        ...

    def close(self) -> None:
        """Give back sockets and tasks at once, answering nobody: the node ends, or has crashed.

        Idempotent, and allowed without `open`; not used afterwards.
        """
        ...

    async def start(
        self, pid: InstanceId, specification: ResourceInstanceSpecification, sink: EventSink
    ) -> None:
        """Start an instance, or configure it anew if it runs already.

        Raise `RejectedError` if the configuration is not acceptable; nothing was started then.
        """
        ...

    def handle(self, event: Event, answer: Callable[[CallReturn], None]) -> None:
        """Take one event; never wait, never raise what the world did.

        *answer* is called exactly once per event, at once or later: with the reply to a call, with
        NoReply when a cast has been dealt with, with Err when either failed.
        """
        ...

    async def patch(self, request: PatchRequest) -> None:
        """Rewire an instance's outputs; classes without outputs ignore it."""
        ...

    async def stop(self, pid: InstanceId) -> None:
        """End an instance; nothing happens if there is none."""
        ...
