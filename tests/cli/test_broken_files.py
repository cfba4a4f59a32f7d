"""Broken files: one screen with place and remedy, the right exit code, nothing left behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from typer.testing import CliRunner

from edgeless_sim.cli.main import app

SCENARIO = """\
name = "test"
duration = "10s"

[[domain]]
name = "edge"
nodes = [{count = 2, providers = ["file-log"]}]

[network]
latency = "1ms"

[[step]]
at = "1s"
do = "start_workflow"
as = "work"

[[expect]]
what = "workflow_running"
workflow = "work"
"""
WORKFLOW: dict[str, Any] = {
    "functions": [
        {
            "name": "worker",
            "class_specification": {
                "id": "worker",
                "function_type": "RUST_WASM",
                "version": "0.1",
                "code": "worker.wasm",
                "outputs": ["out"],
            },
            "output_mapping": {"out": "log"},
            "annotations": {},
        }
    ],
    "resources": [
        {
            "name": "log",
            "class_type": "file-log",
            "output_mapping": {},
            "configurations": {"filename": "worker.log"},
        }
    ],
    "annotations": {},
}
GUEST = """(module
 {imports}
 (memory (export "memory") 2)
 (func (export "edgeless_mem_alloc") (param i32) (result i32) (i32.const 1024))
 (func (export "edgeless_mem_free") (param i32 i32))
 (func (export "edgeless_mem_clear"))
 (func (export "handle_init_asm") (param i32 i32 i32 i32))
 (func (export "handle_cast_asm") (param i32 i32 i32 i32))
 (func (export "handle_call_asm") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
 {stop}
 {more})"""
STOP = '(func (export "handle_stop_asm"))'


def guest(imports: str = "", stop: str = STOP, more: str = "") -> bytes:
    return bytes(wasmtime.wat2wasm(GUEST.format(imports=imports, stop=stop, more=more)))


def write(folder: Path, name: str, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder whose files are right."""
    write(tmp_path, "scenario.toml", SCENARIO)
    write(tmp_path, "workflow.json", json.dumps(WORKFLOW, indent=1))
    write(tmp_path, "worker.wasm", guest())
    return tmp_path


def toml(old: str, new: str) -> Callable[[Path], None]:
    """Replace a piece of the scenario."""
    assert old in SCENARIO, old
    return lambda folder: write(folder, "scenario.toml", SCENARIO.replace(old, new, 1))


def workflow(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change the workflow."""

    def apply(folder: Path) -> None:
        copy = json.loads(json.dumps(WORKFLOW))
        change(copy)
        write(folder, "workflow.json", json.dumps(copy, indent=1))

    return apply


def code(content: bytes) -> Callable[[Path], None]:
    """Replace the compiled module."""
    return lambda folder: write(folder, "worker.wasm", content)


def python(text: str) -> Callable[[Path], None]:
    """Replace the compiled module by a function in Python."""

    def apply(folder: Path) -> None:
        write(folder, "worker.py", text)

        def change(copy: dict[str, Any]) -> None:
            specification = copy["functions"][0]["class_specification"]
            specification.update(function_type="PYTHON", code="worker.py:Worker")

        workflow(change)(folder)

    return apply


def model(parameters: str) -> Callable[[Path], None]:
    """Replace the compiled module by a model."""

    def change(copy: dict[str, Any]) -> None:
        copy["functions"][0]["class_specification"]["function_type"] = "MODELLED"
        copy["functions"][0]["annotations"]["init-payload"] = parameters

    return workflow(change)


def step(text: str) -> Callable[[Path], None]:
    return toml("[[expect]]", f"[[step]]\n{text}\n\n[[expect]]")


def expectation(text: str) -> Callable[[Path], None]:
    return toml('what = "workflow_running"\nworkflow = "work"', text)


MANY_STEPS = '[[step]]\nat = 1\ndo = "heal"\n' * 300
BROKEN: dict[str, tuple[Callable[[Path], None], str, str]] = {
    # name: what is broken, the place, the remedy
    "toml syntax": (toml('duration = "10s"', "duration = "), "scenario.toml:2", "not TOML"),
    "toml never ends": (toml('"test"', '"test'), "scenario.toml:1", "not TOML"),
    "duplicate key": (toml("duration", 'name = "x"\nduration'), "scenario.toml:2", "overwrite"),
    "unknown key": (toml("latency", "latenci"), "scenario.toml:9", "did you mean 'latency'?"),
    "unknown key of nodes": (
        toml("providers", "providrs"),
        "scenario.toml:6: domain[0].nodes[0].providrs",
        "did you mean 'providers'?",
    ),
    "no duration": (toml('duration = "10s"', ""), "scenario.toml:1", "'duration' is missing"),
    "no unit": (toml('"1ms"', "1"), "scenario.toml:9: network.latency", "'250ms'"),
    "wrong unit": (toml('"1ms"', '"1 parsec"'), "scenario.toml:9", "known: ns, us, ms, s"),
    "negative time": (toml('at = "1s"', 'at = "-1s"'), "scenario.toml:12: step[0].at", "'250ms'"),
    "infinite time": (toml('at = "1s"', "at = inf"), "scenario.toml:12: step[0].at", "'250ms'"),
    "time past the end": (
        toml('at = "1s"', 'at = "11s"'),
        "scenario.toml:12: step[0].at",
        "the run ends before that, at 10s",
    ),
    "seed is a text": (toml("duration", 'seed = "x"\nduration'), "scenario.toml:2", "an integer"),
    "seed is a fraction": (toml("duration", "seed = 1.5\nduration"), "toml:2: seed", "an integer"),
    "seed is huge": (
        toml("duration", f"seed = {'9' * 40}\nduration"),
        "scenario.toml:2: seed",
        "less than or equal to 9223372036854775807",
    ),
    "integer of 5000 digits": (
        toml("duration", f"seed = {'9' * 5000}\nduration"),
        "scenario.toml",
        "digits",
    ),
    "probability over one": (
        toml('latency = "1ms"', "loss = 1.5"),
        "scenario.toml:9: network.loss",
        "less than or equal to 1",
    ),
    "no nodes": (toml("count = 2", "count = 0"), "domain[0].nodes[0].count", "equal to 1"),
    "too many nodes": (toml("count = 2", "count = 1000001"), "nodes[0].count", "equal to 100000"),
    "unknown strategy": (
        toml("nodes", 'strategy = "RoundRobbin"\nnodes'),
        "scenario.toml:6: domain[0].strategy",
        "did you mean 'RoundRobin'?",
    ),
    "unknown provider": (toml("file-log", "file-lag"), "scenario.toml:6", "'file-log'?"),
    "two domains of one name": (
        toml("[network]", '[[domain]]\nname = "edge"\nnodes = [{}]\n\n[network]'),
        "scenario.toml:9: domain[1].name",
        "two domains",
    ),
    "unknown step": (toml("start_workflow", "start_workflo"), "toml:11: step[0]", "did you mean"),
    "unknown node": (
        step('at = "2s"\ndo = "crash_node"\nnode = "edgy/0"'),
        "step[1].node",
        "'edge/0'",
    ),
    "node out of range": (
        step('at = "2s"\ndo = "crash_node"\nnode = "edge/2"'),
        "scenario.toml:19: step[1].node",
        "'edge/0' to 'edge/1'",
    ),
    "crash of what is down": (
        step(
            'at = "2s"\ndo = "crash_node"\nnode = "edge/1"\n\n'
            '[[step]]\nat = "3s"\ndo = "crash_node"\nnode = "edge/1"'
        ),
        "step[2]",
        "down already at 3s",
    ),
    "unknown workflow": (
        expectation('what = "workflow_running"\nworkflow = "wrk"'),
        "expect[0]",
        "'work'?",
    ),
    "unknown component": (
        expectation('what = "moved"\nworkflow = "work"\ncomponent = "walker"'),
        "scenario.toml:19: expect[0].component",
        "did you mean 'worker'?",
    ),
    "partition of nobody": (
        step('at = "2s"\ndo = "partition"\nbetween = [["cloud"], []]'),
        "step[1].between[0][0]",
        "unknown domain, node or 'con' 'cloud'",
    ),
    "many mistakes": (toml("[[expect]]", MANY_STEPS + "[[expect]]"), "step[1].at", "more"),
    "not UTF-8": (lambda f: write(f, "scenario.toml", b'name = "\xff"'), "line 1", "not UTF-8"),
    "NUL": (toml('"test"', '"te\0st"'), "line 1", "NUL"),
    "brackets without end": (
        lambda f: write(f, "scenario.toml", "x = " + "[" * 100_000),
        "line 1",
        "more than 16 brackets",
    ),
    "dots without end": (
        lambda f: write(f, "scenario.toml", "a" + ".a" * 100_000 + " = 1"),
        "line 1",
        "more than 16 parts",
    ),
    "large scenario": (
        lambda f: write(f, "scenario.toml", SCENARIO + "#" * (50 << 20)),
        "scenario.toml",
        "more than 1048576 bytes",
    ),
    "no workflow file": (
        toml('as = "work"', 'as = "work"\nfile = "nowhere.json"'),
        "scenario.toml:15: step[0].file",
        "no such file",
    ),
    "workflow is truncated": (
        lambda f: write(f, "workflow.json", json.dumps(WORKFLOW)[:100]),
        "workflow.json",
        "1",
    ),
    "workflow without functions": (
        workflow(lambda copy: copy.pop("functions")),
        "workflow.json",
        "'functions' is missing",
    ),
    "channel to nobody": (
        workflow(lambda copy: copy["functions"][0]["output_mapping"].update(out="lag")),
        "functions[0].output_mapping.out",
        "did you mean 'log'?",
    ),
    "no code file": (lambda f: (f / "worker.wasm").unlink(), "worker.wasm", "does not exist"),
    "module is empty": (code(b""), "functions[0].class_specification.code", "empty"),
    "module is truncated": (code(guest()[:200]), "functions[0].class_specification.code", "offset"),
    "module has another magic": (
        code(b"\x7fELF" + bytes(60)),
        "begins with 7f 45 4c 46",
        ".wasm file first",
    ),
    "module is text": (code(GUEST.encode()), "begins with 28", ".wasm file first"),
    "missing export": (code(guest(stop="")), "'worker'", "handle_stop_asm"),
    "wrong signature": (
        code(guest(stop='(func (export "handle_stop_asm") (param i32))')),
        "handle_stop_asm",
        "(",
    ),
    "unknown import": (
        code(guest(imports='(import "env" "cast_asn" (func (param i32)))')),
        "cast_asn",
        "cast_asm",
    ),
    "WASI import": (
        code(guest(imports='(import "wasi_snapshot_preview1" "fd_write" (func))')),
        "fd_write",
        "wasi",
    ),
    "start function failures": (
        code(guest(more="(func $go unreachable) (start $go)")),
        "'worker'",
        "the start function failed",
    ),
    "start function loops": (
        code(guest(more="(func $go (loop $l (br $l))) (start $go)")),
        "'worker'",
        "out of fuel",
    ),
    "python does not compile": (python("class Worker(:\n"), "worker.py:1", "SyntaxError"),
    "python without the class": (
        python("from edgeless_sim import PythonFunction\nclass Walker(PythonFunction): pass\n"),
        "worker.py",
        "did you mean 'Walker'?",
    ),
    "model without a service time": (model("speed=3"), "'worker'", "service"),
}


def complaint(arguments: list[str], exit_code: int) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == exit_code, (result.stdout, result.stderr)
    assert "Traceback" not in result.output
    lines = result.stderr.splitlines()
    assert len(lines) <= 24, result.stderr
    assert all(len(line.encode()) <= 1024 for line in lines)
    return result.stderr


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_its_place_and_a_remedy(
    name: str, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage, place, remedy = BROKEN[name]
    damage(good)
    monkeypatch.chdir(good)
    before = tree(good)

    checked = complaint(["check", "scenario.toml"], 3)
    assert place in checked
    assert remedy in checked
    assert complaint(["run", "scenario.toml", "--out", "out"], 3) == checked
    assert tree(good) == before


def test_what_the_broken_files_are_made_from_is_right(good: Path) -> None:
    assert complaint(["check", str(good)], 0) == ""
    assert complaint(["run", str(good)], 0) == ""


@pytest.mark.parametrize("name", ["missing export", "channel to nobody", "no code file"])
def test_a_workflow_is_checked_alone_too(name: str, good: Path) -> None:
    damage, place, remedy = BROKEN[name]
    damage(good)
    checked = complaint(["check", str(good / "workflow.json")], 3)
    assert place in checked
    assert remedy in checked


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"\0asm", "unknown WebAssembly version"),
        (guest(stop=""), "handle_stop_asm"),
        (guest(more="(func $go unreachable) (start $go)"), "the start function failed"),
    ],
)
def test_a_module_is_checked_alone_too(content: bytes, remedy: str, tmp_path: Path) -> None:
    write(tmp_path, "it.wasm", content)
    assert remedy in complaint(["check", str(tmp_path / "it.wasm")], 3)


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("[]", "function.json:1", "object"),
        ('{"id": "x"}', "function.json:1", "is missing"),
        ('{"id": "x", "function_type": 1, "version": "1", "outputs": []}', "1:", "a string"),
        ('{"id": "x", "id": "y"}', "function.json:1", "id"),
    ],
)
def test_a_function_file_is_checked(text: str, place: str, remedy: str, tmp_path: Path) -> None:
    write(tmp_path, "function.json", text)
    checked = complaint(["check", str(tmp_path / "function.json")], 3)
    assert place in checked
    assert remedy in checked


def test_the_module_that_a_function_file_names_is_checked(tmp_path: Path) -> None:
    specification = WORKFLOW["functions"][0]["class_specification"]
    write(tmp_path, "function.json", json.dumps(specification))
    write(tmp_path, "worker.wasm", guest(stop=""))
    assert "handle_stop_asm" in complaint(["check", str(tmp_path)], 3)


def test_every_file_is_checked_even_after_a_bad_one(good: Path) -> None:
    write(good, "bad.wasm", b"")
    result = CliRunner().invoke(app, ["check", str(good / "bad.wasm"), str(good)])
    assert result.exit_code == 3
    assert result.stdout == f"ok {good} (scenario)\n"
