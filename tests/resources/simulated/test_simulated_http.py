"""http-egress in virtual time: the simulated web, its servers, and what is not asked for.

Reliability B27, F25, S02; case D34.
"""

import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.event import ERR, CallReturn, Event, EventType
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import ResourceHost, ResourceSettings
from edgeless_sim.resources.catalog import create_provider
from edgeless_sim.resources.egress_rules import CONNECTIONS_MAX, REDIRECTS_MAX, WAITING_MAX
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.resources.simulated.backends import BACKENDS_MAX, Backends
from edgeless_sim.resources.simulated.http import HttpAnswer, HttpRule, HttpServer

PID = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=2)))
CALLER = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=3)))
WEB = "http://web.lab:80"


class Stage:
    """One provider, one instance, and the simulated web."""

    def __init__(self, *allow: str) -> None:
        self.clock = LoopClock.running()
        self.backends = Backends(self.clock.scheduler)
        self.warnings: list[str] = []
        host = ResourceHost(
            "edge/0",
            self.clock,
            self.clock.scheduler,
            VirtualFiles(),
            warn=lambda _, text: self.warnings.append(text),
            settings=ResourceSettings(http_egress_allow=allow),
            dice=Random(1),
            backends=self.backends,
        )
        self.provider: Any = create_provider("http-egress", "egress", host)
        self.answers: list[tuple[float, CallReturn]] = []

    @property
    def web(self) -> HttpServer:
        return self.backends.of(HttpServer, WEB)

    async def begin(self) -> None:
        await self.provider.open()
        specification = ResourceInstanceSpecification(
            class_type="http-egress",
            configuration={},
            workflow_id=WorkflowId(UUID(int=9)),
            name="egress",
        )
        await self.provider.start(PID, specification, None)

    def send(self, kind: EventType = EventType.CALL, **fields: Any) -> None:
        given = {"method": "Get", "protocol": "HTTP", "host": "web.lab", "path": "/"}
        payload = json.dumps(given | {"headers": {}} | fields)
        event = Event(kind, PID.key, CALLER.key, 1, payload, 0, bytes(24), 1)
        self.provider.handle(event, self._take)

    def _take(self, result: CallReturn) -> None:
        self.answers.append((self.clock.now_ns() / 1e9, result))

    async def ask(self, **fields: Any) -> Any:
        """The message of the reply, or None for Err."""
        before = len(self.answers)
        self.send(**fields)
        await self.clock.sleep(30)
        (_, result) = self.answers[before]
        assert len(self.answers) == before + 1
        return None if result == ERR else json.loads(result.payload)


def play(story: Callable[[Stage], Awaitable[None]], *allow: str) -> None:
    async def main() -> None:
        stage = Stage(*allow)
        await stage.begin()
        await story(stage)
        stage.provider.close()

    run(main)


def test_a_call_is_a_request_that_the_server_keeps() -> None:
    async def story(stage: Stage) -> None:
        stage.web.add_rule(HttpRule(HttpAnswer(201, {"X-Reply": "yes"}, b"\x00\xff")))
        reply = await stage.ask(
            method="Post",
            path="/a?x=1",
            headers={"X-Ours": "1", "Content-Length": "99"},
            body=[1, 255],
        )
        assert reply == {"status": 201, "headers": {"x-reply": "yes"}, "body": [0, 255]}
        (record,) = stage.web.requests
        assert (record.method, record.path, record.body) == ("POST", "/a?x=1", b"\x01\xff")
        assert dict(record.headers) == {"x-ours": "1"}

    play(story)


def test_the_newest_rule_that_matches_counts() -> None:
    async def story(stage: Stage) -> None:
        stage.web.add_rule(HttpRule(HttpAnswer(body=b"all")))
        stage.web.add_rule(HttpRule(HttpAnswer(body=b"a"), path="/a"))
        stage.web.add_rule(HttpRule(HttpAnswer(503), method="PUT"))
        assert bytes((await stage.ask(path="/b"))["body"]) == b"all"
        assert bytes((await stage.ask(path="/a?q"))["body"]) == b"a"
        assert (await stage.ask(path="/a", method="Put"))["status"] == 503
        stage.web.add_rule(HttpRule(HttpAnswer(body=b"b"), path="/a"))
        assert bytes((await stage.ask(path="/a"))["body"]) == b"b"

    play(story)


