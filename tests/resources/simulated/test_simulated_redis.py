"""redis in virtual time: what a server holds, how it fails, and that the real one holds the same.

Reliability B28, F25, S02.
"""

import asyncio
import subprocess
import sys
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, Event, EventType
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX, ResourceHost
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.resources.redis_rules import PAUSE_MAX_NS, PAUSE_MIN_NS, TIMEOUT_S, WAITING_MAX
from edgeless_sim.resources.simulated.backends import BACKENDS_MAX, Backends
from edgeless_sim.resources.simulated.redis import DATABASES, RedisServer, RedisWrite

WORKFLOW = WorkflowId(UUID(int=9))
CALLER = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=3)))
URL = "redis://store.lab"
ADDRESS = "redis://store.lab:6379"


def pid(number: int) -> InstanceId:
    return InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=10 + number)))


class Stage:
    """One provider and the simulated servers."""

    def __init__(self) -> None:
        self.clock = LoopClock.running()
        self.backends = Backends(self.clock.scheduler)
        self.warnings: list[str] = []
        host = ResourceHost(
            "edge/0",
            self.clock,
            self.clock.scheduler,
            VirtualFiles(),
            warn=lambda _, text: self.warnings.append(text),
            backends=self.backends,
        )
        self.provider: Any = create_provider("redis", "redis-1", host)

    @property
    def server(self) -> RedisServer:
        return self.backends.of(RedisServer, ADDRESS)

    def now_ns(self) -> int:
        return self.clock.scheduler.now_ns()

    async def start(self, number: int = 1, /, **configuration: str) -> None:
        given = {"url": URL, "key": "k"} | configuration
        specification = ResourceInstanceSpecification("redis", given, WORKFLOW)
        await self.provider.start(pid(number), specification, None)

    def send(
        self, payload: str, kind: EventType = EventType.CALL, number: int = 1
    ) -> list[CallReturn]:
        answers: list[CallReturn] = []
        event = Event(kind, pid(number).key, CALLER.key, 1, payload, 0, bytes(24), 1)
        self.provider.handle(event, answers.append)
        return answers

    async def ask(self, payload: str, kind: EventType = EventType.CALL) -> CallReturn:
        answers = self.send(payload, kind)
        while not answers:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.001)
        [answer] = answers
        return answer


def test_a_cast_sets_the_key_and_a_call_gets_any() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.start(url=f"{URL}/3")
        assert await stage.ask("k") == ERR
        assert await stage.ask("warm", EventType.CAST) == NO_REPLY
        assert await stage.ask("k") == CallReturn.reply("warm")
        assert stage.server.databases == {3: {"k": "warm"}}
        [write] = stage.server.writes
        assert write[1:] == RedisWrite(0, 3, "k", "warm")[1:]

    run(body)


def test_with_add_workflow_id_both_keys_have_the_workflow_before_them() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.start(**{"add-workflow-id": ""})
        await stage.ask("v", EventType.CAST)
        assert stage.server.databases == {0: {f"{WORKFLOW}:k": "v"}}
        assert await stage.ask("k") == CallReturn.reply("v")

    run(body)


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://store.lab", "redis://HOST:PORT"),
        ("unix:///run/redis.sock", "redis://HOST:PORT"),
        ("redis://169.254.169.254", "redis_allow"),
        ("redis://2852039166", "redis_allow"),
        ("redis://localhost:6380", "redis_allow"),
        (f"{URL}/{DATABASES}", "no database 16"),
        ("redis://user:hunter2@store.lab/x", "number of a database"),
    ],
)
def test_b28_s02_a_url_is_refused_as_by_the_real_class_and_no_password_shown(
    url: str, detail: str
) -> None:
    async def body() -> None:
        stage = Stage()
        with pytest.raises(RejectedError) as refusal:
            await stage.start(url=url)
        assert detail in str(refusal.value)
        assert "hunter2" not in str(refusal.value)
        assert stage.send("k") == [ERR]

    run(body)


@pytest.mark.parametrize("fault", ["down", "wrong", "slow"])
def test_f25_an_instance_does_not_start_without_its_server(fault: str) -> None:
    async def body() -> None:
        stage = Stage()
        state = stage.backends.state(ADDRESS)
        if fault == "slow":
            state.delay_ns = 10**12
        else:
            setattr(state, fault, True)
        begun_ns = stage.now_ns()
        with pytest.raises(RejectedError):
            await stage.start()
        took_ns = stage.now_ns() - begun_ns
        assert took_ns == (round(2 * TIMEOUT_S * 1e9) if fault == "slow" else 0)

    run(body)


