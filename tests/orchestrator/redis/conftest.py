"""A Redis that can be killed, started again, slowed down and looked into, and a mirrored domain."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from edgeless_sim.cluster.ports import LOOPBACK, free_ports
from edgeless_sim.orchestrator.redis_proxy import RedisProxy
from edgeless_sim.orchestrator.settings import RedisMirrorSettings

PATIENCE_S: Final = 15.0


class Server:
    """One redis-server at one port, and a look into it."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None
        self.words: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}"

    @property
    def client(self) -> redis.Redis:
        assert self._client is not None
        return self._client

    def start(self, *words: str) -> None:
        self.words = words
        command = ["redis-server", "--port", str(self.port), "--bind", LOOPBACK, "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--appendonly", "no", *words], cwd=self._folder, stdout=subprocess.DEVNULL
        )
        password = words[words.index("--requirepass") + 1] if "--requirepass" in words else None
        self._client = redis.Redis(LOOPBACK, self.port, password=password, decode_responses=True)
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            with suppress(redis.ConnectionError):
                self._client.ping()
                return
            assert time.monotonic() < deadline_s, "redis-server does not begin"
            time.sleep(0.01)

    def kill(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    # What tests look at. A look takes less than a millisecond, so it may be taken on the loop.

    def found(self, pattern: str = "*") -> set[str]:
        return {str(key) for key in self.client.scan_iter(pattern)}

    def text(self, key: str) -> str:
        return str(self.client.get(key))

    def json(self, key: str) -> Any:
        return json.loads(self.text(key))

    def intend(self, key: str, value: str) -> None:
        """Leave an intent as EDGELESS's proxy_cli does."""
        self.client.set(key, value)
        self.client.rpush("intents", key)


class Gate:
    """A TCP proxy before a server that lets bytes through, or late, or not at all."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        (self._port,) = free_ports(1)
        self.url = f"redis://{LOOPBACK}:{self._port}"
        self.delay_s = 0.0
        self._way = asyncio.Event()
        self._way.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> "Gate":
        self._server = await asyncio.start_server(self._take, LOOPBACK, self._port)
        return self

    def block(self, *, blocked: bool) -> None:
        if blocked:
            self._way.clear()
        else:
            self._way.set()

    async def close(self) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        theirs, ours = await asyncio.open_connection(LOOPBACK, self._behind)
        try:
            with suppress(OSError):
                await asyncio.gather(self._move(reader, ours), self._move(theirs, writer))
        finally:
            for each in (writer, ours):
                each.transport.abort()
            self._tasks.discard(task)

    async def _move(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._way.wait()
            await asyncio.sleep(self.delay_s)
            writer.write(data)
        writer.close()


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server")
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def gated(server: Server) -> Gate:
    return Gate(server.port)


async def until(condition: Callable[[], Any], what: str = "it has not happened") -> Any:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (found := condition()):  # noqa: ASYNC110 - another process has no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"not within {PATIENCE_S} s: {what}")
    return found


class Mirrored:
    """A `World` whose domain is mirrored, and its proxy."""

    def __init__(self, world: Any, proxy: RedisProxy) -> None:
        self.world = world
        self.proxy = proxy
        self.until = until

    async def round(self) -> None:
        """A second passes as far as the mirror goes, and what it wrote has arrived."""
        proxy = self.proxy
        await until(lambda: proxy.up, "no mirror")
        for _ in range(2):
            # The first may have been under way already.
            before = proxy.rounds_total
            self.world.orchestrator._mirror.tick()
            await until(partial(self._has_passed, before), "no round")

    def _has_passed(self, rounds: int) -> bool:
        return self.proxy.rounds_total > rounds


@pytest.fixture
def mirrored(play: Callable[..., None]) -> Callable[..., None]:
    """Play ``story(world, mirrored)`` in real time with a Redis at *url*."""

    def play_mirrored(
        story: Callable[[Any, Mirrored], Coroutine[Any, Any, None]], url: str, **told: Any
    ) -> None:
        made: list[RedisProxy] = []

        def proxies(context: Any) -> list[RedisProxy]:
            made.append(RedisProxy(context, RedisMirrorSettings(url=url, **told)))
            return made[-1:]

        async def main(world: Any) -> None:
            await story(world, Mirrored(world, made[-1]))

        play(main, loop="real", make_proxies=proxies)

    return play_mirrored
