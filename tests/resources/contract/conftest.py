"""The classes, as the contract sees them, but for those in ``tests/lib/contract_*.py``."""

from abc import abstractmethod
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from tests.resources.contract.collector_subject import (
    MetricsCollectorSubject,
    SimulatedMetricsCollectorSubject,
)
from tests.resources.contract.file_pusher_subject import FilePusherSubject
from tests.resources.contract.kafka_subject import SimulatedKafkaEgressSubject
from tests.resources.contract.sqlx_subject import SimulatedSqlxSubject, SqlxSubject
from tests.resources.contract.subject import CASES_S, Subject, let_fail

from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, EventType
from edgeless_sim.resources.base import OllamaSettings, ServerlessSettings
from edgeless_sim.resources.files import FileQuotas, VirtualFiles
from edgeless_sim.resources.simulated.backends import Backends
from edgeless_sim.resources.simulated.http import HttpAnswer, HttpRecord, HttpServer


class FileLogSubject(Subject):
    class_type = "file-log"
    announced = ("1.1", ())
    faults = ("down",)
    recovers = False

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self.good = {"filename": "a.log"}
        self.bad = [{}, {"filename": "../x"}, {"filename": ""}]
        stage.files = VirtualFiles(FileQuotas(file_bytes_max=1000))

    def neighbour(self) -> dict[str, str]:
        return {"filename": "b.log"}

    async def use(self, provider: Any, number: int = 1) -> bool:
        return bool(await self.stage.ask(provider, "x", number=number) == CallReturn.reply(""))

    async def fail(self, fault: str) -> None:
        self.stage.files.append("a.log", "x" * (1000 - len(self.stage.files.read("a.log"))))


class RedisSubject(Subject):
    class_type = "redis"
    announced = ("1.2", ())

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.gate = await make_gate(redis_server.port)
        self.good = {"url": f"redis://127.0.0.1:{self.gate.port}/0", "key": "k"}
        self.bad = [{}, {"url": "http://127.0.0.1:1"}, {"url": "redis://127.0.0.1:1"}]
        self.server = redis_server
        self.settings["redis_allow"] = ("127.0.0.1",)

    def neighbour(self) -> dict[str, str]:
        return {"url": self.server.url, "key": "other"}

    async def use(self, provider: Any, number: int = 1) -> bool:
        if await self.stage.ask(provider, "v", EventType.CAST, number) != NO_REPLY:
            return False
        key = "k" if number == 1 else "other"
        return bool(await self.stage.ask(provider, key, number=number) == CallReturn.reply("v"))

    async def fail(self, fault: str) -> None:
        await (self.gate.shut() if fault == "down" else self.gate.open(_mode(fault)))


class HttpEgressSubject(Subject):
    class_type = "http-egress"
    announced = ("1.1", ())

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        async def answer(request: web.BaseRequest) -> web.Response:
            return web.Response(text="there")

        server = web.Server(answer)
        self.runner = web.ServerRunner(server)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]
        self.gate = await make_gate(self.port)
        self.good, self.bad = {}, []
        self.settings["http_egress_allow"] = ("127.0.0.1",)

    async def use(self, provider: Any, number: int = 1) -> bool:
        port = self.gate.port if number == 1 else self.port
        request = {
            "method": "Get",
            "protocol": "HTTP",
            "host": f"127.0.0.1:{port}",
            "path": "/",
            "headers": {},
        }
        payload = msgspec.json.encode(request).decode()
        answer = await self.stage.ask(provider, payload, number=number)
        return bool(answer != ERR and msgspec.json.decode(answer.payload)["body"] == [*b"there"])

    async def fail(self, fault: str) -> None:
        await (self.gate.shut() if fault == "down" else self.gate.open(_mode(fault)))

    async def close(self) -> None:
        await self.runner.cleanup()


