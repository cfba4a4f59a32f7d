"""One Python function by itself, in an ordinary test: no cluster, no loop, no node.

It is driven as its run-time drives it. Time does not pass: a delayed cast is an output like others,
and its test sends it when it wants to. Not here: functions that are compiled (`edgeless-sim
invoke`), and several that talk to one another (the fixture ``cluster``).
"""

import inspect
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from edgeless_sim.errors import TrapError
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId
from edgeless_sim.runtimes.base import (
    Blocked,
    Call,
    CallRaw,
    Failed,
    GuestEvent,
    GuestEventKind,
    Output,
)
from edgeless_sim.runtimes.python import instance_of
from edgeless_sim.runtimes.python_function import PythonFunction

__all__ = ["FunctionAlone"]

_NODE: Final = NodeId(UUID(int=1))
_SELF: Final = InstanceId(_NODE, FunctionId(UUID(int=2)))
_SOMEBODY: Final = InstanceId(_NODE, FunctionId(UUID(int=3)))
#: More calls while one event is handled are a loop without end.
_CALLS_MAX: Final = 1_000


class FunctionAlone:
    """An instance of *function*, which has been initialised when this returns.

    *init* and *state* are what ``handle_init`` gets. *answers* are the replies to its calls, by
    channel; a call to any other, or to an instance, gets Err. Assign to ``answers`` to change them.

    Raises `TrapError` here and from each event if a handler ends the instance, and `BadCodeError`
    if the class cannot be made.
    """

    #: The key of whoever casts and calls, unless a test says who.
    somebody: Final = _SOMEBODY.key

    def __init__(
        self,
        function: type[PythonFunction],
        *,
        init: str | None = None,
        state: str | None = None,
        answers: Mapping[str, str | CallReturn] | None = None,
        seed: int = 0,
    ) -> None:
        dice = Entropy(seed).stream("instance")
        filename = inspect.getsourcefile(function) or function.__module__
        self._instance = instance_of(function, _SELF, dice, filename=filename)
        self.answers: Mapping[str, str | CallReturn] = answers or {}
        #: Everything it has done so far, in order: casts, logs, states that were synced ...
        self.outputs: list[Output] = []
        #: Everything it has asked somebody, in order.
        self.calls: list[Call | CallRaw] = []
        self._enter(GuestEvent(GuestEventKind.INIT, b"", init, state))

    def cast(self, message: str, *, source: bytes = somebody) -> list[Output]:
        """Cast *message* to it; return what it did, calls not included."""
        before = len(self.outputs)
        self._enter(GuestEvent(GuestEventKind.CAST, source, message))
        return self.outputs[before:]

    def call(self, message: str, *, source: bytes = somebody) -> CallReturn:
        """Call it with *message*; return its answer."""
        return self._enter(GuestEvent(GuestEventKind.CALL, source, message))

    def stop(self) -> list[Output]:
        """Stop it; return what it did. Nothing may be sent to it afterwards."""
        before = len(self.outputs)
        self._enter(GuestEvent(GuestEventKind.STOP))
        self._instance.discard()
        return self.outputs[before:]

    def _enter(self, event: GuestEvent) -> CallReturn:
        step = self._instance.dispatch(event)
        self.outputs += step.outputs
        asked = 0
        while isinstance(step, Blocked):
            asked += 1
            if asked > _CALLS_MAX:
                self._instance.discard()
                raise TrapError(f"it made more than {_CALLS_MAX} calls in one event")
            self.calls.append(step.call)
            step = self._instance.resume(self._answer(step.call))
            self.outputs += step.outputs
        if isinstance(step, Failed):
            raise TrapError(step.reason)
        return step.reply or NO_REPLY

    def _answer(self, call: Call | CallRaw) -> CallReturn:
        answer = self.answers.get(call.alias, ERR) if isinstance(call, Call) else ERR
        return CallReturn.reply(answer) if isinstance(answer, str) else answer
