"""Handlers of PYTHON functions that are coroutines."""

from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import pytest

from edgeless_sim.model.event import NO_REPLY, CallReturn
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.runtimes.base import (
    Blocked,
    Call,
    CallRaw,
    Done,
    Failed,
    GuestEvent,
    GuestEventKind,
    Log,
    LogLevel,
    RuntimeSettings,
)
from edgeless_sim.runtimes.python import PythonInstance, PythonRuntime

PID: Final = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=2)))
SENDER: Final = b"s" * 32
CAST: Final = GuestEvent(GuestEventKind.CAST, SENDER, "hello")
CALL: Final = GuestEvent(GuestEventKind.CALL, SENDER, "hello")
SERVICE_NS: Final = 100_000
HEADER: Final = "from edgeless_sim import PythonFunction\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, body: str) -> PythonInstance:
    """An instance of the class F whose *body* begins in line 3 of ``f.py``."""
    (folder / "f.py").write_text(f"{HEADER}class F(PythonFunction):\n{body}", encoding="utf-8")
    request = SpawnFunctionRequest(
        code=FunctionClassSpecification("f", "PYTHON", "1", code="f.py:F"),
        annotations={},
        state_specification=StateSpecification(UUID(int=3)),
        workflow_id=WorkflowId(UUID(int=4)),
    )
    settings = RuntimeSettings(python_folders=(folder,))
    return PythonRuntime(settings).instantiate(PID, request, Random(1))


def test_a_handler_may_be_a_coroutine_that_awaits_its_calls(folder: Path) -> None:
    instance = written(
        folder,
        "    async def handle_init(self, payload, state):\n"
        "        self.edgeless.log('begun')\n"
        "    async def handle_call(self, source, message):\n"
        "        answer = await self.edgeless.call('next', message)\n"
        "        await self.edgeless.call_raw(source, 'thanks')\n"
        "        return answer.payload + '!'\n",
    )
    begun = instance.dispatch(GuestEvent(GuestEventKind.INIT))
    assert begun == Done([Log(LogLevel.INFO, "F", "begun")], None, 0, SERVICE_NS)
    assert instance.dispatch(CALL) == Blocked([], Call("next", "hello"), 0, SERVICE_NS)
    answered = instance.resume(CallReturn.reply("hi"))
    assert answered == Blocked([], CallRaw(SENDER, "thanks"), 0, 0)
    assert instance.resume(NO_REPLY) == Done([], CallReturn.reply("hi!"), 0, 0)


def test_a_coroutine_that_awaits_something_else_ends_the_instance(folder: Path) -> None:
    instance = written(
        folder,
        "    async def handle_cast(self, source, message):\n"
        "        import asyncio\n"
        "        await asyncio.sleep(0)\n",
    )
    failed = instance.dispatch(CAST)
    assert isinstance(failed, Failed)
    assert "may await nothing but self.edgeless.call(…) at f.py:5" in failed.reason


def test_a_coroutine_that_waits_when_the_instance_ends_is_closed(folder: Path) -> None:
    instance = written(
        folder,
        "    async def handle_cast(self, source, message):\n"
        "        await self.edgeless.call('oracle', message)\n",
    )
    assert isinstance(instance.dispatch(CAST), Blocked)
    # Warnings are errors: one that is never awaited would fail this test.
    instance.discard()
