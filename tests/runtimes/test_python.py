"""A function as a Python class: its handlers, what it may ask for, and how it fails."""

from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import pytest

from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn
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
    Cast,
    CastRaw,
    DelayedCast,
    Done,
    Failed,
    GuestEvent,
    GuestEventKind,
    Log,
    LogLevel,
    Refused,
    RuntimeSettings,
    Sync,
)
from edgeless_sim.runtimes.python import PythonInstance, PythonRuntime

PID: Final = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=2)))
SENDER: Final = b"s" * 32
CAST: Final = GuestEvent(GuestEventKind.CAST, SENDER, "hello")
CALL: Final = GuestEvent(GuestEventKind.CALL, SENDER, "hello")
SERVICE_NS: Final = 100_000
HEADER: Final = "from edgeless_sim.runtimes.python import CallError, PythonFunction\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, body: str, seed: int = 1) -> PythonInstance:
    """An instance of the class F whose *body* begins in line 3 of ``f.py``."""
    (folder / "f.py").write_text(f"{HEADER}class F(PythonFunction):\n{body}", encoding="utf-8")
    request = SpawnFunctionRequest(
        code=FunctionClassSpecification("f", "PYTHON", "1", code="f.py:F"),
        annotations={},
        state_specification=StateSpecification(UUID(int=3)),
        workflow_id=WorkflowId(UUID(int=4)),
    )
    settings = RuntimeSettings(python_folders=(folder,))
    return PythonRuntime(settings).instantiate(PID, request, Random(seed))


def handling_cast(folder: Path, *lines: str) -> PythonInstance:
    """As `written`, with a ``handle_cast`` whose lines begin in line 4 of the file."""
    handler = "".join(f"        {line}\n" for line in lines)
    return written(folder, f"    def handle_cast(self, source, message):\n{handler}")


def test_what_a_function_asks_for_comes_out_in_order(folder: Path) -> None:
    instance = handling_cast(
        folder,
        "self.edgeless.cast('out', message)",
        "self.edgeless.cast_raw(source, 'back')",
        "self.edgeless.delayed_cast(250, 'self', 'later')",
        "self.edgeless.log('seen')",
        "self.edgeless.log('odd', level='warn', target='t')",
        "self.edgeless.sync('state')",
    )
    assert instance.dispatch(CAST) == Done(
        [
            Cast("out", "hello"),
            CastRaw(SENDER, "back"),
            DelayedCast(250, "self", "later"),
            Log(LogLevel.INFO, "F", "seen"),
            Log(LogLevel.WARN, "t", "odd"),
            Sync("state"),
        ],
        None,
        0,
        SERVICE_NS,
    )


def test_outputs_of_one_event_are_not_outputs_of_the_next(folder: Path) -> None:
    instance = handling_cast(folder, "self.edgeless.cast('out', message)")
    first = instance.dispatch(CAST)
    instance.dispatch(CAST)
    assert first.outputs == [Cast("out", "hello")]


def test_a_handler_that_is_not_written_does_nothing(folder: Path) -> None:
    instance = written(folder, "    pass\n")
    for kind in (GuestEventKind.INIT, GuestEventKind.CAST, GuestEventKind.STOP):
        assert instance.dispatch(GuestEvent(kind, payload="x")) == Done([], None, 0, SERVICE_NS)
    assert instance.dispatch(CALL) == Done([], NO_REPLY, 0, SERVICE_NS)


def test_init_gets_its_payload_and_state_and_stop_may_send(folder: Path) -> None:
    instance = written(
        folder,
        "    def handle_init(self, payload, state):\n"
        "        self.edgeless.cast('out', f'{payload!r} {state!r}')\n"
        "    def handle_stop(self):\n"
        "        self.edgeless.cast('out', 'bye')\n",
    )
    begun = instance.dispatch(GuestEvent(GuestEventKind.INIT, payload=None, state="7"))
    assert begun.outputs == [Cast("out", "None '7'")]
    assert instance.dispatch(GuestEvent(GuestEventKind.STOP)).outputs == [Cast("out", "bye")]


