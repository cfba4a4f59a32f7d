"""The SDK of Rust: its own tests, the guide's function, and what the library does not ask of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

if TYPE_CHECKING:
    from tests.functions.conftest import Guest

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
SDK = FUNCTIONS / "sdk" / "rust"
ERROR, INFO = 1, 3
SECONDS_MAX = 300

#: In the shape of EDGELESS's guide: payloads are a String, and so are the fields of a source.
GUIDE = """
use edgeless_function::*;

struct NoopFunction;

impl Edgefunction for NoopFunction {
    fn handle_cast(src: InstanceId, encoded_message: String) {
        log::info!("cast: node {}, function {}, MSG: {}", src.node, src.function, encoded_message);
    }

    fn handle_call(src: InstanceId, encoded_message: String) -> CallRet {
        log::info!("call: node {}, function {}, MSG: {}", src.node, src.function, encoded_message);
        CallRet::Noreply
    }

    fn handle_init(payload: String, _serialized_state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("payload: {}", payload);
    }

    fn handle_stop() {
        log::info!("stopped");
    }
}

edgeless_function::export!(NoopFunction);
"""

PROBE = """
use edgeless_function::*;

static COUNT: State<u64> = State::new();

struct Probe;

impl EdgeFunction for Probe {
    fn handle_init(payload: String, state: Option<String>) {
        if payload == "logger" {
            edgeless_function::init_logger();
        }
        log::trace!(target: "own", "{:?}", state);
    }

    fn handle_cast(src: InstanceId, message: String) {
        match message.as_str() {
            "raw" => {
                cast_raw(slf(), &src.to_string());
                log::debug!("{:?}", call_raw(src, "?"));
            }
            "levels" => {
                log::error!("1");
                log::warn!("{}", 2);
                log::info!("3");
                log::debug!("{}", 4);
                log::trace!("5");
            }
            "unset" => COUNT.with(|count| *count += 1),
            "nested" => {
                COUNT.set(1);
                COUNT.with(|_| COUNT.with(|count| *count += 1));
            }
            "deep" => cast("out", &deep(1_000_000).to_string()),
            _ => panic!("told to {}", message),
        }
    }

    fn handle_call(src: InstanceId, _message: String) -> CallRet {
        CallRet::Reply(format!("{} and {}", src.node, src.function))
    }

    fn handle_stop() {}
}

fn deep(depth: u32) -> u32 {
    let room = [depth; 16];
    if depth == 0 { 0 } else { deep(depth - 1) + room.iter().max().unwrap() % 2 }
}

edgeless_function::export!(Probe);
"""


def _compiler() -> str | None:
    """The compiler of the library; build.py knows which one that is."""
    question = "import build; print(build.rust_compiler() or '')"
    command = [sys.executable, "-c", question]
    result = subprocess.run(command, cwd=FUNCTIONS, capture_output=True, text=True, check=True)
    return result.stdout.strip() or None


RUSTC = _compiler()
pytestmark = pytest.mark.skipif(RUSTC is None, reason="no rustc 1.63 with the wasm32 target")
StartModule = Callable[[wasmtime.Module], "Guest"]


def run(command: list[str], place: Path, **environment: str) -> str:
    """Run *command* in *place* and return what it says; its complaints fail the test."""
    result = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def compiled_in(place: Path, name: str, source: str) -> Path:
    """Compile *source* as function *name* with a copy of the library's build; return the module."""
    shutil.copy(FUNCTIONS / "build.py", place)
    (place / "sdk").symlink_to(FUNCTIONS / "sdk")
    folder = place / name
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "lib.rs").write_text(source)
    (folder / "function.json").write_text(json.dumps({"id": name}))
    shutil.copy(FUNCTIONS / "dup" / "Cargo.toml", folder)
    run([sys.executable, "build.py", name], place)
    return folder / f"{name}.wasm"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory, engine: wasmtime.Engine) -> wasmtime.Module:
    module = compiled_in(tmp_path_factory.mktemp("probe"), "probe", PROBE)
    return wasmtime.Module(engine, module.read_bytes())


def test_the_sdk_passes_its_own_tests(tmp_path: Path) -> None:
    assert RUSTC is not None
    source = str(SDK / "src" / "lib.rs")
    flags = ["--edition=2021", "--crate-name=edgeless_function", "--test", "-Dwarnings"]
    run([RUSTC, *flags, "-o", "tests", source], tmp_path)
    assert "0 failed" in run([str(tmp_path / "tests")], tmp_path)


def test_the_examples_in_the_documentation_of_the_sdk_hold(tmp_path: Path) -> None:
    assert RUSTC is not None
    rustdoc = Path(RUSTC).with_name("rustdoc")
    if not rustdoc.is_file():
        pytest.skip("no rustdoc beside the compiler")
    source = str(SDK / "src" / "lib.rs")
    flags = ["--edition=2021", "--crate-name=edgeless_function"]
    run([RUSTC, *flags, "--crate-type=rlib", source], tmp_path)
    extern = ["--extern=edgeless_function=libedgeless_function.rlib", "-L."]
    said = run([str(rustdoc), "--test", *flags, *extern, source], tmp_path, RUSTC=RUSTC)
    assert "2 passed; 0 failed" in said


