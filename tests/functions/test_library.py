"""Functions that pass messages on, filter and watch: EDGELESS's channels, keys and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.functions.conftest import Loader

SOURCE = (bytes(range(16)), bytes(range(16, 32)))
INFO, ERROR = 3, 1


def sent(outputs: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """*outputs* without the log."""
    return [output for output in outputs if output[0] != "log"]


@pytest.mark.function("ping_async")
def test_ping_async_begins_after_ten_seconds_and_pings_once_a_second(load: Loader) -> None:
    guest = load("ping_async")
    assert sent(guest.init()) == [("delayed_cast", 10_000, "self", "wakeup")]
    for _ in range(2):
        assert sent(guest.cast("wakeup")) == [
            ("cast", "ponger", "PING"),
            ("delayed_cast", 1000, "self", "wakeup"),
        ]
    assert guest.cast("PONG2") == [("log", INFO, "ping_async", "ping_async: answered PONG2")]
    assert guest.call("wakeup") == (0, "")


@pytest.mark.function("pong_async")
def test_pong_async_casts_back_to_who_sent_something(load: Loader) -> None:
    guest = load("pong_async")
    assert sent(guest.init()) == []
    assert sent(guest.cast("PING")) == [("cast_raw", *SOURCE, "PONG2")]
    assert guest.call("PING") == (0, "")


@pytest.mark.function("dup")
def test_dup_casts_twice_and_refuses_calls(load: Loader) -> None:
    guest = load("dup")
    assert guest.init("anything") == []
    for message in ("α\x00", ""):
        assert guest.cast(message) == [("cast", "out1", message), ("cast", "out2", message)]
    assert guest.call("1") == (2, "")
    assert guest.stop() == []


@pytest.mark.function("load_balance")
def test_load_balance_takes_turns_beginning_with_the_second(load: Loader) -> None:
    guest = load("load_balance")
    assert guest.init("num_outputs=3") == []
    channels = [guest.cast(str(number))[0] for number in range(5)]
    assert channels == [
        ("cast", "out2", "0"),
        ("cast", "out3", "1"),
        ("cast", "out1", "2"),
        ("cast", "out2", "3"),
        ("cast", "out3", "4"),
    ]
    assert guest.call("1") == (2, "")


@pytest.mark.function("load_balance")
@pytest.mark.parametrize("payload", [None, "", "num_outputs=0", "num_outputs=x", "num_outputs=-1"])
def test_load_balance_without_outputs_drops_everything(load: Loader, payload: str | None) -> None:
    guest = load("load_balance")
    guest.init(payload)
    assert guest.cast("1") == []


@pytest.mark.function("load_balance")
def test_load_balance_with_one_output_always_takes_it(load: Loader) -> None:
    guest = load("load_balance")
    guest.init("num_outputs=1")
    assert [guest.cast("m") for _ in range(2)] == [[("cast", "out1", "m")]] * 2


@pytest.mark.function("filter_in_range")
@pytest.mark.parametrize(
    ("message", "output"),
    [
        ("0.5", ("output", "0.5")),
        ("-1", ("output", "-1")),
        ("2.50", ("output", "2.50")),
        ("2.6", ("error", "value '2.6' out of range [-1,2.5]")),
        ("-1.5e3", ("error", "value '-1500' out of range [-1,2.5]")),
        ("NaN", ("error", "value 'NaN' out of range [-1,2.5]")),
        ("x", ("error", "invalid event payload 'x': invalid float literal")),
        ("", ("error", "invalid event payload '': cannot parse float from empty string")),
    ],
)
def test_filter_in_range_lets_numbers_of_the_range_pass_as_they_came(
    load: Loader, message: str, output: tuple[str, str]
) -> None:
    guest = load("filter_in_range")
    assert sent(guest.init("-1,2.5")) == []
    assert sent(guest.cast(message)) == [("cast", *output)]
    assert guest.call(message) == (0, "")


@pytest.mark.function("filter_in_range")
@pytest.mark.parametrize("payload", [None, "", "1", "1,x", "1,2,3"])
def test_filter_in_range_without_a_range_lets_only_zero_pass(
    load: Loader, payload: str | None
) -> None:
    guest = load("filter_in_range")
    guest.init(payload)
    assert sent(guest.cast("0")) == [("cast", "output", "0")]
    assert sent(guest.cast("1")) == [("cast", "error", "value '1' out of range [0,0]")]


@pytest.mark.function("moving_avg")
def test_moving_avg_casts_the_mean_of_the_last_numbers(load: Loader) -> None:
    guest = load("moving_avg")
    assert sent(guest.init("3")) == []
    means = [sent(guest.cast(text)) for text in ("1", "2", "4.5", "-2", "x", "0.5")]
    assert means == [
        [],
        [],
        [("cast", "output", "2.5")],
        [("cast", "output", "1.5")],
        [("cast", "error", "invalid event payload 'x': invalid float literal")],
        [("cast", "output", "1")],
    ]
    assert guest.call("1") == (0, "")


@pytest.mark.function("moving_avg")
@pytest.mark.parametrize("payload", [None, "", "0", "three", "-1"])
def test_moving_avg_without_a_size_never_has_enough(load: Loader, payload: str | None) -> None:
    guest = load("moving_avg")
    guest.init(payload)
    assert [sent(guest.cast("1")) for _ in range(5)] == [[]] * 5


def event_of(text: str) -> str:
    """What the DDA resource casts for an event that says *text*."""
    return '{"ComSubscribeEvent":[' + ",".join(map(str, text.encode())) + "]}"


@pytest.mark.function("check_temperature")
@pytest.mark.parametrize(
    ("text", "difference"),
    [("60.5", "0.5"), (" 100\n", "40"), ("39", "-1"), ("-0.25", "-40.25")],
)
def test_check_temperature_calls_the_arm_outside_of_40_to_60(
    load: Loader, text: str, difference: str
) -> None:
    guest = load("check_temperature")
    assert sent(guest.init()) == []
    guest.answers.append((1, b"done"))
    assert sent(guest.cast(event_of(text))) == [
        ("call", "move_arm", f"checktemp:diff:{difference}")
    ]
    assert guest.call(event_of(text)) == (0, "")


@pytest.mark.function("check_temperature")
@pytest.mark.parametrize("answer", [(0, b""), (2, b"")])
def test_check_temperature_reports_an_arm_that_does_not_move(
    load: Loader, answer: tuple[int, bytes]
) -> None:
    guest = load("check_temperature")
    guest.init()
    guest.answers.append(answer)
    assert guest.cast(event_of("61"))[-1][:2] == ("log", ERROR)


@pytest.mark.function("check_temperature")
@pytest.mark.parametrize(
    ("message", "level"),
    [
        (event_of("40"), INFO),
        (event_of("60"), INFO),
        (event_of("warm"), ERROR),
        ('{"ComSubscribeEvent":[255]}', ERROR),
        ('{"ComSubscribeQuery":["1",[54]]}', ERROR),
        ("61", ERROR),
        ("", ERROR),
    ],
)
def test_check_temperature_only_logs_what_is_fine_or_no_temperature(
    load: Loader, message: str, level: int
) -> None:
    guest = load("check_temperature")
    guest.init()
    assert [output[:2] for output in guest.cast(message)] == [("log", level)]


@pytest.mark.function("sensor_simulator")
def test_sensor_simulator_casts_a_number_of_its_range_every_period(load: Loader) -> None:
    guest = load("sensor_simulator")
    init = guest.init("period=250,min-value=-5,max-value=5.5,seed=42")
    assert sent(init) == [("cast", "self", "")]
    numbers = []
    for _ in range(200):
        cast, delayed = sent(guest.cast(""))
        assert cast[:2] == ("cast", "output")
        assert delayed == ("delayed_cast", 250, "self", "")
        numbers.append(float(str(cast[2])))
    # The first number of seed 42 is 0.5823076.
    assert numbers[0] == pytest.approx(0.5823076 * 10.5 - 5, rel=1e-6)
    assert -5 <= min(numbers) < -4
    assert 4.5 < max(numbers) <= 5.5
    assert guest.call("") == (0, "")


@pytest.mark.function("sensor_simulator")
@pytest.mark.parametrize("payload", [None, "period=x,min-value=,max-value=y,seed=-1"])
def test_sensor_simulator_has_defaults(load: Loader, payload: str | None) -> None:
    guest = load("sensor_simulator")
    guest.init(payload)
    cast, delayed = sent(guest.cast(""))
    assert 0 <= float(str(cast[2])) <= 1
    assert delayed == ("delayed_cast", 1000, "self", "")


@pytest.mark.function("sqlx_test")
def test_sqlx_test_inserts_updates_and_deletes_its_row(load: Loader) -> None:
    guest = load("sqlx_test")
    ok = (1, b"rows_affected: 1, last_insert_rowid: 1.")
    guest.answers.append(ok)
    initial = '{"foo":1.5,"bar":"initial"}'
    insert = f"INSERT INTO WorkflowState (id, metadata) VALUES ($1, '{initial}')"
    assert sent(guest.init("1.5")) == [("call", "database", insert)]
    guest.answers.extend([(1, b'{"id":"w","metadata":' + initial.encode() + b"}"), ok])
    assert sent(guest.cast("7")) == [
        ("call", "database", "SELECT id, metadata FROM WorkflowState WHERE id=$1"),
        (
            "call",
            "database",
            'UPDATE WorkflowState SET metadata=\'{"foo":7.0,"bar":"subsequent"}\' WHERE id=$1',
        ),
    ]
    guest.answers.append(ok)
    delete = ("call", "database", "DELETE FROM WorkflowState WHERE id=$1")
    assert sent(guest.stop()) == [delete]


@pytest.mark.function("sqlx_test")
@pytest.mark.parametrize("answer", [(0, b""), (2, b"")])
def test_sqlx_test_changes_nothing_when_the_database_fails(
    load: Loader, answer: tuple[int, bytes]
) -> None:
    guest = load("sqlx_test")
    guest.answers.extend([answer] * 3)
    # What is no finite number is 0: no other is JSON.
    assert '"foo":0.0' in str(sent(guest.init("inf")))
    assert len(sent(guest.cast("1"))) == 1
    assert guest.call("1") == (0, "")
    assert len(sent(guest.stop())) == 1
