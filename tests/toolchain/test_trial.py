"""One function alone: everything that it does is told, with what it costs."""

from pathlib import Path

import pytest

from edgeless_sim.runtimes.base import GuestEventKind
from edgeless_sim.toolchain.building import Built, build_function
from edgeless_sim.toolchain.trial import Report, Trial, TrialEvent

FUNCTIONS = Path(__file__).parents[2] / "functions"


def ready(name: str) -> Built:
    """A shipped function, as committed."""
    from edgeless_sim.model.function_file import load_function_file

    folder = FUNCTIONS / name
    specification, _ = load_function_file(folder / "function.json")
    return Built(specification, folder, folder / f"{name}.wasm", "c", fresh=False)


def cast(payload: str) -> TrialEvent:
    return TrialEvent(GuestEventKind.CAST, payload)


def call(payload: str) -> TrialEvent:
    return TrialEvent(GuestEventKind.CALL, payload)


def did(report: Report, what: str) -> list[dict[str, object]]:
    return [entry for entry in report.done if entry["did"] == what]


def test_init_the_events_and_stop_each_have_a_report() -> None:
    reports = list(Trial(ready("double")).run([cast("3"), call("x")]))
    assert [report.kind for report in reports] == ["init", "cast", "call", "stop"]
    assert did(reports[1], "cast") == [{"did": "cast", "to": "result", "payload": "6"}]
    assert (reports[2].reply, reports[2].failed) == (None, None)
    assert all(report.fuel > 0 for report in reports)


def test_the_same_events_cost_the_same_fuel() -> None:
    runs = [[r.fuel for r in Trial(ready("double")).run([cast("3")])] for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_call_that_it_makes_gets_the_given_answer_or_an_error() -> None:
    for reply, answered in (("PONG", "PONG"), (None, None)):
        _, asked, _ = Trial(ready("ping"), reply=reply).run([cast("wakeup")])
        (made,) = did(asked, "call")
        assert (made["to"], made["answered"]) == ("ponger", answered)


def test_state_and_init_payload_reach_it() -> None:
    begun = next(Trial(ready("counter"), init="41").run([]))
    assert any("41" in str(entry) or "42" in str(entry) for entry in begun.done)


def test_nothing_comes_after_a_failure() -> None:
    reports = list(Trial(ready("trap")).run([cast("trap"), cast("never")]))
    assert [report.kind for report in reports] == ["init", "cast"]
    assert reports[-1].failed is not None
    assert "unreachable" in reports[-1].failed


def test_a_python_function_is_tried_in_the_same_way(tmp_path: Path) -> None:
    from edgeless_sim.toolchain.skeletons import new_function

    new_function(tmp_path / "mine", "python")
    _, heard, asked, _ = Trial(build_function(tmp_path / "mine")).run([cast("a"), call("b")])
    assert did(heard, "cast") == [{"did": "cast", "to": "output", "payload": "hello, a"}]
    assert asked.reply == "hello, b"
    assert asked.service_ns == 1_000_000


@pytest.mark.parametrize("language", ["wat"])
def test_a_text_of_webassembly_takes_a_mebibyte(language: str, tmp_path: Path) -> None:
    from edgeless_sim.toolchain.skeletons import new_function

    new_function(tmp_path / "mine", language)
    payload = "x" * (1 << 20)
    _, heard, asked, _ = Trial(build_function(tmp_path / "mine")).run(
        [cast(payload), call(payload)]
    )
    assert did(heard, "cast")[0]["payload"] == payload
    assert asked.reply == payload
