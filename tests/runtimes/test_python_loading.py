"""From ``file.py:Class`` to a class: where code may come from, and what is refused."""

import sys
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import pytest

from edgeless_sim.errors import BadCodeError
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.runtimes.base import Cast, GuestEvent, GuestEventKind, RuntimeSettings
from edgeless_sim.runtimes.python import PythonInstance, PythonRuntime

PID: Final = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=2)))
CAST: Final = GuestEvent(GuestEventKind.CAST, b"s" * 32, "hello")
ECHO: Final = """\
from edgeless_sim.runtimes.python import PythonFunction
COUNT = []
class Echo(PythonFunction):
    def handle_cast(self, source, message):
        COUNT.append(message)
        self.edgeless.cast("out", f"WORD {len(COUNT)}")
"""


def runtime(*folders: Path) -> PythonRuntime:
    return PythonRuntime(RuntimeSettings(python_folders=folders))


def started(runtime: PythonRuntime, code: str | None) -> PythonInstance:
    request = SpawnFunctionRequest(
        code=FunctionClassSpecification("f", "PYTHON", "1", code=code),
        annotations={},
        state_specification=StateSpecification(UUID(int=3)),
        workflow_id=WorkflowId(UUID(int=4)),
    )
    return runtime.instantiate(PID, request, Random(1))


def refusal(runtime: PythonRuntime, code: str | None) -> str:
    with pytest.raises(BadCodeError) as found:
        started(runtime, code)
    return str(found.value)


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed"
    (folder / "deep").mkdir(parents=True)
    (folder / "echo.py").write_text(ECHO, encoding="utf-8")
    (folder / "deep" / "echo2.py").write_text(ECHO, encoding="utf-8")
    (tmp_path / "outside.py").write_text("open(__file__ + '.ran', 'w')", encoding="utf-8")
    return folder


@pytest.mark.parametrize("code", ["echo.py:Echo", "deep/echo2.py:Echo", "deep/../echo.py:Echo"])
def test_a_class_below_an_allowed_folder_is_loaded(allowed: Path, code: str) -> None:
    assert started(runtime(allowed), code).dispatch(CAST).outputs == [Cast("out", "WORD 1")]


def test_an_absolute_path_is_good_if_it_lies_in_an_allowed_folder(allowed: Path) -> None:
    started(runtime(allowed), f"{allowed}/echo.py:Echo")