class HttpIngressSubject(Subject):
    """Its back-end is the function."""

    class_type = "http-ingress"
    announced = ("2.1", ("new_request",))

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.settings["http_ingress_url"] = "http://127.0.0.1:0"
        self.good = {"host": "one.lab"}
        self.bad = [{"method": "get"}, {"host": "a b"}, {"host": "*"}]
        self.session = aiohttp.ClientSession()
        self.fault = "none"
        response = msgspec.json.encode({"status": 200, "headers": {}, "body": [111, 107]}).decode()
        replies = {
            "none": CallReturn.reply(response),
            "down": ERR,
            "slow": None,
            "wrong": CallReturn.reply('{"status": 99}'),
        }

        def reply(payload: str) -> CallReturn | None:
            ours = msgspec.json.decode(payload)["host"] == "one.lab"
            return replies[self.fault] if ours else replies["none"]

        self.stage.function.reply = reply

    def neighbour(self) -> dict[str, str]:
        return {"host": "two.lab"}

    async def use(self, provider: Any, number: int = 1) -> bool:
        headers = {"Host": "one.lab" if number == 1 else "two.lab"}
        async with self.session.get(provider.url, headers=headers) as response:
            return response.status == 200 and await response.text() == "ok"

    async def fail(self, fault: str) -> None:
        self.fault = fault

    async def close(self) -> None:
        await self.session.close()


class PostingSubject(Subject):
    """A class whose casts are POSTs; instance 2 has a server of its own where it can."""

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.bodies: list[str] = []
        self.casts = 0
        self.runner = web.ServerRunner(web.Server(self.respond), shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]
        self.gate = await make_gate(self.port)
        self.configure()

    @abstractmethod
    def configure(self) -> None:
        """Say what is good and bad; the port of the gate is known."""

    async def respond(self, request: web.BaseRequest) -> web.Response:
        body = await request.text()
        self.bodies.append(body)
        return web.Response(text=self.answer(body))

    def answer(self, body: str) -> str:
        return body

    async def use(self, provider: Any, number: int = 1) -> bool:
        self.casts += 1
        text = f"{number}/{self.casts}"
        answer = await self.stage.ask(provider, text, EventType.CAST, number)
        assert answer in (NO_REPLY, ERR)
        assert (answer == NO_REPLY) == self.arrived(text)
        return bool(answer == NO_REPLY)

    @abstractmethod
    def arrived(self, text: str) -> bool:
        """Whether *text* had its effect."""

    async def fail(self, fault: str) -> None:
        await (self.gate.shut() if fault == "down" else self.gate.open(_mode(fault)))

    async def close(self) -> None:
        await self.runner.cleanup()


class HttpPosterSubject(PostingSubject):
    class_type = "http-poster"
    announced = ("1.0", ())

    def configure(self) -> None:
        self.good = {"url": f"http://127.0.0.1:{self.gate.port}/a"}
        bad = ["", "ftp://x/", "http://", "http://u:p@x/", "http://x/a b", "http://10.0.0.1/"]
        self.bad = [{}, *({"url": url} for url in bad)]
        self.settings["http_egress_allow"] = ("127.0.0.1",)

    def neighbour(self) -> dict[str, str]:
        return {"url": f"http://127.0.0.1:{self.port}/b"}

    def arrived(self, text: str) -> bool:
        return text in self.bodies


class ServerlessSubject(PostingSubject):
    class_type = "serverless"
    announced_class = "thumbnail"
    announced = ("1.7", ("err", "out"))
    has_neighbour = False

    def configure(self) -> None:
        self.good, self.bad = {}, []
        self.settings["serverless"] = (
            ServerlessSettings(
                provider_id="serverless-1",
                class_type="thumbnail",
                version="1.7",
                function_url=f"http://127.0.0.1:{self.gate.port}/f",
            ),
        )

    def arrived(self, text: str) -> bool:
        return ("out", text) in self.stage.function.sent


