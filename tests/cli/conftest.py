"""A Redis of this machine, and servers of our wire, for programs that look at them."""

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any, Final, TypeAlias

import pytest
import redis as redis_library
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.cli.edgeless_redis import fill
from typer.testing import CliRunner, Result

from edgeless_sim.api.dispatch import Dispatcher
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.cli.proxy_cli import app
from edgeless_sim.cluster.endpoint import Endpoint
from edgeless_sim.cluster.ports import LOOPBACK, free_ports
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.supervisor import Supervisor

PATIENCE_S: Final = 20
Serve: TypeAlias = Callable[..., str]
Ask: TypeAlias = Callable[..., Result]


class Redis:
    """Debian's redis-server on a port of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        [self.port] = free_ports(1)
        self.url = f"redis://{LOOPBACK}:{self.port}"
        self.client: Any = redis_library.Redis(port=self.port, retry=Retry(NoBackoff(), 0))
        command = [program, "--port", str(self.port), "--bind", LOOPBACK, "--save", ""]
        self._process = Popen([*command, "--dir", str(folder)], stdout=DEVNULL, stderr=DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.client.ping()
                return
            except redis_library.RedisError:
                assert self._process.poll() is None, "redis-server has ended"
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.01)

    def end(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    server = Redis(program, tmp_path_factory.mktemp("redis"))
    yield server
    server.end()


@pytest.fixture
def redis_server(redis_process: Redis) -> Redis:
    """An empty Redis."""
    redis_process.client.flushall()
    return redis_process


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve("tcp", DomainMirror=...)`` serves that in a thread, and says where."""
    with ExitStack() as stack:
        yield lambda scheme, **services: stack.enter_context(_served(scheme, services))


@contextmanager
def _served(scheme: str, services: dict[str, object]) -> Iterator[str]:
    there = threading.Event()
    # What the thread leaves for us.
    found: dict[str, Any] = {}

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            clock = LoopClock.running()
            endpoint = Endpoint(clock.scheduler, supervisor.spawn)
            url = f"{scheme}://{LOOPBACK}:0"
            wires = Wires(Role.ORCHESTRATOR, epoch_ns=clock.epoch_ns, now_ns=clock.now_ns)
            found["url"] = await endpoint.listen(url, Dispatcher(services, wires.serving(url)))
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            found["end"] = lambda: loop.call_soon_threadsafe(ended.set)
            there.set()
            await ended.wait()
            endpoint.crash()
            await endpoint.ended()

    thread = threading.Thread(target=lambda: run(main, world="real"))
    thread.start()
    try:
        assert there.wait(PATIENCE_S), "the server does not listen"
        yield found["url"]
    finally:
        found["end"]()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def ask_redis(redis_server: Any) -> Ask:
    """``ask_redis("show", "functions")`` of a filled Redis."""
    fill(redis_server.client)
    return lambda *words: CliRunner().invoke(app, ["-r", redis_server.url, *words])