def test_the_first_folder_that_has_the_file_counts(allowed: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    (second / "echo.py").write_text(ECHO.replace("WORD", "SECOND"), encoding="utf-8")
    both = runtime(second, allowed)
    assert started(both, "echo.py:Echo").dispatch(CAST).outputs == [Cast("out", "SECOND 1")]
    assert started(both, "deep/echo2.py:Echo").dispatch(CAST).outputs == [Cast("out", "WORD 1")]


@pytest.mark.parametrize("name", ["../outside.py", "link.py", "deep/../../outside.py", "ABSOLUTE"])
def test_nothing_outside_of_the_allowed_folders_is_run(
    allowed: Path, tmp_path: Path, name: str
) -> None:
    (allowed / "link.py").symlink_to(tmp_path / "outside.py")
    name = str(tmp_path / "outside.py") if name == "ABSOLUTE" else name
    assert "is in none of the allowed folders: allowed" in refusal(runtime(allowed), f"{name}:F")
    assert not (tmp_path / "outside.py.ran").exists()


@pytest.mark.parametrize("name", ["missing.py", "deep", "", "a\x00b.py", "x" * 5000, "loop.py"])
def test_what_is_no_file_is_refused(allowed: Path, name: str) -> None:
    (allowed / "loop.py").symlink_to("loop.py")
    assert len(refusal(runtime(allowed), f"{name}:F")) <= 1024


def test_without_allowed_folders_nothing_is_loaded(allowed: Path) -> None:
    assert refusal(runtime(), f"{allowed}/echo.py:Echo") == (
        "no folder is allowed for PYTHON functions: set python_folders"
    )


@pytest.mark.parametrize("code", [None, "", "echo.py", ":Echo", "echo.py:"])
def test_a_code_that_names_no_class_is_refused_with_the_form(
    allowed: Path, code: str | None
) -> None:
    assert '"code": "file.py:Class"' in refusal(runtime(allowed), code)


def test_a_missing_class_is_refused_with_the_nearest_one(allowed: Path) -> None:
    assert refusal(runtime(allowed), "echo.py:Ecko") == (
        "echo.py: there is no class 'Ecko'; did you mean 'Echo'?"
    )


@pytest.mark.parametrize("name", ["COUNT", "PythonFunction"])
def test_what_is_no_function_class_is_refused(allowed: Path, name: str) -> None:
    assert "this is no PythonFunction" in refusal(runtime(allowed), f"echo.py:{name}")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1\ndef (:\n", "SyntaxError: invalid syntax at bad.py:2"),
        ("x = 1\n1 / 0\n", "ZeroDivisionError: division by zero at bad.py:2"),
        ("import sys\nsys.exit(1)\n", "SystemExit: 1 at bad.py:2"),
        ("x = 1\nraise GeneratorExit\n", "GeneratorExit at bad.py:2"),
        ("import not_there_x\n", "ModuleNotFoundError: No module named 'not_there_x' at bad.py:1"),
        ("\x00", "at bad.py"),
        ("'" + "x" * (1 << 20) + "'", "bad.py: has more than 1048576 bytes"),
        (
            "from edgeless_sim import PythonFunction\n"
            "class F(PythonFunction):\n"
            "    async def handle_cast(self, source, message):\n"
            "        yield self.edgeless.call('a', message)\n",
            "F.handle_cast is async and yields: write await",
        ),
        (ECHO.replace("Echo", "F") + "    service = '5ms'\n", "F.service: '5ms' is not a duration"),
        (ECHO.replace("Echo", "F") + "    service = 5\n", "F.service: "),
        (ECHO.replace("Echo", "F") + "    def __init__(self, x): ...\n", "TypeError: "),
    ],
)
def test_code_that_cannot_be_loaded_is_refused_with_its_place(
    allowed: Path, source: str, reason: str
) -> None:
    (allowed / "bad.py").write_text(source, encoding="utf-8")
    before = sorted(sys.modules)
    loading = runtime(allowed)
    assert reason in refusal(loading, "bad.py:F")
    loading.close()
    assert [name for name in sorted(sys.modules) if "edgeless_function" in name] == [
        name for name in before if "edgeless_function" in name
    ]


def test_instances_of_one_content_share_a_module_and_a_new_content_has_its_own(
    allowed: Path,
) -> None:
    loading = runtime(allowed)
    first, second = started(loading, "echo.py:Echo"), started(loading, "echo.py:Echo")
    first.dispatch(CAST)
    assert second.dispatch(CAST).outputs == [Cast("out", "WORD 2")]
    (allowed / "echo.py").write_text(ECHO.replace("WORD", "NEW"), encoding="utf-8")
    assert started(loading, "echo.py:Echo").dispatch(CAST).outputs == [Cast("out", "NEW 1")]
    assert first.dispatch(CAST).outputs == [Cast("out", "WORD 3")]


def test_a_module_can_be_looked_up_by_name_until_the_run_time_closes(allowed: Path) -> None:
    (allowed / "data.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "from edgeless_sim.runtimes.python import PythonFunction\n"
        "@dataclass\n"
        "class Point:\n"
        "    x: int\n"
        "    kind: ClassVar[str] = 'point'\n"
        "class F(PythonFunction):\n"
        "    def handle_cast(self, source, message):\n"
        "        self.edgeless.cast('out', repr(Point(1)))\n",
        encoding="utf-8",
    )
    loading = runtime(allowed)
    assert started(loading, "data.py:F").dispatch(CAST).outputs == [Cast("out", "Point(x=1)")]
    assert any(name.startswith("edgeless_function_data_") for name in sys.modules)
    loading.close()
    assert not any(name.startswith("edgeless_function_data_") for name in sys.modules)
