"""The run-time of ``RUST_WASM``: compiled functions, whatever language they were written in.

Nothing is opened, reserved or compiled before the first guest is wanted. One run-time serves a
whole process; it and its guests belong to the thread that uses them.
"""

from pathlib import Path
from random import Random
from typing import ClassVar, Final

from edgeless_sim.errors import BadCodeError, RejectedError, TrapError
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.wasm.binding import load_binding
from edgeless_sim.runtimes.wasm.cache import module_loader
from edgeless_sim.runtimes.wasm.instance import Limits, WasmInstance
from edgeless_sim.runtimes.wasm.machine import Machine
from edgeless_sim.runtimes.wasm.modules import GuestModule
from edgeless_sim.runtimes.wasm.prescan import PAGE_BYTES, ModuleReport

__all__ = ["WasmRuntime"]

#: Mappings of a fiber: its stack and the guard page below it.
_MAPPINGS_PER_FIBER: Final = 2
#: Mappings left to everything else in the process.
_MAPPINGS_SPARED: Final = 5_000
_MAX_MAP_COUNT: Final = Path("/proc/sys/vm/max_map_count")
_MAX_MAP_COUNT_DEFAULT: Final = 65_530


class WasmRuntime:
    """Makes WebAssembly guests; see `FunctionRuntime`."""

    function_type: ClassVar[str] = "RUST_WASM"

    def __init__(self, settings: RuntimeSettings) -> None:
        assert settings.memory_bytes_max >= PAGE_BYTES
        self._settings = settings
        self._limits = Limits(settings.fuel_per_event, settings.fuel_per_init)
        self._machine: Machine | None = None
        # Keeps guests alive until they are discarded; a dict, because it has an order.
        self._instances: dict[WasmInstance, bool] = {}
        self._fibers_in_use = 0
        self._fibers_max = _fibers_max()
        self._closed = False

    def instantiate(
        self, pid: InstanceId, request: SpawnFunctionRequest, dice: Random
    ) -> WasmInstance:
        """Make an instance of ``request.code.binary``.

        Raises BadCodeError if the code cannot be loaded, RejectedError if there are as many
        guests as the settings or the system allow. *dice* is not used: a guest has no source of
        randomness.
        """
        del dice
        code = request.code.binary
        if not code:
            raise BadCodeError(f"function class {request.code.id!r} has no code")
        machine = self._ready()
        return self._make(machine, machine.modules.load(code), pid.key)

    def check(self, code: bytes) -> ModuleReport:
        """Check, compile and instantiate *code*, run its start function, and throw it away.

        Raises BadCodeError for what `instantiate` would refuse, and TrapError if the start
        function traps or runs longer than an init may.
        """
        machine = self._ready()
        module = machine.modules.load(code)
        instance = self._make(machine, module, bytes(32))
        try:
            reason = instance.try_start()
        finally:
            instance.discard()
        if reason is not None:
            raise TrapError(f"the start function failed: {reason}")
        return module.report

    def close(self) -> None:
        """Discard all guests and free everything. Idempotent."""
        self._closed = True
        for instance in list(self._instances):
            instance.discard()
        machine, self._machine = self._machine, None
        if machine is not None:
            machine.close()

    def _ready(self) -> Machine:
        assert not self._closed, "the run-time is closed"
        if self._machine is None:
            settings = self._settings
            self._machine = Machine(
                load_binding(),
                settings.memory_bytes_max // PAGE_BYTES * PAGE_BYTES,
                settings.instances_max,
                module_loader(settings.module_cache),
            )
        return self._machine

    def _make(self, machine: Machine, module: GuestModule, key: bytes) -> WasmInstance:
        fiber = module.report.may_block
        if fiber and self._fibers_in_use >= self._fibers_max:
            raise RejectedError(
                "too many guests that may call",
                f"{self._fibers_max} are running already; raise vm.max_map_count",
            )
        instance = WasmInstance(
            machine,
            machine.assemble(module, key),
            limits=self._limits,
            fiber=fiber,
            start=module.start is not None,
            on_discard=self._forget,
        )
        self._instances[instance] = fiber
        self._fibers_in_use += fiber
        return instance

    def _forget(self, instance: WasmInstance) -> None:
        self._fibers_in_use -= self._instances.pop(instance, False)


def _fibers_max() -> int:
    # The process must never run into the limit: the library cannot recover from it.
    try:
        mappings = int(_MAX_MAP_COUNT.read_text())
    except (OSError, ValueError):
        mappings = _MAX_MAP_COUNT_DEFAULT
    return max(1, (mappings - _MAPPINGS_SPARED) // _MAPPINGS_PER_FIBER)