@pytest.mark.parametrize(
    ("line", "returned"),
    [
        ("return message.upper()", CallReturn.reply("HELLO")),
        ("return ''", CallReturn.reply("")),
        ("return None", NO_REPLY),
        ("raise CallError('no')", ERR),
    ],
)
def test_a_call_returns_a_reply_nothing_or_err(
    folder: Path, line: str, returned: CallReturn
) -> None:
    body = f"    def handle_call(self, source, message):\n        {line}\n"
    assert written(folder, body).dispatch(CALL) == Done([], returned, 0, SERVICE_NS)


def test_a_function_that_answers_err_lives_on(folder: Path) -> None:
    instance = written(
        folder, "    def handle_call(self, source, message):\n        raise CallError\n"
    )
    instance.dispatch(CALL)
    assert instance.dispatch(CALL) == Done([], ERR, 0, SERVICE_NS)


def test_a_call_that_was_forgotten_on_the_way_to_err_does_not_haunt_the_next_event(
    folder: Path,
) -> None:
    instance = written(
        folder,
        "    def handle_call(self, source, message):\n"
        "        self.edgeless.call('forgotten', message)\n"
        "        raise CallError\n"
        "    def handle_cast(self, source, message):\n"
        "        yield self.edgeless.call('oracle', message)\n",
    )
    assert instance.dispatch(CALL) == Done([], ERR, 0, SERVICE_NS)
    assert instance.dispatch(CAST) == Blocked([], Call("oracle", "hello"), 0, SERVICE_NS)


def test_a_handler_waits_for_a_call_by_yielding_it(folder: Path) -> None:
    instance = handling_cast(
        folder,
        "self.edgeless.cast('out', 'asking')",
        "answer = yield self.edgeless.call('oracle', message)",
        "self.edgeless.cast('out', f'{answer.kind.name} {answer.payload}')",
        "yield self.edgeless.call_raw(source, 'thanks')",
        "self.edgeless.cast('out', 'end')",
    )
    assert instance.dispatch(CAST) == Blocked(
        [Cast("out", "asking")], Call("oracle", "hello"), 0, SERVICE_NS
    )
    assert instance.resume(CallReturn.reply("42")) == Blocked(
        [Cast("out", "REPLY 42")], CallRaw(SENDER, "thanks"), 0, 0
    )
    assert instance.resume(NO_REPLY) == Done([Cast("out", "end")], None, 0, 0)
    assert isinstance(instance.dispatch(CAST), Blocked)


def test_a_call_may_be_answered_after_another_call(folder: Path) -> None:
    instance = written(
        folder,
        "    def handle_call(self, source, message):\n"
        "        answer = yield self.edgeless.call('next', message)\n"
        "        if not answer.payload:\n"
        "            raise CallError\n"
        "        return answer.payload + '!'\n",
    )
    assert instance.dispatch(CALL) == Blocked([], Call("next", "hello"), 0, SERVICE_NS)
    assert instance.resume(CallReturn.reply("hi")) == Done([], CallReturn.reply("hi!"), 0, 0)
    instance.dispatch(CALL)
    assert instance.resume(ERR) == Done([], ERR, 0, 0)


