"""One function alone: it is begun, gets events, is stopped; everything that it does is told.

There is no node and no other function: what it casts goes nowhere, and a call gets the answer that
the trial was made with.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from edgeless_sim.kernel.clock import wall_seconds
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn, CallReturnKind
from edgeless_sim.model.function import SpawnFunctionRequest, StateSpecification
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.runtimes.base import (
    Blocked,
    Call,
    Cast,
    CastRaw,
    DelayedCast,
    Done,
    Failed,
    FunctionInstance,
    GuestEvent,
    GuestEventKind,
    Log,
    LogLevel,
    Output,
    Refused,
    RuntimeSettings,
    Step,
    Sync,
)
from edgeless_sim.runtimes.catalog import RuntimeCatalog
from edgeless_sim.toolchain.building import Built

__all__ = ["Report", "Trial", "TrialEvent"]

_NODE: Final = NodeId(UUID(int=1))
_SELF: Final = InstanceId(_NODE, FunctionId(UUID(int=2)))
_SOURCE: Final = InstanceId(_NODE, FunctionId(UUID(int=3)))
_CALLS_MAX: Final = 1_000
_LEVELS: Final = {level.value: level.name for level in LogLevel}


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """Something to give to the function."""

    kind: GuestEventKind
    payload: str


@dataclass(frozen=True, slots=True)
class Report:
    """What one event came to."""

    kind: str
    """``init``, ``cast``, ``call`` or ``stop``."""
    payload: str | None
    done: list[dict[str, object]]
    """What the function did, in order: each with a key ``did`` and what belongs to it."""
    reply: str | None
    """Of a call; None = no reply."""
    failed: str | None
    """Why the function failed; nothing comes after that."""
    fuel: int
    service_ns: int
    """The declared time of functions that have no fuel."""
    wall_us: int
    """Of this machine, for information."""


class Trial:
    """Runs events through one instance. *reply* answers its calls; None = they fail."""

    def __init__(
        self,
        built: Built,
        *,
        init: str | None = None,
        state: str | None = None,
        reply: str | None = None,
        seed: int = 0,
    ) -> None:
        self._built = built
        self._init = init
        self._state = state
        self._answer = ERR if reply is None else CallReturn.reply(reply)
        self._seed = seed

    def run(self, events: Sequence[TrialEvent]) -> Iterator[Report]:
        """A report for each of init, *events* and stop, up to the first failure.

        Raise `BadCodeError` if the code cannot be loaded.
        """
        settings = RuntimeSettings(python_folders=(self._built.folder.resolve(),))
        with closing(RuntimeCatalog(settings)) as catalog:
            request = self._request()
            runtime = catalog.get(request.code.function_type)
            dice = Entropy(self._seed).stream("instance")
            instance = runtime.instantiate(_SELF, request, dice)
            steps = [
                GuestEvent(GuestEventKind.INIT, b"", self._init, self._state),
                *(GuestEvent(event.kind, _SOURCE.key, event.payload) for event in events),
                GuestEvent(GuestEventKind.STOP),
            ]
            try:
                for step in steps:
                    report = self._enter(instance, step)
                    yield report
                    if report.failed is not None:
                        return
            finally:
                instance.discard()

    def _request(self) -> SpawnFunctionRequest:
        code = self._built.specification
        module = self._built.module
        if module is not None:
            code = msgspec.structs.replace(code, binary=module.read_bytes())
        annotations = {} if self._init is None else {"init-payload": self._init}
        nobody = UUID(int=0)
        return SpawnFunctionRequest(
            code, annotations, StateSpecification(nobody), WorkflowId(nobody), code.id
        )

    def _enter(self, instance: FunctionInstance, event: GuestEvent) -> Report:
        began = wall_seconds()
        done: list[dict[str, object]] = []
        fuel = service_ns = calls = 0
        step: Step = instance.dispatch(event)
        while True:
            fuel += step.fuel
            service_ns += step.service_ns
            done += [_told(output) for output in step.outputs]
            if not isinstance(step, Blocked) or calls >= _CALLS_MAX:
                break
            calls += 1
            done.append(self._told_call(step))
            step = instance.resume(self._answer)
        wall_us = round((wall_seconds() - began) * 1e6)
        failed = step.reason if isinstance(step, Failed) else None
        if isinstance(step, Blocked):
            failed = f"it made more than {_CALLS_MAX} calls"
        return Report(
            event.kind.name.lower(),
            event.payload,
            done,
            _reply(step),
            failed,
            fuel,
            service_ns,
            wall_us,
        )

    def _told_call(self, step: Blocked) -> dict[str, object]:
        call = step.call
        to = call.alias if isinstance(call, Call) else call.target.hex()
        answered = self._answer.payload if self._answer is not ERR else None
        return {"did": "call", "to": to, "payload": call.payload, "answered": answered}


def _reply(step: Step) -> str | None:
    if isinstance(step, Done) and step.reply is not None:
        if step.reply.kind is CallReturnKind.ERR:
            return "(error)"
        if step.reply != NO_REPLY:
            return step.reply.payload
    return None


def _told(output: Output) -> dict[str, object]:
    match output:
        case Cast():
            return {"did": "cast", "to": output.alias, "payload": output.payload}
        case CastRaw():
            return {"did": "cast", "to": output.target.hex(), "payload": output.payload}
        case DelayedCast():
            return {
                "did": "delayed_cast",
                "to": output.alias,
                "payload": output.payload,
                "delay_ms": output.delay_ms,
            }
        case Log():
            level = _LEVELS.get(output.level, "ERROR")
            return {"did": "log", "level": level, "target": output.target, "text": output.message}
        case Sync():
            return {"did": "sync", "state": output.state}
        case Refused():
            return {"did": "refused", "operation": output.operation, "cause": output.cause}