class OllamaSubject(PostingSubject):
    class_type = "ollama"
    announced = ("1.1", ("out",))
    has_neighbour = False

    def configure(self) -> None:
        self.good = {"model": "m"}
        self.bad = [{}, {"model": ""}, {"model": "m" * 257}]
        self.settings["ollama"] = OllamaSettings("127.0.0.1", self.gate.port, timeout_s=CASES_S)

    def answer(self, body: str) -> str:
        said = msgspec.json.decode(body)["messages"][-1]["content"]
        reply = {"model": "m", "message": {"role": "assistant", "content": said}, "done": True}
        return msgspec.json.encode(reply).decode()

    def arrived(self, text: str) -> bool:
        return ("out", text) in self.stage.function.sent


class SimulatedWeb(Subject):
    """The same class with a simulated web: its twin."""

    port = 8002
    gate = SimpleNamespace(port=8001)

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.bodies: list[str] = []
        self.casts = 0
        self.stage.backends = self.backends = Backends(self.stage.clock.scheduler)
        for port in (self.port, self.gate.port):
            self.backends.of(HttpServer, _address(port)).otherwise = self.take
        self.configure()

    def configure(self) -> None:
        self.good, self.bad = {}, []
        self.settings["http_egress_allow"] = ("127.0.0.1",)

    def answer(self, body: str) -> str:
        return "there"

    def take(self, record: HttpRecord) -> HttpAnswer:
        body = record.body.decode()
        self.bodies.append(body)
        return HttpAnswer(body=self.answer(body).encode())

    async def fail(self, fault: str) -> None:
        let_fail(self.backends, _address(self.gate.port), fault)

    async def close(self) -> None:
        """Nothing was begun."""


class SimulatedHttpEgressSubject(SimulatedWeb, HttpEgressSubject):
    pass


class SimulatedHttpPosterSubject(SimulatedWeb, HttpPosterSubject):
    configure = HttpPosterSubject.configure


class SimulatedServerlessSubject(SimulatedWeb, ServerlessSubject):
    configure = ServerlessSubject.configure
    answer = ServerlessSubject.answer


class SimulatedOllamaSubject(SimulatedWeb, OllamaSubject):
    configure = OllamaSubject.configure

    def arrived(self, text: str) -> bool:
        return ("out", f"m: {text}") in self.stage.function.sent


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _mode(fault: str) -> str:
    return "open" if fault == "none" else fault


SUBJECTS: tuple[type[Subject], ...] = (
    FileLogSubject,
    FilePusherSubject,
    HttpEgressSubject,
    HttpIngressSubject,
    HttpPosterSubject,
    MetricsCollectorSubject,
    OllamaSubject,
    RedisSubject,
    ServerlessSubject,
    SimulatedHttpEgressSubject,
    SimulatedHttpPosterSubject,
    SimulatedKafkaEgressSubject,
    SimulatedMetricsCollectorSubject,
    SimulatedOllamaSubject,
    SimulatedServerlessSubject,
    SimulatedSqlxSubject,
    SqlxSubject,
)


def _name(subject: type[Subject]) -> str:
    return subject.class_type + ("-twin" if subject.__name__.startswith("Simulated") else "")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test with every class; one with a ``fault``, with each that the class can have."""
    if "fault" in metafunc.fixturenames:
        faults = [(subject, fault) for subject in SUBJECTS for fault in subject.faults]
        names = [f"{_name(subject)}-{fault}" for subject, fault in faults]
        metafunc.parametrize(("subject", "fault"), faults, indirect=["subject"], ids=names)
    elif "subject" in metafunc.fixturenames:
        names = [_name(subject) for subject in SUBJECTS]
        metafunc.parametrize("subject", SUBJECTS, indirect=True, ids=names)


@pytest.fixture
async def subject(
    request: pytest.FixtureRequest, stage: Any, make_gate: Any
) -> AsyncIterator[Subject]:
    made: Subject = request.param(stage)
    needs_redis = type(made) in (RedisSubject, MetricsCollectorSubject)
    await made.prepare(request.getfixturevalue("redis_server") if needs_redis else None, make_gate)
    yield made
    stage.close()
    await made.close()
