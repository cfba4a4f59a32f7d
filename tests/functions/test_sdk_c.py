"""The SDK of C does what functions of the library do not ask of it, compiled here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

if TYPE_CHECKING:
    from tests.functions.conftest import Guest

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
INFO = 3

PROBE = """
#define EDGELESS_FUNCTION_NAME "probe"
#include "edgeless_text.h"

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)state;
    edgeless_text list = edgeless_argument(payload, TEXT("list"), TEXT(""));
    edgeless_text copy = list;
    int32_t number;
    while (edgeless_next_i32(&list, ':', &number)) {
        edgeless_cast(TEXT("i32"), edgeless_text_of_i32(number));
    }
    uint64_t natural;
    while (edgeless_next_u64(&copy, ':', &natural)) {
        edgeless_cast(TEXT("u64"), edgeless_text_of_u64(natural));
    }
    bool truth = edgeless_is_true(edgeless_argument(payload, TEXT("truth"), TEXT("")));
    edgeless_cast(TEXT("truth"), truth ? TEXT("yes") : TEXT("no"));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    uint8_t node[16], component[16];
    edgeless_self(node, component);
    edgeless_cast_raw((edgeless_source){node, component}, message);
    edgeless_answer answer = edgeless_call_raw(source, message);
    edgeless_sync(answer.code == EDGELESS_REPLY ? answer.text : TEXT("none"));
    for (edgeless_level level = EDGELESS_LOG_ERROR; level <= EDGELESS_LOG_TRACE; level++) {
        edgeless_log(level, message);
    }
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    return edgeless_equal(message, TEXT("id"))
               ? edgeless_reply((edgeless_text){(const char *)source.component, 16})
               : edgeless_error();
}

static void handle_stop(void) {}
"""


SMALLEST = """
#define EDGELESS_FUNCTION_NAME "smallest"
#include "edgeless.h"

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)payload;
    (void)state;
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    edgeless_log(EDGELESS_LOG_INFO, message);
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    return edgeless_reply(message);
}

static void handle_stop(void) {}
"""


def _has_compiler() -> bool:
    try:
        return bool(version("ziglang"))
    except PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not _has_compiler(), reason="ziglang is not installed")


def compiled_in(place: Path, source: str) -> Path:
    """Compile *source* with a copy of the library's own build; return the module."""
    (place / "build.py").write_text((FUNCTIONS / "build.py").read_text())
    (place / "sdk").symlink_to(FUNCTIONS / "sdk")
    (place / "probe").mkdir()
    (place / "probe" / "function.json").write_text(json.dumps({"id": "probe"}))
    (place / "probe" / "probe.c").write_text(source)
    command = [sys.executable, str(place / "build.py"), "probe"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return place / "probe" / "probe.wasm"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory, engine: wasmtime.Engine) -> wasmtime.Module:
    module = compiled_in(tmp_path_factory.mktemp("probe"), PROBE)
    return wasmtime.Module(engine, module.read_bytes())


StartModule = Callable[[wasmtime.Module], "Guest"]


@pytest.mark.parametrize(
    ("payload", "i32", "u64", "truth"),
    [
        ("list=1:2:3,truth=TRUE", ["1", "2", "3"], ["1", "2", "3"], "yes"),
        ("list=1:-2:0:x::00:7,truth=True", ["1", "-2", "0", "0", "7"], ["1", "0", "0", "7"], "yes"),
        ("list=1@2@3,truth=yes", [], [], "no"),
        ("list=4294967296", [], ["4294967296"], "no"),
        ("list=18446744073709551616:", [], [], "no"),
        ("", [], [], "no"),
    ],
)
def test_lists_leave_out_what_does_not_parse(
    probe: wasmtime.Module,
    start_module: StartModule,
    payload: str,
    i32: list[str],
    u64: list[str],
    truth: str,
) -> None:
    expected = [("cast", "i32", number) for number in i32]
    expected += [("cast", "u64", number) for number in u64]
    assert start_module(probe).init(payload) == [*expected, ("cast", "truth", truth)]


def test_a_function_knows_itself_and_calls_who_sent_something(
    probe: wasmtime.Module, start_module: StartModule
) -> None:
    guest = start_module(probe)
    guest.init()
    guest.answers.append((1, b"state"))
    assert guest.cast("hi") == [
        ("cast_raw", b"N" * 16, b"C" * 16, "hi"),
        ("call_raw", bytes(range(16)), bytes(range(16, 32)), "hi"),
        ("sync", "state"),
        *[("log", level, "probe", "hi") for level in range(1, 6)],
    ]
    assert guest.call("id") == (1, bytes(range(16, 32)).decode())
    assert guest.call("x") == (2, "")


def test_what_the_sdk_adds_to_a_function_is_less_than_a_kilobyte(tmp_path: Path) -> None:
    assert compiled_in(tmp_path, SMALLEST).stat().st_size < 1000
