"""redis: a cast sets a key, a call gets one (spec 6.7).

Each instance has a connection, a bounded queue and a worker. While its server is away, events fail
at once but for one attempt per pause; the pauses grow to two seconds. Not here: where it may
connect (`redis_connection`), and keys of functions.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import anyio
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType, PatchRequest
from edgeless_sim.model.ids import InstanceId, InstanceKey
from edgeless_sim.model.names import clipped
from edgeless_sim.model.resource import ResourceInstanceSpecification, ResourceProviderSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, EventSink, ResourceHost
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.files import REJECTED_SUMMARY
from edgeless_sim.resources.redis_connection import close_client, drop_connections, make_client
from edgeless_sim.resources.redis_rules import (
    CONFIGURATIONS,
    DESCRIPTION,
    INSTANCES_MAX,
    PAUSE_MAX_NS,
    PAUSE_MIN_NS,
    TIMEOUT_S,
    WAITING_MAX,
    read_place,
)
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["PAUSE_MAX_NS", "PAUSE_MIN_NS", "TIMEOUT_S", "WAITING_MAX", "RedisProvider"]

_Answer = Callable[[CallReturn], None]


@dataclass(slots=True, eq=False)
class _Instance:
    """One instance: what it was told, and what waits for its worker."""

    pid: InstanceId
    client: Redis
    key: str | None
    prefix: str
    waiting: deque[tuple[Event, _Answer]] = field(default_factory=deque)
    #: Set when something waits.
    wake: anyio.Event = field(default_factory=anyio.Event)
    worker: anyio.CancelScope | None = None
    #: Before this time nothing is attempted; the next pause after a failure.
    closed_until_ns: int = 0
    pause_ns: int = PAUSE_MIN_NS


class RedisProvider:
    """Makes redis instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node's list of allowed addresses cannot be understood.
    """

    class_type: ClassVar[str] = "redis"
    version: ClassVar[str] = "1.2"
    description: ClassVar[str] = DESCRIPTION
    configurations: ClassVar[Mapping[str, str]] = CONFIGURATIONS
    outputs: ClassVar[tuple[str, ...]] = ()
    real_time_only: ClassVar[bool] = True

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        self._specification = ResourceProviderSpecification(
            provider_id, self.class_type, self.outputs
        )
        self._host = host
        self._policy = EgressPolicy(host.settings.redis_allow, key="redis_allow")
        self._timeout_s = min(TIMEOUT_S, host.settings.call_timeout_s)
        self._tasks = ProviderTasks(host.spawn, f"{host.node_name}/{provider_id}")
        self._instances: dict[InstanceKey, _Instance] = {}

    @property
    def specification(self) -> ResourceProviderSpecification:
        """See `ResourceProvider.specification`."""
        return self._specification

    async def open(self) -> None:
        """See `ResourceProvider.open`. Connections are those of instances."""

    def close(self) -> None:
        """See `ResourceProvider.close`. Workers close their connections as they end."""
        self._tasks.close()

    async def start(
        self,
        pid: InstanceId,
        specification: ResourceInstanceSpecification,
        sink: EventSink,  # noqa: ARG002 - it makes no events
    ) -> None:
        """See `ResourceProvider.start`. The server has answered by then."""
        configuration = specification.configuration
        url = configuration.get("url")
        if url is None:
            raise RejectedError(REJECTED_SUMMARY, "Missing Redis URL")
        if pid.key not in self._instances and len(self._instances) >= INSTANCES_MAX:
            raise RejectedError(
                REJECTED_SUMMARY, f"the provider has {INSTANCES_MAX} instances, the most it can"
            )
        client = make_client(read_place(url), self._policy, self._timeout_s)
        try:
            with self._host.clock.fail_after(2 * self._timeout_s):
                await client.ping()
        except Exception as cause:
            # The boundary: a stranger may answer anything.
            await close_client(client)
            raise RejectedError(REJECTED_SUMMARY, _described(cause)) from cause
        except BaseException:
            with anyio.CancelScope(shield=True):
                await close_client(client)
            raise
        by_workflow = "add-workflow-id" in configuration
        instance = _Instance(
            pid,
            client,
            configuration.get("key"),
            f"{specification.workflow_id}:" if by_workflow else "",
        )
        await self.stop(pid)
        self._instances[pid.key] = instance
        instance.worker = self._tasks.begin(lambda: self._work(instance))

    def handle(self, event: Event, answer: _Answer) -> None:
        """See `ResourceProvider.handle`."""
        instance = self._instances.get(InstanceKey(event.target))
        if instance is None or len(instance.waiting) >= WAITING_MAX:
            answer(ERR)
        elif event.kind != EventType.CALL and instance.key is None:
            self._host.warn(instance.pid, "redis: a cast was dropped, since no 'key' is configured")
            answer(ERR)
        elif self._host.scheduler.now_ns() < instance.closed_until_ns:
            answer(ERR)
        else:
            instance.waiting.append((event, answer))
            instance.wake.set()

    async def patch(self, request: PatchRequest) -> None:
        """See `ResourceProvider.patch`; there are no outputs."""

    async def stop(self, pid: InstanceId) -> None:
        """See `ResourceProvider.stop`. What waits fails."""
        instance = self._instances.pop(pid.key, None)
        if instance is not None:
            _refuse(instance)
            assert instance.worker is not None, "it was begun with the instance"
            instance.worker.cancel()

    # -- the worker -----------------------------------------------------------------------------

    async def _work(self, instance: _Instance) -> None:
        """Deal with what waits, one after the other, until it is cancelled."""
        try:
            while True:
                await instance.wake.wait()
                instance.wake = anyio.Event()
                while instance.waiting:
                    event, answer = instance.waiting.popleft()
                    result = ERR
                    try:
                        result = await self._attempt(instance, event)
                    finally:
                        answer(result)
        finally:
            with anyio.CancelScope(shield=True):
                await close_client(instance.client)

    async def _attempt(self, instance: _Instance, event: Event) -> CallReturn:
        try:
            with self._host.clock.fail_after(2 * self._timeout_s):
                result = await self._perform(instance, event)
        except (RedisConnectionError, RedisTimeoutError, OSError) as cause:
            # OSError: TimeoutError is one. The others that wait would fail as slowly.
            self._failed(instance, cause)
            await drop_connections(instance.client)
            return ERR
        except ResourceError as cause:
            self._warn(instance, str(cause))
        except (RedisError, ValueError) as cause:
            self._warn(instance, _described(cause))
        else:
            instance.pause_ns = PAUSE_MIN_NS
            return result
        return ERR

    async def _perform(self, instance: _Instance, event: Event) -> CallReturn:
        client, prefix = instance.client, instance.prefix
        if event.kind != EventType.CALL:
            await client.set(f"{prefix}{instance.key}", event.payload)
            return NO_REPLY
        key = f"{prefix}{event.payload}"
        # GET has no limit, and somebody else may have stored half a gigabyte there.
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.exists(key)
            pipeline.getrange(key, 0, PAYLOAD_BYTES_MAX)
            there, value = await pipeline.execute()
        if not there:
            return ERR
        if len(value) > PAYLOAD_BYTES_MAX:
            raise ResourceError(f"the value has more than {PAYLOAD_BYTES_MAX} bytes")
        try:
            return CallReturn.reply(value.decode())
        except UnicodeDecodeError:
            raise ResourceError("the value is not UTF-8") from None

    def _failed(self, instance: _Instance, cause: BaseException) -> None:
        now_ns = self._host.scheduler.now_ns()
        instance.closed_until_ns = now_ns + instance.pause_ns
        instance.pause_ns = min(2 * instance.pause_ns, PAUSE_MAX_NS)
        self._warn(instance, _described(cause))
        _refuse(instance)

    def _warn(self, instance: _Instance, message: str) -> None:
        self._host.warn(instance.pid, clipped(f"redis: {message}"))


def _refuse(instance: _Instance) -> None:
    while instance.waiting:
        instance.waiting.popleft()[1](ERR)


def _described(cause: BaseException) -> str:
    return clipped(str(cause) or "the server did not answer in time")