def test_a_call_that_cannot_be_carried_gets_err_at_once(folder: Path) -> None:
    instance = handling_cast(
        folder,
        "answer = yield self.edgeless.call('oracle', '\\ud800')",
        "self.edgeless.cast('out', answer.kind.name)",
    )
    half = "it has half of a surrogate pair, which is not text"
    assert instance.dispatch(CAST) == Done(
        [Refused("call", half), Cast("out", "ERR")], None, 0, SERVICE_NS
    )


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        ("self.edgeless.cast('out', '\\ud800')", "cast"),
        ("self.edgeless.cast('out', 'x' * (1 << 20) + 'y')", "cast"),
        ("self.edgeless.cast_raw(source, '\\udc00')", "cast_raw"),
        ("self.edgeless.delayed_cast(1, 'out', '\\ud800')", "delayed_cast"),
        ("self.edgeless.sync('ö' * (1 << 19) + 'y')", "sync"),
    ],
)
def test_a_text_that_cannot_be_carried_is_refused_and_the_instance_lives(
    folder: Path, line: str, operation: str
) -> None:
    step = handling_cast(folder, line, "self.edgeless.cast('out', 'on')").dispatch(CAST)
    assert isinstance(step, Done)
    refused, after = step.outputs
    assert isinstance(refused, Refused)
    assert refused.operation == operation
    assert after == Cast("out", "on")


def test_a_payload_of_exactly_the_limit_is_carried(folder: Path) -> None:
    step = handling_cast(folder, "self.edgeless.cast('out', 'x' * (1 << 20))").dispatch(CAST)
    assert step.outputs == [Cast("out", "x" * (1 << 20))]


def test_a_reply_that_cannot_be_carried_is_err(folder: Path) -> None:
    body = "    def handle_call(self, source, message):\n        return '\\ud800'\n"
    step = written(folder, body).dispatch(CALL)
    assert isinstance(step, Done)
    assert step.reply == ERR
    assert [type(output) for output in step.outputs] == [Refused]


def test_a_long_log_entry_is_cut_to_whole_characters(folder: Path) -> None:
    step = handling_cast(folder, "self.edgeless.log('x' + 'ö' * 5000)").dispatch(CAST)
    assert step.outputs == [Log(LogLevel.INFO, "F", "x" + "ö" * 4095)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("raise ValueError('no such thing')", "ValueError: no such thing at f.py:4"),
        ("raise KeyError", "KeyError at f.py:4"),
        ("assert message == 'x', 'odd'", "AssertionError: odd at f.py:4"),
        ("raise ValueError('a\\nb')", "ValueError: a\\u000ab at f.py:4"),
        ("raise SystemExit(3)", "SystemExit: 3 at f.py:4"),
        ("raise CallError('x')", "CallError: x at f.py:4"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError at f.py:4"),
        ("raise GeneratorExit('x')", "GeneratorExit: x at f.py:4"),
        ("raise BaseException('x')", "BaseException: x at f.py:4"),
        ("int('x' * 5)", "ValueError: invalid literal for int() with base 10: 'xxxxx' at f.py:4"),
        ("self.edgeless.cast('out', 7)", "TypeError: a message is a str, not int at f.py:4"),
        ("self.edgeless.cast(7, 'x')", "TypeError: an alias is a str, not int at f.py:4"),
        (
            "self.edgeless.cast_raw(b'x', 'x')",
            "TypeError: a target is the 32-byte key of an instance, such as a source at f.py:4",
        ),
        (
            "self.edgeless.delayed_cast(0.5, 'out', 'x')",
            "TypeError: delay_ms is a whole number, not float at f.py:4",
        ),
        (
            "self.edgeless.delayed_cast(-1, 'out', 'x')",
            "ValueError: delay_ms is between 0 and 18446744073709551615, not -1 at f.py:4",
        ),
        (
            "self.edgeless.log('x', 'loud')",
            "ValueError: unknown log level 'loud'; known: error, warn, info, debug, trace "
            "at f.py:4",
        ),
        ("yield 7", "TypeError: a handler may await nothing but self.edgeless.call(…) at f.py:4"),
        (
            "self.edgeless.call('oracle', message)",
            "RuntimeError: a call was not awaited; write: answer = await self.edgeless.call(…) "
            "at f.py",
        ),
        (
            "while True: self.edgeless.cast('out', 'x')",
            "RuntimeError: more than 10000 outputs of one event at f.py:4",
        ),
    ],
)
def test_a_fault_of_the_code_ends_the_instance_and_says_where(
    folder: Path, line: str, reason: str
) -> None:
    step = handling_cast(folder, line).dispatch(CAST)
    assert isinstance(step, Failed)
    assert step.reason == reason


