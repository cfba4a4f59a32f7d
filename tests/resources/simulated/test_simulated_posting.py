"""http-poster, serverless and ollama in virtual time: what their servers get, and their deadlines.

Reliability F25 and S02.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.event import (
    ERR,
    NO_REPLY,
    CallReturn,
    Event,
    EventType,
    PatchRequest,
    Target,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import (
    OllamaSettings,
    ResourceHost,
    ResourceSettings,
    ServerlessSettings,
)
from edgeless_sim.resources.catalog import create_provider, simulation_fault
from edgeless_sim.resources.files import VirtualFiles
from edgeless_sim.resources.simulated.backends import BACKENDS_MAX, Backends
from edgeless_sim.resources.simulated.http import HttpAnswer, HttpRule, HttpServer

NODE = NodeId(UUID(int=1))
CALLER = InstanceId(NODE, FunctionId(UUID(int=3)))
URL = "http://web.lab/f"
WEB = "http://web.lab:80"
SETTINGS = ResourceSettings(
    ollama=OllamaSettings("web.lab", 80, 4),
    serverless=(ServerlessSettings(provider_id="p", class_type="f", function_url=URL),),
)
CONFIGURATIONS = {"http-poster": {"url": URL}, "serverless": {}, "ollama": {"model": "m"}}
#: When each class gives up, in s.
DEADLINES_S = {"http-poster": 10.0, "serverless": 10.0, "ollama": 120.0}
every_class = pytest.mark.parametrize("class_type", sorted(CONFIGURATIONS))


class Stage:
    """One provider, its instances, and the simulated web."""

    def __init__(self, class_type: str) -> None:
        self.class_type = class_type
        self.clock = LoopClock.running()
        self.backends = Backends(self.clock.scheduler)
        self.warnings: list[str] = []
        self.sent: list[tuple[str, str]] = []
        self.answers: list[tuple[float, CallReturn]] = []
        host = ResourceHost(
            "edge/0",
            self.clock,
            self.clock.scheduler,
            VirtualFiles(),
            warn=lambda _, text: self.warnings.append(text),
            settings=SETTINGS,
            dice=Random(1),
            backends=self.backends,
        )
        self.provider: Any = create_provider(class_type, "p", host)

    def cast(self, channel: str, payload: str) -> None:
        self.sent.append((channel, payload))

    @property
    def web(self) -> HttpServer:
        return self.backends.of(HttpServer, WEB)

    async def begin(self, number: int = 2, **configuration: str) -> None:
        pid = InstanceId(NODE, FunctionId(UUID(int=number)))
        told = CONFIGURATIONS[self.class_type] | configuration
        specification = ResourceInstanceSpecification(
            self.class_type, told, WorkflowId(UUID(int=9))
        )
        await self.provider.start(pid, specification, self)
        mapping = dict.fromkeys(self.provider.outputs, Target(CALLER, "memory://x"))
        await self.provider.patch(PatchRequest(pid, mapping, 1))

    def send(self, payload: str, number: int = 2) -> None:
        pid = InstanceId(NODE, FunctionId(UUID(int=number)))
        event = Event(EventType.CAST, pid.key, CALLER.key, 0, payload, 0, bytes(24), 1)
        self.provider.handle(
            event, lambda result: self.answers.append((self.clock.now_ns() / 1e9, result))
        )


def play(class_type: str, story: Callable[[Stage], Awaitable[None]]) -> Stage:
    made: list[Stage] = []

    async def main() -> None:
        stage = Stage(class_type)
        made.append(stage)
        await stage.provider.open()
        await stage.begin()
        await story(stage)
        await stage.clock.sleep(1_000)
        stage.provider.close()

    run(main)
    return made[0]


@every_class
def test_it_is_available_in_simulation(class_type: str) -> None:
    assert simulation_fault(class_type) is None


@every_class
def test_casts_arrive_in_order_one_after_the_other(class_type: str) -> None:
    async def story(stage: Stage) -> None:
        stage.backends.state(WEB).delay_ns = 2_000_000_000
        for text in "abc":
            stage.send(text)

    stage = play(class_type, story)
    assert stage.answers == [(2.0, NO_REPLY), (4.0, NO_REPLY), (6.0, NO_REPLY)]
    assert {record.method for record in stage.web.requests} == {"POST"}
    bodies = [record.body.decode() for record in stage.web.requests]
    if class_type == "ollama":
        bodies = [msgspec.json.decode(body)["messages"][-1]["content"] for body in bodies]
    assert bodies == ["a", "b", "c"]


@every_class
def test_f25_a_server_that_is_down_fails_at_once(class_type: str) -> None:
    async def story(stage: Stage) -> None:
        stage.backends.state(WEB).down = True
        stage.send("a")

    stage = play(class_type, story)
    assert stage.answers == [(0.0, ERR)]
    assert stage.warnings == [f"{stage.provider.class_type}: cannot connect to {WEB}"]


@every_class
def test_f25_a_server_that_is_slow_is_given_up_after_the_deadline_of_the_class(
    class_type: str,
) -> None:
    async def story(stage: Stage) -> None:
        stage.backends.state(WEB).delay_ns = 200_000_000_000
        stage.send("a")

    stage = play(class_type, story)
    assert stage.answers == [(DEADLINES_S[class_type], ERR)]
    assert stage.web.requests_total == 0


@every_class
def test_f25_a_server_that_babbles_fails_and_another_event_is_well_afterwards(
    class_type: str,
) -> None:
    async def story(stage: Stage) -> None:
        stage.backends.state(WEB).wrong = True
        stage.send("a")
        await stage.clock.sleep(1)
        stage.backends.state(WEB).wrong = False
        stage.send("b")

    assert [result for _, result in play(class_type, story).answers] == [ERR, NO_REPLY]


@every_class
def test_f25_a_server_that_answers_500_fails(class_type: str) -> None:
    async def story(stage: Stage) -> None:
        stage.web.add_rule(HttpRule(HttpAnswer(500)))
        stage.send("a")

    stage = play(class_type, story)
    assert stage.answers == [(0.0, ERR)]
    assert stage.warnings == [f"{stage.provider.class_type}: status 500 returned"]


@every_class
def test_stopping_cuts_off_what_is_under_way_and_answers_it(class_type: str) -> None:
    async def story(stage: Stage) -> None:
        stage.backends.state(WEB).delay_ns = 5_000_000_000
        stage.send("a")
        stage.send("b")
        await stage.clock.sleep(1)
        await stage.provider.stop(InstanceId(NODE, FunctionId(UUID(int=2))))

    stage = play(class_type, story)
    assert stage.answers == [(1.0, ERR), (1.0, ERR)]
    assert stage.web.requests_total == 0


@every_class
def test_a_crash_answers_nobody(class_type: str) -> None:
    async def story(stage: Stage) -> None:
        stage.backends.state(WEB).delay_ns = 5_000_000_000
        stage.send("a")
        stage.send("b")
        stage.provider.close()

    stage = play(class_type, story)
    assert stage.answers == []
    assert stage.sent == []


@every_class
def test_instances_do_not_wait_for_each_other(class_type: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.begin(3)
        stage.backends.state(WEB).delay_ns = 5_000_000_000
        stage.send("a")
        stage.send("b", 3)

    assert play(class_type, story).answers == [(5.0, NO_REPLY), (5.0, NO_REPLY)]


@every_class
def test_a_world_without_room_is_a_failure_of_the_event(class_type: str) -> None:
    async def story(stage: Stage) -> None:
        for number in range(BACKENDS_MAX):
            stage.backends.state(f"http://x:{number}")
        stage.send("a")

    stage = play(class_type, story)
    assert stage.answers == [(0.0, ERR)]
    assert "10000 back-ends" in stage.warnings[0]


def test_serverless_casts_what_its_function_answers_or_why_it_does_not() -> None:
    async def story(stage: Stage) -> None:
        stage.web.add_rule(HttpRule(HttpAnswer(body=b"done"), path="/f"))
        stage.send("a")
        await stage.clock.sleep(1)
        stage.web.add_rule(HttpRule(HttpAnswer(307, {"Location": "/g"}), path="/f"))
        stage.send("b")

    (out, err) = play("serverless", story).sent
    assert out == ("out", "done")
    assert err[0] == "err"
    assert err[1].startswith(f"error when calling serverless function at {URL} for resource ")
    assert err[1].endswith(": status 307 returned"), "redirects are not followed"


def test_the_simulated_model_says_its_name_and_the_prompt() -> None:
    async def story(stage: Stage) -> None:
        for text in "abc":
            stage.send(text)
        await stage.clock.sleep(1)
        await stage.begin(model="n")
        stage.send("d")

    stage = play("ollama", story)
    assert stage.sent == [("out", "m: a"), ("out", "m: b"), ("out", "m: c"), ("out", "n: d")]
    told = [msgspec.json.decode(record.body)["messages"] for record in stage.web.requests]
    # The limit of this node is four, the prompt among them.
    assert [len(messages) for messages in told] == [1, 3, 4, 1]


def test_http_poster_follows_redirects_but_not_to_what_is_refused() -> None:
    async def story(stage: Stage) -> None:
        stage.web.add_rule(HttpRule(HttpAnswer(307, {"Location": "http://there.lab/"})))
        stage.send("a")
        await stage.clock.sleep(1)
        stage.web.add_rule(HttpRule(HttpAnswer(307, {"Location": "http://169.254.169.254/"})))
        stage.send("b")

    stage = play("http-poster", story)
    assert [result for _, result in stage.answers] == [NO_REPLY, ERR]
    assert stage.backends.of(HttpServer, "http://there.lab:80").requests[0].body == b"a"
    assert "http_egress_allow" in stage.warnings[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2852039166", "[::1]", "10.0.0.1"])
def test_s02_http_poster_refuses_private_addresses_at_the_start(host: str) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(RejectedError, match="http_egress_allow"):
            await stage.begin(3, url=f"http://{host}/")

    play("http-poster", story)
