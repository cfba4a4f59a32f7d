"""A provider of metrics-collector and its simulated Redis, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import UUID

from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.event import CallReturn, Event, EventType
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import ResourceHost, ResourceSettings
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.resources.simulated.backends import Backends, BackendState
from edgeless_sim.resources.simulated.redis import RedisServer

__all__ = ["ADDRESS", "FUNCTION", "OK", "Stage", "pid", "played"]

ADDRESS: Final = "redis://store.lab:6379"
OK: Final = CallReturn.reply("")
#: The keys of the function that sends, unless told otherwise.
FUNCTION: Final = "function:00000000-0000-0000-0000-000000000003"


def pid(number: int) -> InstanceId:
    return InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=number)))


class Stage:
    """One provider and its simulated server."""

    def __init__(self, supervisor: Supervisor, url: str = "redis://store.lab") -> None:
        self.clock = LoopClock.running()
        self.backends = Backends(self.clock.scheduler)
        self.warnings: list[str] = []
        host = ResourceHost(
            "edge/0",
            self.clock,
            self.clock.scheduler,
            VirtualFiles(),
            warn=lambda _, text: self.warnings.append(text),
            settings=ResourceSettings(collector_redis_url=url),
            spawn=supervisor.spawn,
            backends=self.backends,
        )
        self.provider: Any = create_provider("metrics-collector", "metrics-collector-1", host)

    @property
    def counters(self) -> dict[str, int]:
        return dict(self.provider.counters)

    @property
    def state(self) -> BackendState:
        return self.backends.state(ADDRESS)

    async def start(self, number: int = 11, /, **configuration: str) -> None:
        specification = ResourceInstanceSpecification(
            "metrics-collector", configuration, WorkflowId(UUID(int=9))
        )
        await self.provider.start(pid(number), specification, None)

    def send(
        self,
        payload: str,
        kind: EventType = EventType.CALL,
        *,
        source: int = 3,
        target: int = 11,
    ) -> CallReturn:
        answers: list[CallReturn] = []
        event = Event(kind, pid(target).key, pid(source).key, 1, payload, 0, bytes(24), 1)
        self.provider.handle(event, answers.append)
        # At once: what is measured does not wait.
        [answer] = answers
        return answer

    async def measure(self, seconds: float, number: int = 1, *, element: str = "function") -> None:
        assert self.send(f"{element}:begin:{number}") == OK
        await self.clock.sleep(seconds)
        assert self.send(f"{element}:end:{number}") == OK
        await self.clock.sleep(0)

    def held(self, key: str, database: int = 0) -> str | None:
        return self.backends.of(RedisServer, ADDRESS).shown(database, key)

    def samples(self, name: str = FUNCTION) -> list[str]:
        return (self.held(f"{name}:samples") or "").splitlines()


def played(body: Callable[[Stage], Coroutine[Any, Any, None]], **settings: str) -> None:
    async def main() -> None:
        async with Supervisor.open() as supervisor:
            stage = Stage(supervisor, **settings)
            await body(stage)
            stage.provider.close()
            await asyncio.sleep(1)
            assert supervisor.tasks_total == 0

    run(main)