def test_an_interrupt_is_not_the_fault_of_the_code_that_it_hits(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        handling_cast(folder, "raise KeyboardInterrupt").dispatch(CAST)


def test_a_runaway_loop_sends_the_largest_number_of_outputs_and_no_more(folder: Path) -> None:
    step = handling_cast(folder, "while True: self.edgeless.cast('out', 'x')").dispatch(CAST)
    assert isinstance(step, Failed)
    assert len(step.outputs) == 10_000


def test_a_fault_after_a_call_is_a_failure_too_and_keeps_what_was_sent(folder: Path) -> None:
    instance = handling_cast(
        folder,
        "yield self.edgeless.call('oracle', message)",
        "self.edgeless.cast('out', 'sent')",
        "1 / 0",
    )
    instance.dispatch(CAST)
    assert instance.resume(NO_REPLY) == Failed(
        "ZeroDivisionError: division by zero at f.py:6", [Cast("out", "sent")], 0, 0
    )


def test_a_reason_is_short_whatever_the_code_says(folder: Path) -> None:
    step = handling_cast(folder, "raise ValueError('ö' * 100_000)").dispatch(CAST)
    assert isinstance(step, Failed)
    assert len(step.reason.encode()) <= 1024
    assert step.reason.endswith("at f.py:4")


def test_a_fault_that_cannot_even_be_shown_is_a_failure(folder: Path) -> None:
    instance = handling_cast(
        folder, "class Mute(Exception):", "    def __str__(self): raise self", "raise Mute"
    )
    step = instance.dispatch(CAST)
    assert isinstance(step, Failed)
    assert step.reason == "Mute: (no message) at f.py:6"


def test_a_waiting_handler_cleans_up_when_it_is_discarded(folder: Path) -> None:
    instance = handling_cast(
        folder,
        "try:",
        "    yield self.edgeless.call('oracle', message)",
        "finally:",
        "    open(__file__ + '.closed', 'w').close()",
        "    yield 'once more'",
    )
    instance.dispatch(CAST)
    instance.discard()
    instance.discard()
    assert (folder / "f.py.closed").exists()


def test_each_event_takes_a_drawn_service_time(folder: Path) -> None:
    body = "    service = 'u(1;9)'\n"
    instance, twin = written(folder, body, seed=5), written(folder, body, seed=5)
    drawn = [instance.dispatch(CAST).service_ns for _ in range(20)]
    assert len(set(drawn)) == 20
    assert 1_000_000 <= min(drawn) <= max(drawn) <= 9_000_000
    assert [twin.dispatch(CAST).service_ns for _ in range(20)] == drawn


def test_what_a_function_draws_changes_no_service_time(folder: Path) -> None:
    quiet = written(folder, "    service = 'e(5)'\n", seed=5)
    gambler = handling_cast(folder, "self.edgeless.cast('out', str(self.dice.random()))")
    body = (folder / "f.py").read_text(encoding="utf-8").split("\n", 2)[2]
    gambler = written(folder, f"    service = 'e(5)'\n{body}", seed=5)
    times = [quiet.dispatch(CAST).service_ns for _ in range(5)]
    steps = [gambler.dispatch(CAST) for _ in range(5)]
    assert [step.service_ns for step in steps] == times
    assert len({str(step.outputs) for step in steps}) == 5


def test_a_function_knows_its_own_key(folder: Path) -> None:
    instance = handling_cast(folder, "self.edgeless.cast_raw(self.edgeless.instance, 'x')")
    assert instance.dispatch(CAST).outputs == [CastRaw(PID.key, "x")]
