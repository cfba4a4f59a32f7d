"""What the tests of real resources share: a node's surroundings, and back-ends that can fail."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import redis as redis_library
from aiohttp import web
from redis.backoff import NoBackoff
from redis.retry import Retry

from edgeless_sim.cluster.ports import free_ports
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.event import (
    ERR,
    METADATA_ROOT,
    CallReturn,
    Event,
    EventType,
    PatchRequest,
    Target,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import ResourceHost, ResourceProvider, ResourceSettings
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.files import VirtualFiles

WORKFLOW = WorkflowId(UUID(int=9))
SENDER = InstanceId(NodeId(UUID(int=3)), FunctionId(UUID(int=4)))
PATIENCE_S = 20.0

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Function:
    """The sink of an instance: a function that replies what *reply* says, or nothing at all."""

    def __init__(self) -> None:
        self.reply: Callable[[str], CallReturn | None] = lambda payload: ERR
        self.casts: list[str] = []
        self.calls: list[str] = []
        self.waiting: list[Callable[[CallReturn], None]] = []

    def cast(self, channel: str, payload: str) -> None:
        assert channel == "new_request"
        self.casts.append(payload)

    async def call(self, channel: str, payload: str, *, timeout_s: float) -> CallReturn:
        raise AssertionError("providers do not wait")

    def call_nowait(
        self,
        channel: str,
        payload: str,
        answer: Callable[[CallReturn], None],
        *,
        timeout_s: float,
    ) -> None:
        assert channel == "new_request"
        self.calls.append(payload)
        loop = asyncio.get_running_loop()
        result = self.reply(payload)
        if result is not None:
            loop.call_soon(answer, result)
            return
        self.waiting.append(answer)
        loop.call_later(timeout_s, answer, ERR)


class Stage:
    """A node's surroundings, for one provider at a time or several."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.files = VirtualFiles()
        self.clock = LoopClock.running()
        self.warnings: list[str] = []
        self.function = Function()
        self._providers: list[ResourceProvider] = []

    def host(self, **settings: Any) -> ResourceHost:
        return ResourceHost(
            "edge/0",
            self.clock,
            self.clock.scheduler,
            self.files,
            warn=lambda pid, message: self.warnings.append(message),
            settings=ResourceSettings(**settings),
            spawn=self.supervisor.spawn,
        )

    async def open(self, class_type: str, **settings: Any) -> Any:
        """A provider of *class_type*, open, and closed with the stage."""
        provider = create_provider(class_type, f"{class_type}-1", self.host(**settings))
        self._providers.append(provider)
        await provider.open()
        return provider

    def pid(self, number: int = 1) -> InstanceId:
        return InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=number)))

    async def start(
        self, provider: Any, configuration: dict[str, str], number: int = 1, **more: Any
    ) -> InstanceId:
        pid = self.pid(number)
        specification = ResourceInstanceSpecification(
            provider.class_type, configuration, WORKFLOW, **more
        )
        await provider.start(pid, specification, self.function)
        return pid

    async def patch(self, provider: Any, number: int = 1) -> None:
        target = Target(SENDER, "tcp://127.0.0.1:1")
        mapping = dict.fromkeys(provider.outputs, target)
        await provider.patch(PatchRequest(self.pid(number), mapping, 1))

    def send(
        self, provider: Any, payload: str, kind: EventType = EventType.CALL, number: int = 1
    ) -> list[CallReturn]:
        """Send an event; the list gets what it is answered, which must be one thing."""
        answers: list[CallReturn] = []
        event = Event(
            kind, self.pid(number).key, SENDER.key, 0, payload, 0, METADATA_ROOT, len(payload)
        )
        provider.handle(event, answers.append)
        return answers

    async def ask(
        self, provider: Any, payload: str, kind: EventType = EventType.CALL, number: int = 1
    ) -> CallReturn:
        answers = self.send(provider, payload, kind, number)
        await self.until(lambda: bool(answers))
        [answer] = answers
        return answer

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)

    async def begin(self, provider: Any, number: int = 1, /, **configuration: Any) -> None:
        await self.start(provider, configuration, number)
        await self.patch(provider, number)

    async def raw(self, provider: Any, text: bytes) -> bytes:
        """Send *text* as it is to an http-ingress; everything that comes until it closes."""
        port = int(provider.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await reader.read()
        finally:
            await self.leave(writer)

    async def status_of(self, provider: Any, text: bytes) -> int:
        answer = await self.raw(provider, text)
        return int(answer.split(b" ", 2)[1]) if answer else 0

    async def leave(self, *writers: asyncio.StreamWriter) -> None:
        for writer in writers:
            writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)

    def close(self) -> None:
        for provider in self._providers:
            provider.close()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Supervisor.open() as supervisor:
        made = Stage(supervisor)
        yield made
        made.close()
        await made.until(lambda: supervisor.tasks_total == 0)
    # Connections that were cut say so in the next turns.
    for _ in range(3):
        await asyncio.sleep(0)


class Gate:
    """A TCP proxy before a back-end: open, shut, slow (it swallows), or wrong (it babbles)."""

    def __init__(self, port: int) -> None:
        self.mode = "open"
        self.port = 0
        self._behind = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self, mode: str = "open") -> None:
        self.mode = mode
        self.cut()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        await self.shut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self.mode == "open":
                await self._forward(reader, writer)
            while data := await reader.read(65536):
                if self.mode == "wrong" and data:
                    writer.write(b"\x00\xff what is this? \r\n\r\n" * 8)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers.add(ours)

        async def back() -> None:
            try:
                while data := await theirs.read(65536):
                    writer.write(data)
            except OSError:
                pass
            writer.close()

        returning = asyncio.get_running_loop().create_task(back())
        self._tasks.add(returning)
        try:
            while data := await reader.read(65536):
                ours.write(data)
        finally:
            ours.transport.abort()
            self._writers.discard(ours)
            await returning
            self._tasks.discard(returning)


class RedisServer:
    """Debian's redis-server on a port of its own, which can be killed and started again."""

    def __init__(self, program: str, folder: Path) -> None:
        [self.port] = free_ports(1)
        self._program = program
        self._folder = folder
        self._process: Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        """As `redis_allow` names it."""
        return f"127.0.0.1:{self.port}"

    def client(self) -> Any:
        return redis_library.Redis(port=self.port, retry=Retry(NoBackoff(), 0))

    def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always"]
        self._process = Popen(command, stdout=DEVNULL, stderr=DEVNULL)
        client = self.client()
        try:
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                try:
                    client.ping()
                    return
                except redis_library.RedisError:
                    assert self._process.poll() is None, "redis-server has ended"
                time.sleep(0.01)
        finally:
            client.close()
        raise AssertionError("redis-server does not answer")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    server = RedisServer(program, tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def make_gate() -> AsyncIterator[Callable[[int], Any]]:
    """Make a proxy before a port of this machine."""
    gates: list[Gate] = []

    async def make(port: int) -> Gate:
        gate = Gate(port)
        gates.append(gate)
        await gate.open()
        return gate

    yield make
    for gate in gates:
        await gate.close()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Serve], Awaitable[int]]]:
    """Run an HTTP server; its port."""
    runners = []

    async def begin(respond: Serve) -> int:
        runner = web.ServerRunner(web.Server(respond), shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    yield begin
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def babble() -> AsyncIterator[Callable[[bytes], Awaitable[int]]]:
    """Run a server that answers everything with some bytes, then closes; its port."""
    servers = []

    async def begin(answer: bytes) -> int:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield begin
    for server in servers:
        server.close()
    await asyncio.sleep(0)