@pytest.mark.parametrize("name", ["bench_mapreduce", "bench_process", "trigger"])
def test_a_function_passes_its_own_tests(tmp_path: Path, name: str) -> None:
    assert RUSTC is not None
    flags = ["--edition=2021", "-Dwarnings"]
    sdk = ["--crate-name=edgeless_function", "--crate-type=rlib", "-o", "libedgeless_function.rlib"]
    run([RUSTC, *flags, *sdk, str(SDK / "src" / "lib.rs")], tmp_path)
    extern = ["--extern=edgeless_function=libedgeless_function.rlib", "--test", "-o", "tests"]
    run([RUSTC, *flags, *extern, str(FUNCTIONS / name / "src" / "lib.rs")], tmp_path)
    said = run([str(tmp_path / "tests")], tmp_path)
    assert "0 failed" in said
    assert "running 0 tests" not in said


def test_the_function_of_the_guide_compiles_and_runs(
    tmp_path: Path, engine: wasmtime.Engine, start_module: StartModule
) -> None:
    module = compiled_in(tmp_path, "noop", GUIDE)
    guest = start_module(wasmtime.Module(engine, module.read_bytes()))
    assert guest.init("nothing interesting") == [
        ("log", INFO, "noop", "payload: nothing interesting")
    ]
    node, function = "00010203-0405-0607-0809-0a0b0c0d0e0f", "10111213-1415-1617-1819-1a1b1c1d1e1f"
    assert guest.cast("hi") == [
        ("log", INFO, "noop", f"cast: node {node}, function {function}, MSG: hi")
    ]
    assert guest.call("hi") == (0, "")
    guest.outputs.clear()
    assert guest.stop() == [("log", INFO, "noop", "stopped")]


def test_cargo_builds_a_function_without_a_registry(tmp_path: Path) -> None:
    assert RUSTC is not None
    cargo = Path(RUSTC).with_name("cargo")
    if not cargo.is_file():
        pytest.skip("no cargo beside the compiler")
    target = ["--release", "--offline", "--target=wasm32-unknown-unknown"]
    # The lock file goes beside Cargo.toml.
    shutil.copytree(FUNCTIONS / "noop" / "rust", tmp_path / "noop" / "rust")
    (tmp_path / "sdk").symlink_to(FUNCTIONS / "sdk")
    run(
        [str(cargo), "build", *target],
        tmp_path / "noop" / "rust",
        RUSTC=RUSTC,
        CARGO_HOME=str(tmp_path / "cargo"),
        CARGO_TARGET_DIR=str(tmp_path / "target"),
    )
    built = tmp_path / "target" / "wasm32-unknown-unknown" / "release" / "noop.wasm"
    # What cargo leaves out is the smaller stack, which is a number, and newer instructions.
    assert built.stat().st_size < 20_000


def test_sources_and_instances_are_who_they_are(
    probe: wasmtime.Module, start_module: StartModule
) -> None:
    guest = start_module(probe)
    assert guest.init(state="") == [("log", 5, "own", 'Some("")')]
    node, function = "00010203-0405-0607-0809-0a0b0c0d0e0f", "10111213-1415-1617-1819-1a1b1c1d1e1f"
    guest.answers.append((1, b"yes"))
    assert guest.cast("raw") == [
        (
            "cast_raw",
            b"N" * 16,
            b"C" * 16,
            f"InstanceId(node_id: {node}, function_id: {function})",
        ),
        ("call_raw", bytes(range(16)), bytes(range(16, 32)), "?"),
        ("log", 4, "probe", 'Reply("yes")'),
    ]
    # EDGELESS's own SDK gives the node twice.
    assert guest.call("who") == (1, f"{node} and {function}")


def test_every_level_reaches_the_log(probe: wasmtime.Module, start_module: StartModule) -> None:
    guest = start_module(probe)
    guest.init()
    assert guest.cast("levels") == [("log", level, "probe", str(level)) for level in range(1, 6)]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("jump", "told to jump"),
        ("unset", "State::with before State::set"),
        ("nested", "State::with within State::with"),
    ],
)
def test_a_panic_tells_the_log_what_it_was_and_traps(
    probe: wasmtime.Module, start_module: StartModule, message: str, words: str
) -> None:
    guest = start_module(probe)
    guest.init("logger")
    guest.outputs.clear()
    with pytest.raises(wasmtime.Trap):
        guest.cast(message)
    ((kind, level, target, told),) = guest.outputs
    assert (kind, level, target) == ("log", ERROR, "panic")
    # The place is in the function, and nothing of a machine is in its path.
    assert str(told).startswith(f"panicked at '{words}', probe/src/lib.rs:")


def test_a_panic_without_the_logger_traps_in_silence(
    probe: wasmtime.Module, start_module: StartModule
) -> None:
    guest = start_module(probe)
    guest.init()
    guest.outputs.clear()
    with pytest.raises(wasmtime.Trap):
        guest.cast("jump")
    assert guest.outputs == []


def test_a_stack_that_overflows_traps_and_overwrites_nothing(
    probe: wasmtime.Module, start_module: StartModule
) -> None:
    guest = start_module(probe)
    guest.init()
    with pytest.raises(wasmtime.Trap) as caught:
        guest.cast("deep")
    assert caught.value.trap_code == wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS
