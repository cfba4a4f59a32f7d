"""metrics-collector, as the contract sees it, beside a real Redis; and its twin."""

import asyncio
from typing import Any

from tests.resources.contract.subject import Subject, let_fail

from edgeless_sim.model.event import NO_REPLY, CallReturn, EventType
from edgeless_sim.resources.simulated.backends import Backends
from edgeless_sim.resources.simulated.redis import RedisServer

__all__ = ["MetricsCollectorSubject", "SimulatedMetricsCollectorSubject"]

#: How long a sample may take to be there.
_WRITTEN_S = 0.6
#: Of the function that sends, as the stage has it.
KEY = "function:00000000-0000-0000-0000-000000000004:samples"


class MetricsCollectorSubject(Subject):
    class_type = "metrics-collector"
    announced = ("1.0", ())
    # All instances of a provider have one Redis.
    has_neighbour = False

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.sent = 0
        self.server = redis_server
        self.gate = await make_gate(redis_server.port)
        self.settings["collector_redis_url"] = f"redis://127.0.0.1:{self.gate.port}"
        self._configure()

    def _configure(self) -> None:
        self.good = {"alpha": "0.5", "wf_name": "w"}
        self.bad = [{"alpha": text} for text in ("x", "0", "-1", "1.01", "nan", "inf")]
        self.bad += [{"wf_name": "a\nb"}, {"wf_name": "w" * 256}]

    def samples_total(self) -> int:
        with self.server.client() as client:
            return int(client.llen(KEY))

    async def use(self, provider: Any, number: int = 1) -> bool:
        self.sent += 1
        before = self.samples_total()
        for verb in ("begin", "end"):
            kind = EventType.CALL if self.sent % 2 else EventType.CAST
            good = CallReturn.reply("") if kind == EventType.CALL else NO_REPLY
            text = f"function:{verb}:{self.sent}"
            assert await self.stage.ask(provider, text, kind, number) == good
        for _ in range(50):
            if self.samples_total() > before:
                return True
            await asyncio.sleep(_WRITTEN_S / 50)
        return False

    async def fail(self, fault: str) -> None:
        mode = "open" if fault == "none" else fault
        await (self.gate.shut() if fault == "down" else self.gate.open(mode))


class SimulatedMetricsCollectorSubject(MetricsCollectorSubject):
    address = "redis://127.0.0.1:6379"

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.sent = 0
        self.stage.backends = self.backends = Backends(self.stage.clock.scheduler)
        self._configure()

    def samples_total(self) -> int:
        server = self.backends.of(RedisServer, self.address)
        return len(server.lists.get(0, {}).get(KEY, ()))

    async def fail(self, fault: str) -> None:
        let_fail(self.backends, self.address, fault)