def test_f25_while_its_server_is_away_there_is_one_attempt_per_pause_and_pauses_grow() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.start()
        state = stage.backends.state(ADDRESS)
        state.down = True
        attempts_ns: list[int] = []
        while len(attempts_ns) < 9:
            await asyncio.sleep(0.001)
            before = len(stage.warnings)
            assert await stage.ask("k") == ERR
            if len(stage.warnings) > before:
                attempts_ns.append(stage.now_ns())
        gaps = [later - sooner for sooner, later in pairwise(attempts_ns)]
        wanted = [min(PAUSE_MIN_NS << n, PAUSE_MAX_NS) for n in range(8)]
        assert all(0 <= gap - pause <= 3_000_000 for gap, pause in zip(gaps, wanted, strict=True))
        state.down = False
        await asyncio.sleep(PAUSE_MAX_NS / 1e9)
        assert await stage.ask("v", EventType.CAST) == NO_REPLY

    run(body)


def test_what_waits_is_bounded_and_fails_with_the_stop() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.start()
        stage.backends.state(ADDRESS).delay_ns = 10**9
        answers = [stage.send(f"{n}") for n in range(WAITING_MAX + 2)]
        assert [bool(each) for each in answers] == [False] * (WAITING_MAX + 1) + [True]
        await stage.provider.stop(pid(1))
        await asyncio.sleep(5)
        assert all(each == [ERR] for each in answers)

    run(body)


def test_a_value_that_no_event_can_have_is_err() -> None:
    async def body() -> None:
        stage = Stage()
        await stage.start()
        stage.server.set(0, "big", "x" * (PAYLOAD_BYTES_MAX + 1), at_ns=0)
        assert await stage.ask("big") == ERR
        assert "bytes" in stage.warnings[-1]

    run(body)


def test_the_twin_does_not_load_the_redis_library() -> None:
    code = (
        "import sys, edgeless_sim.resources.simulated.redis; "
        "sys.exit(any(name.split('.')[0] == 'redis' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _steps(seed: int) -> list[tuple[EventType, str, int]]:
    dice = Random(seed)
    return [
        (EventType.CAST, f"value {dice.randrange(100)} ü\n", dice.choice((1, 2)))
        if dice.random() < 0.5
        else (EventType.CALL, dice.choice(("k", "other", "absent")), dice.choice((1, 2)))
        for _ in range(200)
    ]


def _configurations(url: str) -> list[dict[str, str]]:
    return [
        {"url": f"{url}/0", "key": "k"},
        {"url": f"{url}/0", "key": "other", "add-workflow-id": ""},
    ]


async def test_a_real_server_and_the_twin_answer_alike_and_hold_the_same(
    stage: Any, redis_server: Any
) -> None:
    steps = _steps(7)
    provider = await stage.open("redis", redis_allow=("127.0.0.1",))
    for number, configuration in enumerate(_configurations(redis_server.url), 1):
        await stage.start(provider, configuration, number)
    real = [await stage.ask(provider, text, kind, number) for kind, text, number in steps]
    client = redis_server.client()
    held = {key.decode(): client.get(key).decode() for key in client.scan_iter()}
    client.close()

    simulated = await asyncio.to_thread(run, lambda: _simulated(steps))
    assert (real, held) == simulated


async def _simulated(
    steps: list[tuple[EventType, str, int]],
) -> tuple[list[CallReturn], dict[str, str]]:
    stage = Stage()
    for number, configuration in enumerate(_configurations(URL), 1):
        await stage.start(number, **configuration)
    answers = []
    for kind, text, number in steps:
        got = stage.send(text, kind, number)
        while not got:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.001)
        answers += got
    return answers, stage.server.databases[0]


def test_an_instance_is_refused_if_the_world_has_no_room_for_its_server() -> None:
    async def body() -> None:
        stage = Stage()
        for number in range(BACKENDS_MAX):
            stage.backends.state(f"redis://x:{number}")
        with pytest.raises(RejectedError, match=f"more than {BACKENDS_MAX} back-ends"):
            await stage.start()

    run(body)
