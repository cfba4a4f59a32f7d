"""What every resource provider does, whatever its class: the contract of `ResourceProvider`.

Each class brings a `Subject`: configurations, one use of an instance, and a back-end that can be
down, slow or wrong.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import aiohttp
import msgspec
import pytest
from aiohttp import web

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, EventType
from edgeless_sim.model.resource import ResourceProviderSpecification
from edgeless_sim.resources.catalog import create_provider, provider_class
from edgeless_sim.resources.files import FileQuotas, VirtualFiles

CASES_S = 1.0


class Subject(ABC):
    """A provider class, as the contract sees it."""

    class_type: ClassVar[str]
    announced: ClassVar[tuple[str, tuple[str, ...]]]
    good: dict[str, str]
    bad: list[dict[str, str]]
    settings: dict[str, Any]
    #: How its back-end can fail.
    faults: ClassVar[tuple[str, ...]] = ("down", "slow", "wrong")
    #: Whether what failed can be well again: a full file cannot.
    recovers: ClassVar[bool] = True

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.settings = {"call_timeout_s": CASES_S}

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:  # noqa: B027 - may be empty
        """Begin the back-ends: one for the instance, another one for its neighbour."""

    @abstractmethod
    async def use(self, provider: Any, number: int = 1) -> bool:
        """Use the instance once; whether that had its effect."""

    @abstractmethod
    async def fail(self, fault: str) -> None:
        """Let the back-end of instance 1 fail; ``none`` repairs it."""

    def neighbour(self) -> dict[str, str]:
        """The configuration of an instance whose back-end stays well."""
        return self.good

    async def close(self) -> None:  # noqa: B027 - may be empty
        """End the back-ends."""


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


def _mode(fault: str) -> str:
    return "open" if fault == "none" else fault


SUBJECTS = (FileLogSubject, HttpEgressSubject, HttpIngressSubject, RedisSubject)
FAULTS = [(subject, fault) for subject in SUBJECTS for fault in subject.faults]


@pytest.fixture
async def subject(
    request: pytest.FixtureRequest, stage: Any, make_gate: Any
) -> AsyncIterator[Subject]:
    made: Subject = request.param(stage)
    needs_redis = isinstance(made, RedisSubject)
    await made.prepare(request.getfixturevalue("redis_server") if needs_redis else None, make_gate)
    yield made
    stage.close()
    await made.close()


every_subject = pytest.mark.parametrize(
    "subject", SUBJECTS, indirect=True, ids=[each.class_type for each in SUBJECTS]
)


async def started(subject: Subject) -> Any:
    provider = await subject.stage.open(subject.class_type, **subject.settings)
    await subject.stage.start(provider, subject.good)
    await subject.stage.patch(provider)
    return provider


@every_subject
async def test_it_announces_itself_as_edgeless_does(subject: Subject) -> None:
    provider = await subject.stage.open(subject.class_type, **subject.settings)
    version, outputs = subject.announced
    assert provider.specification == ResourceProviderSpecification(
        f"{subject.class_type}-1", subject.class_type, outputs
    )
    assert (provider_class(subject.class_type).version, type(provider).outputs) == (
        version,
        outputs,
    )


@every_subject
async def test_it_works_once_it_is_started_and_patched(subject: Subject) -> None:
    provider = await started(subject)
    assert await subject.use(provider)
    assert await subject.use(provider)


@every_subject
async def test_a_bad_configuration_is_refused_and_nothing_is_started(subject: Subject) -> None:
    provider = await subject.stage.open(subject.class_type, **subject.settings)
    for number, configuration in enumerate(subject.bad, 1):
        with pytest.raises(RejectedError) as refusal:
            await subject.stage.start(provider, configuration, number)
        assert refusal.value.summary.startswith(("Invalid resource", "Error when creating"))
        assert 0 < len(str(refusal.value).encode()) <= 1100
        assert await subject.stage.ask(provider, "x", number=number) == ERR


@every_subject
async def test_a_second_start_configures_anew_and_a_bad_one_changes_nothing(
    subject: Subject,
) -> None:
    provider = await started(subject)
    for configuration in subject.bad:
        with pytest.raises(RejectedError):
            await subject.stage.start(provider, configuration)
    assert await subject.use(provider)
    await subject.stage.start(provider, subject.good)
    assert await subject.use(provider)


@every_subject
async def test_every_event_is_answered_exactly_once(subject: Subject) -> None:
    provider = await started(subject)
    kinds = (EventType.CAST, EventType.CALL)
    answers = [subject.stage.send(provider, f"{n}", kinds[n % 2]) for n in range(200)]
    await subject.stage.until(lambda: all(answers))
    assert {len(each) for each in answers} == {1}


@every_subject
async def test_an_instance_that_does_not_exist_answers_err(subject: Subject) -> None:
    provider = await started(subject)
    for kind in (EventType.CAST, EventType.CALL):
        assert await subject.stage.ask(provider, "x", kind, number=77) == ERR


@every_subject
async def test_a_stopped_instance_answers_err_and_stopping_twice_does_no_harm(
    subject: Subject,
) -> None:
    provider = await started(subject)
    in_hand = [subject.stage.send(provider, f"{n}") for n in range(20)]
    await provider.stop(subject.stage.pid())
    await provider.stop(subject.stage.pid())
    assert await subject.stage.ask(provider, "x") == ERR
    await subject.stage.until(lambda: all(in_hand))
    assert {len(each) for each in in_hand} == {1}


@every_subject
async def test_instances_that_come_and_go_leave_nothing_behind(subject: Subject) -> None:
    provider = await started(subject)
    tasks = subject.stage.supervisor.tasks_total
    for number in range(2, 52):
        await subject.stage.start(provider, subject.neighbour(), number)
        await provider.stop(subject.stage.pid(number))
    await subject.stage.until(lambda: subject.stage.supervisor.tasks_total == tasks)
    assert await subject.use(provider)


@every_subject
async def test_closing_ends_everything_with_events_in_hand_and_twice(subject: Subject) -> None:
    provider = await started(subject)
    for number in range(20):
        subject.stage.send(provider, f"{number}")
    provider.close()
    provider.close()
    await subject.stage.until(lambda: subject.stage.supervisor.tasks_total == 0)


@every_subject
async def test_a_provider_that_never_opened_can_be_closed(subject: Subject) -> None:
    host = subject.stage.host(**subject.settings)
    create_provider(subject.class_type, "p", host).close()


@pytest.mark.parametrize(
    ("subject", "fault"),
    FAULTS,
    indirect=["subject"],
    ids=[f"{each.class_type}-{fault}" for each, fault in FAULTS],
)
async def test_a_back_end_that_fails_fails_its_own_instance_only_and_not_for_ever(
    subject: Subject, fault: str
) -> None:
    provider = await started(subject)
    await subject.stage.start(provider, subject.neighbour(), 2)
    await subject.stage.patch(provider, 2)
    assert await subject.use(provider)
    await subject.fail(fault)
    using = asyncio.get_running_loop().create_task(subject.use(provider))
    for _ in range(5):
        assert await subject.use(provider, 2)
    async with asyncio.timeout(8 * CASES_S):
        assert not await using
    if not subject.recovers:
        return
    await subject.fail("none")
    async with asyncio.timeout(8 * CASES_S):
        while not await subject.use(provider):  # noqa: ASYNC110 - a back-end has no event
            await asyncio.sleep(0.02)
