"""Map-reduce workflows of drawn shapes, as EDGELESS's benchmark starts them (spec 11.3).

A trigger casts vectors to the first stage; each stage splits them over processes, and the next one
adds up what they pass on. Begin and end of every transaction are log entries, ``tbegin`` and
``tend``, of the first and the last stage. Not here: when a workflow is started (`arrivals`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from pydantic import AfterValidator, Field

from edgeless_sim.errors import WorkflowSpecError
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.model.annotations import INIT_PAYLOAD
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.function_file import load_function_file
from edgeless_sim.model.names import clipped
from edgeless_sim.model.toml_table import Few, Name, Table
from edgeless_sim.model.workflow import (
    CODE_BYTES_MAX,
    SpawnWorkflowRequest,
    WorkflowFunction,
    WorkflowResource,
)
from edgeless_sim.scenario.units import Duration

__all__ = ["MapReduceClasses", "MapReduceMaker", "MapReduceTable", "model_service_ms"]

#: `bench_mapreduce` has so many outputs.
FAN_OUT_MAX: Final = 20
#: Of a bench_process at 3 GHz: the fuel of a Fibonacci number grows with its square, as that of
#: ``edgeless-sim invoke functions/bench_process`` does (8.6 M for 5,000).
_NS_PER_SQUARED_UNIT: Final = 0.086


def _ordered(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        raise ValueError(f"the first is the least: [{value[1]}, {value[0]}]")
    return value


_Range: TypeAlias = Annotated[
    tuple[
        Annotated[int, Field(ge=1, le=1_000_000)],
        Annotated[int, Field(ge=1, le=1_000_000)],
    ],
    Few,
    AfterValidator(_ordered),
]
_Branches: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=1, le=20)], Annotated[int, Field(ge=1, le=20)]],
    Few,
    AfterValidator(_ordered),
]
_Interval: TypeAlias = Annotated[
    tuple[Annotated[Duration, Field(ge=1_000_000)], Annotated[Duration, Field(ge=1_000_000)]],
    Few,
    AfterValidator(_ordered),
]


class MapReduceTable(Table):
    """``[workload.map_reduce]``: from where to where each number of a workflow is drawn."""

    functions: Name = "../../functions"
    """The folder of ``trigger``, ``bench_mapreduce`` and ``bench_process``."""
    transaction_interval: _Interval = (500_000_000, 1_500_000_000)
    """Between two transactions of one workflow, in whole ms."""
    input_size: _Range = (100, 1_000)
    """Elements of a vector."""
    stages: _Branches = (1, 3)
    fan_out: _Branches = (1, 3)
    """Processes of a stage."""
    work: _Range = (1_000, 5_000)
    """Of a process: which Fibonacci number it computes."""
    process: Literal["model", "wasm"] = "model"
    """``model``: takes the time that the computation would at 3 GHz, without computing."""
    redis_url: str = ""
    """Where the last transaction is remembered; empty = nowhere."""


@dataclass(frozen=True, slots=True)
class MapReduceClasses:
    """The functions that such workflows consist of."""

    trigger: FunctionClassSpecification
    stage: FunctionClassSpecification
    process: FunctionClassSpecification

    @classmethod
    def read(cls, folder: Path) -> "MapReduceClasses":
        """Those of the library in *folder*; raise `SpecError` for what is not there."""
        names = ("trigger", "bench_mapreduce", "bench_process")
        return cls(*(_class_in(folder / name) for name in names))


class MapReduceMaker:
    """Makes the workflow of each number, with dice of its own."""

    def __init__(self, table: MapReduceTable, classes: MapReduceClasses, seed: int) -> None:
        self._table = table
        self._classes = classes
        self._entropy = Entropy(seed)
        self.warnings: list[str] = []
        self.first = self.request(0)

    def request(self, number: int) -> SpawnWorkflowRequest:
        """The workflow *number*; always the same one for the same seed."""
        # A number of its own each, so that what is drawn does not depend on which were refused.
        dice = self._entropy.stream(str(number))
        table = self._table
        stages = dice.randint(*table.stages)
        low_ms, high_ms = (each // 1_000_000 for each in table.transaction_interval)
        trigger = WorkflowFunction(
            "trigger",
            self._classes.trigger,
            {"out": "s0"},
            {
                INIT_PAYLOAD: "out_type=rand_vec,use_base64=true,"
                f"size={dice.randint(*table.input_size)},arrival=c({dice.randint(low_ms, high_ms)})"
            },
        )
        fans = [dice.randint(*table.fan_out) for _ in range(stages)]
        functions = [trigger, *self._stages(fans), *self._processes(fans, dice)]
        return SpawnWorkflowRequest(tuple(functions), self._resources())

    def _stages(self, fans: list[int]) -> Iterator[WorkflowFunction]:
        for number in range(len(fans) + 1):
            is_last = number == len(fans)
            inputs = _listed(fans[number - 1]) if number else ""
            outputs = "" if is_last else _listed(fans[number])
            asks = bool(self._table.redis_url)
            payload = (
                f"init_id_from_redis={_said(asks)},is_first={_said(not number)},"
                f"is_last={_said(is_last)},use_base64=true,inputs={inputs},outputs={outputs}"
            )
            fan = 0 if is_last else fans[number]
            mapping = {f"out-{branch}": f"p{number}-{branch}" for branch in range(fan)}
            if asks and (is_last or not number):
                mapping["redis"] = "redis"
            yield WorkflowFunction(
                f"s{number}", self._classes.stage, mapping, {INIT_PAYLOAD: payload}
            )

    def _processes(self, fans: list[int], dice: Random) -> Iterator[WorkflowFunction]:
        for number, fan in enumerate(fans):
            for branch in range(fan):
                work = dice.randint(*self._table.work)
                if self._table.process == "wasm":
                    payload = f"forward=true,fibonacci={work},allocate=0"
                    specification = self._classes.process
                else:
                    payload = f"service=c({model_service_ms(work):.6f})"
                    specification = _MODEL
                yield WorkflowFunction(
                    f"p{number}-{branch}",
                    specification,
                    {"out": f"s{number + 1}"},
                    {INIT_PAYLOAD: payload},
                )

    def _resources(self) -> tuple[WorkflowResource, ...]:
        if not self._table.redis_url:
            return ()
        configuration = {
            "url": self._table.redis_url,
            "key": "last_transaction_id",
            "add-workflow-id": "true",
        }
        return (WorkflowResource("redis", "redis", {}, configuration),)


def model_service_ms(work: int) -> float:
    """How long a `bench_process` of so much *work* takes on an idle core of 3 GHz, in ms."""
    return _NS_PER_SQUARED_UNIT * work * work / 1e6


_MODEL: Final = FunctionClassSpecification("model", "MODELLED", "0.1", outputs=("out",))


def _class_in(folder: Path) -> FunctionClassSpecification:
    specification, _ = load_function_file(folder / "function.json")
    file = folder / (specification.code or "")
    try:
        binary = read_regular_file(file, CODE_BYTES_MAX)
    except (FileNotFoundError, ValueError) as cause:
        raise WorkflowSpecError(clipped(f"{file}: {cause}")) from None
    return msgspec.structs.replace(specification, binary=binary)


def _listed(count: int) -> str:
    return ":".join(map(str, range(count)))


def _said(value: bool) -> str:
    return "true" if value else "false"
