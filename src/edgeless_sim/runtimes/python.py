"""PYTHON functions: a class in a file, ``code = "file.py:Class"`` (design, decision 25).

For trying things out, in simulations and tests. The code is trusted: it runs in this process with
all its rights, cannot be interrupted, and is loaded only from folders that the operator allowed.
Not here: what an author writes against (`python_function`).
"""

import inspect
import sys
from collections.abc import Callable, Coroutine, Generator
from hashlib import sha256
from pathlib import Path
from random import Random
from types import CoroutineType, GeneratorType, ModuleType, TracebackType
from typing import ClassVar, Final, TypeAlias, TypeGuard

from edgeless_sim.errors import BadCodeError
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.names import clipped, quoted, suggestion, text_fault
from edgeless_sim.runtimes.base import (
    PAYLOAD_BYTES_MAX,
    Blocked,
    Done,
    Failed,
    GuestEvent,
    GuestEventKind,
    Output,
    RuntimeSettings,
    Step,
)
from edgeless_sim.runtimes.distribution import Distribution, parse_distribution
from edgeless_sim.runtimes.python_function import (
    NOT_YIELDED,
    CallError,
    Edgeless,
    PythonFunction,
)

__all__ = [
    "CallError",
    "Edgeless",
    "PythonFunction",
    "PythonInstance",
    "PythonRuntime",
    "instance_of",
]

_FILE_BYTES_MAX: Final = 1 << 20
_MODULES_MAX: Final = 256
_WORDS_BYTES_MAX: Final = 600
_HANDLERS: Final = ("handle_init", "handle_cast", "handle_call", "handle_stop")

_Handling: TypeAlias = (
    Generator[object, CallReturn | None, object] | Coroutine[object, CallReturn | None, object]
)


class PythonInstance:
    """One instance of a `PythonFunction`; see `FunctionInstance`.

    An event takes the drawn service time up to its first call or its end; what comes after a
    call takes none. An exception in a handler ends the instance.
    """

    __slots__ = ("_dice", "_filename", "_function", "_kind", "_outputs", "_service", "_steps")

    def __init__(
        self, function: PythonFunction, filename: str, service: Distribution, dice: Random
    ) -> None:
        self._function = function
        self._filename = filename
        self._service = service
        self._dice = dice
        self._kind = GuestEventKind.INIT
        self._outputs: list[Output] = []
        #: The handler that waits for a call.
        self._steps: _Handling | None = None

    def dispatch(self, event: GuestEvent) -> Step:
        """See `FunctionInstance.dispatch`."""
        assert self._steps is None, "the driver serialises the events of an instance"
        self._kind = event.kind
        service_ns = self._service.draw_ns(self._dice)
        return self._segment(lambda: self._entered(event, service_ns), service_ns)

    def resume(self, reply: CallReturn) -> Step:
        """See `FunctionInstance.resume`."""
        steps = self._steps
        assert steps is not None, "nothing waits for a call"
        return self._segment(lambda: self._advanced(steps, reply, 0), 0)

    def discard(self) -> None:
        """See `FunctionInstance.discard`. ``finally`` blocks of a waiting handler run."""
        steps, self._steps = self._steps, None
        if steps is not None:
            try:
                steps.close()
            except BaseException as fault:  # noqa: BLE001 - see `_theirs`
                _theirs(fault)
                # The instance is gone; what its code has to say about that concerns nobody.
                return

    def _segment(self, run: Callable[[], Step], service_ns: int) -> Step:
        """Run the function's code to its end or next call; its faults become values here."""
        outputs = self._outputs = self._function.edgeless.begin_segment()
        try:
            return run()
        except BaseException as fault:  # noqa: BLE001 - see `_theirs`
            _theirs(fault)
            self._function.edgeless.take_call()
            if isinstance(fault, CallError) and self._kind == GuestEventKind.CALL:
                self._steps = None
                return Done(outputs, ERR, 0, service_ns)
            reason = _described(fault, self._filename, self._waiting_line())
            self.discard()
            return Failed(reason, outputs, 0, service_ns)

    def _entered(self, event: GuestEvent, service_ns: int) -> Step:
        function, kind = self._function, event.kind
        result: object
        if kind == GuestEventKind.CAST:
            result = function.handle_cast(event.source, event.payload or "")
        elif kind == GuestEventKind.CALL:
            result = function.handle_call(event.source, event.payload or "")
        elif kind == GuestEventKind.INIT:
            result = function.handle_init(event.payload, event.state)
        else:
            result = function.handle_stop()
        if isinstance(result, GeneratorType | CoroutineType):
            self._steps = result
            return self._advanced(result, None, service_ns)
        return self._ended(result, service_ns)

    def _advanced(self, steps: _Handling, reply: CallReturn | None, service_ns: int) -> Step:
        edgeless = self._function.edgeless
        try:
            while True:
                yielded = steps.send(reply)
                call = edgeless.take_call()
                if call is None or yielded is not call:
                    raise TypeError("a handler may await nothing but self.edgeless.call(…)")
                if not edgeless.refused(call):
                    return Blocked(self._outputs, call, 0, service_ns)
                reply = ERR
        except StopIteration as end:
            self._steps = None
            return self._ended(end.value, service_ns)

    def _ended(self, result: object, service_ns: int) -> Step:
        edgeless = self._function.edgeless
        if edgeless.take_call() is not None:
            raise RuntimeError(NOT_YIELDED)
        if self._kind != GuestEventKind.CALL:
            return Done(self._outputs, None, 0, service_ns)
        if result is None:
            return Done(self._outputs, NO_REPLY, 0, service_ns)
        if not isinstance(result, str):
            raise TypeError(f"handle_call returns a str or None, not {type(result).__name__}")
        fault = text_fault(result, PAYLOAD_BYTES_MAX)
        if fault is not None:
            edgeless.refuse("reply", fault)
            return Done(self._outputs, ERR, 0, service_ns)
        return Done(self._outputs, CallReturn.reply(result), 0, service_ns)

    def _waiting_line(self) -> int | None:
        steps = self._steps
        frame = getattr(steps, "gi_frame", None) or getattr(steps, "cr_frame", None)
        return None if frame is None else frame.f_lineno