@pytest.mark.parametrize(
    ("state", "seconds"),
    [({"down": True}, 0.0), ({"wrong": True}, 0.0), ({"delay_ns": 20_000_000_000}, 10.0)],
    ids=["down", "wrong", "slow"],
)
def test_a_back_end_that_fails_is_err_in_its_time(state: dict[str, Any], seconds: float) -> None:
    async def story(stage: Stage) -> None:
        for key, value in state.items():
            setattr(stage.backends.state(WEB), key, value)
        assert await stage.ask() is None
        assert stage.answers[0][0] == seconds
        assert len(stage.warnings) == 1
        # It heals, and so do the answers.
        for key, value in {"down": False, "wrong": False, "delay_ns": 0}.items():
            setattr(stage.backends.state(WEB), key, value)
        assert (await stage.ask())["status"] == 200

    play(story)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "a.localhost",
        "2130706433",
        "0177.0.0.1",
        "169.254.169.254",
        "[::1]",
    ],
)
def test_private_addresses_are_refused_unless_they_are_allowed(host: str) -> None:
    async def refused(stage: Stage) -> None:
        assert await stage.ask(host=host) is None
        assert "http_egress_allow" in stage.warnings[0]

    async def allowed(stage: Stage) -> None:
        assert (await stage.ask(host=host))["status"] == 200

    play(refused)
    play(allowed, "127.0.0.1", "169.254.169.254", "[::1]", "localhost", "a.localhost")


def test_a_redirect_is_followed_as_far_as_the_policy_allows() -> None:
    async def story(stage: Stage) -> None:
        other = stage.backends.of(HttpServer, "http://other.lab:8000")
        stage.web.add_rule(
            HttpRule(HttpAnswer(302, {"Location": "http://other.lab:8000/x"}), path="/go")
        )
        stage.web.add_rule(
            HttpRule(HttpAnswer(307, {"location": "http://127.0.0.1/"}), path="/trap")
        )
        stage.web.add_rule(HttpRule(HttpAnswer(301, {"Location": "/loop"}), path="/loop"))
        stage.web.add_rule(HttpRule(HttpAnswer(301, {"Location": "ftp://x/"}), path="/ftp"))
        headers = {"Authorization": "secret", "Content-Type": "text/plain"}
        assert (await stage.ask(path="/go", method="Post", headers=headers, body=[1])) is not None
        (record,) = other.requests
        assert (record.method, record.path, record.body) == ("GET", "/x", b"")
        assert dict(record.headers) == {}
        assert await stage.ask(path="/trap") is None
        assert await stage.ask(path="/ftp") is None
        before = stage.web.requests_total
        assert await stage.ask(path="/loop") is None
        assert stage.web.requests_total == before + REDIRECTS_MAX + 1

    play(story)


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "Connect"},
        {"host": "a b"},
        {"host": "user@web.lab"},
        {"path": "no-slash"},
        {"path": "/a\r\nX: y"},
        {"headers": {"X": "a\r\nb"}},
        {"body": [256]},
        {"host": "1.2.3.4.5"},
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_err_at_once_and_reaches_nobody(fields: dict[str, Any]) -> None:
    async def story(stage: Stage) -> None:
        assert await stage.ask(**fields) is None
        assert stage.answers[0][0] == 0.0
        assert stage.backends.all(HttpServer) == {}

    play(story)


def test_as_many_are_under_way_and_wait_as_with_sockets() -> None:
    async def story(stage: Stage) -> None:
        stage.backends.state(WEB).delay_ns = 1_000_000_000
        for _ in range(CONNECTIONS_MAX + WAITING_MAX + 3):
            stage.send()
        assert [result for _, result in stage.answers] == [ERR] * 3
        await stage.clock.sleep(1.5)
        assert len(stage.answers) == 3 + CONNECTIONS_MAX
        await stage.provider.stop(PID)
        assert len(stage.answers) == CONNECTIONS_MAX + WAITING_MAX + 3
        assert stage.web.requests_total == CONNECTIONS_MAX

    play(story)


def test_a_cast_fails_since_nobody_would_get_the_response() -> None:
    async def story(stage: Stage) -> None:
        stage.send(EventType.CAST)
        assert stage.answers == [(0.0, ERR)]

    play(story)


def test_a_world_without_room_is_a_failure_of_the_event_also_after_a_redirect() -> None:
    async def story(stage: Stage) -> None:
        stage.web.add_rule(HttpRule(HttpAnswer(302, {"Location": "http://far.lab/"}), path="/far"))
        for number in range(1, BACKENDS_MAX):
            stage.backends.state(f"http://x:{number}")
        assert (await stage.ask())["status"] == 200
        assert await stage.ask(host="other.lab") is None
        assert await stage.ask(path="/far") is None
        full = f"http-egress: more than {BACKENDS_MAX} back-ends"
        assert stage.warnings == [full, full]

    play(story)