class PythonRuntime:
    """Loads classes from the allowed folders. One module per file name and content.

    Variables of a module are shared by all its instances, on whatever node; keep state in
    ``self``. The folders are not importable: a function is one file.
    """

    function_type: ClassVar[str] = "PYTHON"

    def __init__(self, settings: RuntimeSettings) -> None:
        self._folders = tuple(folder.resolve() for folder in settings.python_folders)
        self._modules: dict[str, ModuleType] = {}

    def instantiate(
        self, pid: InstanceId, request: SpawnFunctionRequest, dice: Random
    ) -> PythonInstance:
        """See `FunctionRuntime.instantiate`."""
        file_name, _, class_name = (request.code.code or "").rpartition(":")
        if not file_name or not class_name:
            raise BadCodeError(
                f'a PYTHON function names its class, "code": "file.py:Class", '
                f"not {quoted(request.code.code or '')}"
            )
        module = self._module(self._found(file_name))
        return instance_of(_class_of(module, class_name), pid, dice, filename=str(module.__file__))

    def close(self) -> None:
        """See `FunctionRuntime.close`."""
        while self._modules:
            _forget(self._modules.popitem()[1])

    def _found(self, name: str) -> Path:
        """The file *name* in the first folder that has it, as long as it lies in that folder."""
        for folder in self._folders:
            try:
                path = (folder / name).resolve()
                if path.is_relative_to(folder) and path.is_file():
                    return path
            except (OSError, RuntimeError, ValueError):  # e.g. a loop of links, or a NUL
                continue
        if not self._folders:
            raise BadCodeError("no folder is allowed for PYTHON functions: set python_folders")
        folders = ", ".join(folder.name for folder in self._folders)
        raise BadCodeError(clipped(f"{quoted(name)} is in none of the allowed folders: {folders}"))

    def _module(self, path: Path) -> ModuleType:
        try:
            source = read_regular_file(path, _FILE_BYTES_MAX)
        except (OSError, ValueError) as cause:
            raise BadCodeError(clipped(f"{path.name}: {cause}")) from None
        name = f"edgeless_function_{path.stem}_{sha256(source).hexdigest()[:16]}"
        module = self._modules.get(name)
        if module is None:
            if len(self._modules) >= _MODULES_MAX:
                _forget(self._modules.pop(next(iter(self._modules))))
            module = self._modules[name] = _executed(name, path, source)
        return module


def instance_of(
    made: type[PythonFunction], pid: InstanceId, dice: Random, *, filename: str
) -> PythonInstance:
    """An instance of the class *made* in *filename*; raise `BadCodeError` if there is none."""
    try:
        service = parse_distribution(made.service)
    except (TypeError, ValueError) as cause:
        raise BadCodeError(clipped(f"{made.__name__}.service: {cause}")) from None
    try:
        function = made()
    except BaseException as fault:  # noqa: BLE001 - see `_theirs`
        _theirs(fault)
        raise BadCodeError(_described(fault, filename)) from None
    # The function's own draws must not change how long its events take.
    service_dice = Random(dice.getrandbits(128))  # noqa: S311 - repeatable, not secret
    function.edgeless = Edgeless(pid.key, made.__name__)
    function.dice = dice
    return PythonInstance(function, filename, service, service_dice)


def _theirs(fault: BaseException) -> None:
    """Raise *fault* again if it is Ctrl-C, which is not the function's; all else is.

    Of what is no `Exception`, ``SystemExit`` would end the process, ``CancelledError`` the task
    that happens to drive the function, and anything else would pass every boundary.
    """
    if isinstance(fault, KeyboardInterrupt):
        raise fault


def _executed(name: str, path: Path, source: bytes) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = str(path)
    # Dataclasses and type hints look their module up by name.
    sys.modules[name] = module
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - to run it is what this module is for
    except SyntaxError as fault:
        _forget(module)
        line = fault.lineno if fault.filename == str(path) else None
        raise BadCodeError(_described(fault, str(path), line)) from None
    except BaseException as fault:  # noqa: BLE001 - see `_theirs`
        _forget(module)
        _theirs(fault)
        raise BadCodeError(_described(fault, str(path))) from None
    return module


def _forget(module: ModuleType) -> None:
    """Take *module* out of `sys.modules`, unless another run-time put its own there."""
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


def _class_of(module: ModuleType, name: str) -> type[PythonFunction]:
    place = Path(str(module.__file__)).name
    found = vars(module).get(name)
    if not _is_function_class(found):
        known = [each for each, value in vars(module).items() if _is_function_class(value)]
        fault = "there is no class" if found is None else "this is no PythonFunction:"
        raise BadCodeError(clipped(f"{place}: {fault} {quoted(name)}{suggestion(name, known)}"))
    for handler in _HANDLERS:
        method = getattr(found, handler)
        if inspect.isasyncgenfunction(method):
            raise BadCodeError(f"{place}: {name}.{handler} is async and yields: write await")
    return found


def _is_function_class(value: object) -> TypeGuard[type[PythonFunction]]:
    return (
        isinstance(value, type)
        and issubclass(value, PythonFunction)
        and value is not PythonFunction
    )


def _described(fault: BaseException, filename: str, line: int | None = None) -> str:
    """``ValueError: what it says at file.py:12``; the innermost line of the function's file."""
    try:
        # The first argument of a SyntaxError is its message without the place.
        words = str(fault.args[0]) if isinstance(fault, SyntaxError) else str(fault)
    except BaseException as silent:  # noqa: BLE001 - see `_theirs`
        _theirs(silent)
        words = "(no message)"
    raised = _line_in(fault.__traceback__, filename)
    number = line if raised is None else raised
    place = Path(filename).name if number is None else f"{Path(filename).name}:{number}"
    # Cut before the place is added, which is the more useful part.
    words = clipped(words).encode()[:_WORDS_BYTES_MAX].decode(errors="ignore")
    named = f"{type(fault).__name__}: {words}" if words else type(fault).__name__
    return clipped(f"{named} at {place}")


def _line_in(traceback: TracebackType | None, filename: str) -> int | None:
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
