"""What each function does with its events, in exact outputs, in every language it is written in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.functions.conftest import Loader

NODE_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"
COMPONENT_TEXT = "10111213-1415-1617-1819-1a1b1c1d1e1f"
SOURCE = (bytes(range(16)), bytes(range(16, 32)))
INFO, ERROR, TRACE = 3, 1, 5


@pytest.mark.function("noop")
def test_noop_logs_every_event_and_gives_no_reply(load: Loader) -> None:
    guest = load("noop")
    assert guest.init("nothing interesting") == [
        ("log", INFO, "noop", "Noop initialized, payload: nothing interesting")
    ]
    who = f"node {NODE_TEXT}, function {COMPONENT_TEXT}"
    assert guest.cast("grüße") == [("log", INFO, "noop", f"Noop casted, {who}, MSG: grüße")]
    assert guest.call("") == (0, "")
    assert guest.stop() == [
        ("log", INFO, "noop", f"Noop called, {who}, MSG: "),
        ("log", INFO, "noop", "Noop stopped"),
    ]


@pytest.mark.function("noop")
def test_noop_without_an_init_payload_logs_an_empty_one(load: Loader) -> None:
    assert load("noop").init() == [("log", INFO, "noop", "Noop initialized, payload: ")]


@pytest.mark.function("ping")
def test_ping_wakes_itself_when_it_starts(load: Loader) -> None:
    assert load("ping").init() == [
        ("log", INFO, "ping", "ping: started"),
        ("cast", "self", "wakeup"),
    ]


@pytest.mark.function("ping")
def test_ping_stores_its_count_then_calls_then_waits_a_second(load: Loader) -> None:
    guest = load("ping")
    guest.init()
    guest.answers.extend([(1, b"PONG"), (2, b"")])
    assert guest.cast("wakeup") == [
        ("log", INFO, "ping", "ping: cast with wakeup"),
        ("sync", '{"count":1}'),
        ("call", "ponger", "PING-0"),
        ("log", INFO, "ping", "ping: answered PONG"),
        ("delayed_cast", 1000, "self", "wakeup"),
    ]
    assert guest.cast("wakeup") == [
        ("log", INFO, "ping", "ping: cast with wakeup"),
        ("sync", '{"count":2}'),
        ("call", "ponger", "PING-1"),
        ("delayed_cast", 1000, "self", "wakeup"),
    ]


@pytest.mark.function("ping")
def test_ping_goes_on_from_its_state(load: Loader) -> None:
    guest = load("ping")
    guest.init(state='{"count":41}')
    guest.answers.append((0, b""))
    assert ("call", "ponger", "PING-41") in guest.cast("wakeup")


@pytest.mark.function("ping")
def test_ping_does_nothing_but_log_for_other_messages(load: Loader) -> None:
    guest = load("ping")
    guest.init()
    assert guest.cast("wake") == [("log", INFO, "ping", "ping: cast with wake")]
    assert guest.call("wakeup") == (0, "")


@pytest.mark.function("pong")
def test_pong_replies_pong_to_calls_and_nothing_to_casts(load: Loader) -> None:
    guest = load("pong")
    guest.init()
    assert guest.call("PING-7") == (1, "PONG")
    guest.outputs.clear()
    assert guest.cast("PING-8") == [("log", INFO, "pong", "pong: cast with PING-8")]


@pytest.mark.function("double", "incr")
@pytest.mark.parametrize(
    ("name", "message", "result"),
    [
        ("double", "21", "42"),
        ("double", "-5", "-10"),
        ("double", "2147483647", "-2"),
        ("incr", "41", "42"),
        ("incr", "-1", "0"),
        ("incr", "+0", "1"),
        ("incr", "2147483647", "-2147483648"),
    ],
)
def test_numbers_are_doubled_and_incremented(
    load: Loader, name: str, message: str, result: str
) -> None:
    guest = load(name)
    guest.init()
    assert guest.cast(message) == [
        ("log", INFO, name, f"{name}: cast with {message}"),
        ("cast", "result", result),
    ]


@pytest.mark.function("double", "incr")
@pytest.mark.parametrize("name", ["double", "incr"])
@pytest.mark.parametrize("message", ["", "-", "1.5", " 1", "x", "2147483648", "-2147483649"])
def test_what_is_not_a_number_is_dropped(load: Loader, name: str, message: str) -> None:
    guest = load(name)
    guest.init()
    assert [output[0] for output in guest.cast(message)] == ["log"]
    assert guest.call("1") == (0, "")


@pytest.mark.function("counter")
@pytest.mark.parametrize(
    ("payload", "state", "first"),
    [
        (None, None, "0"),
        ("7", None, "7"),
        ("seven", None, "0"),
        ("7", "12", "12"),
        (None, "12", "12"),
        ("7", "twelve", "7"),
    ],
)
def test_counter_begins_at_its_state_then_its_payload_then_zero(
    load: Loader, payload: str | None, state: str | None, first: str
) -> None:
    assert load("counter").init(payload, state) == [("cast", "self", first)]


@pytest.mark.function("counter")
def test_counter_stores_casts_and_goes_on_in_a_second(load: Loader) -> None:
    guest = load("counter")
    guest.init()
    assert guest.cast("9") == [
        ("sync", "10"),
        ("cast", "output", "10"),
        ("delayed_cast", 1000, "self", "10"),
    ]


@pytest.mark.function("counter")
def test_counter_reports_what_is_not_a_number(load: Loader) -> None:
    guest = load("counter")
    guest.init()
    assert guest.cast("ten") == [("log", ERROR, "counter", "counter: not a number: ten")]


@pytest.mark.function("message_generator")
def test_message_generator_numbers_its_messages(load: Loader) -> None:
    guest = load("message_generator")
    assert guest.init("message=hi there,period=250") == [("cast", "self", "hi there")]
    origin = f"from node_id {NODE_TEXT} function_id {COMPONENT_TEXT}"
    for number in ("0", "1"):
        assert guest.cast("hi there") == [
            ("cast", "output", f"{origin} [#{number}]: hi there"),
            ("delayed_cast", 250, "self", "hi there"),
        ]


@pytest.mark.function("message_generator")
@pytest.mark.parametrize(
    ("payload", "message", "period_ms"),
    [
        (None, "hello world", 1000),
        ("", "hello world", 1000),
        ("period=soon", "hello world", 1000),
        ("period=-1", "hello world", 1000),
        ("period,message=", "", 1000),
        ("message=a=b,period=18446744073709551616", "a", 1000),
        ("period=1,period=2", "hello world", 2),
    ],
)
def test_message_generator_reads_its_init_payload_as_the_rust_functions_do(
    load: Loader, payload: str | None, message: str, period_ms: int
) -> None:
    guest = load("message_generator")
    # A token without a value is no error everywhere.
    sent = [output for output in guest.init(payload) if output[0] != "log"]
    assert sent == [("cast", "self", message)]
    assert guest.cast("x")[1] == ("delayed_cast", period_ms, "self", "x")


@pytest.mark.function("single_trigger")
def test_single_trigger_casts_its_message_for_every_empty_one(load: Loader) -> None:
    guest = load("single_trigger")
    assert guest.init("delay_ms=30,message=go") == [("delayed_cast", 30, "self", "")]
    assert guest.cast("not empty") == []
    assert guest.cast("") == [("cast", "out", "go")]
    assert guest.cast("") == [("cast", "out", "go")]


@pytest.mark.function("single_trigger")
def test_single_trigger_without_payload_casts_an_empty_message_at_once(load: Loader) -> None:
    guest = load("single_trigger")
    assert guest.init() == [("delayed_cast", 0, "self", "")]
    assert guest.cast("") == [("cast", "out", "")]


@pytest.mark.function("relay")
def test_relay_hands_casts_on_unchanged(load: Loader) -> None:
    guest = load("relay")
    guest.init()
    assert guest.cast("α\x00β") == [("cast", "out", "α\x00β")]
    assert guest.cast("") == [("cast", "out", "")]


@pytest.mark.function("relay")
@pytest.mark.parametrize("answer", [(0, ""), (1, "yes"), (1, ""), (2, "")])
def test_relay_gives_the_answer_of_its_call_back(load: Loader, answer: tuple[int, str]) -> None:
    guest = load("relay")
    guest.init()
    guest.answers.append((answer[0], answer[1].encode()))
    assert guest.call("well?") == answer
    assert guest.outputs == [("call", "out", "well?")]


@pytest.mark.function("system_test")
def test_system_test_halves_and_decrements(load: Loader) -> None:
    guest = load("system_test")
    assert guest.init("8")[1:] == [("delayed_cast", 1000, "self", "8")]
    for message, half, less in [("8", "4", "7"), ("-7", "-3", "-8"), ("1", "0", "0")]:
        assert guest.cast(message)[1:] == [
            ("cast", "out1", half),
            ("cast", "out2", less),
            ("cast", "log", message),
        ]


@pytest.mark.function("system_test")
@pytest.mark.parametrize("payload", [None, "", "eight", "2147483648"])
def test_system_test_starts_nothing_without_a_number(load: Loader, payload: str | None) -> None:
    assert [output[0] for output in load("system_test").init(payload)] == ["log"]


@pytest.mark.function("system_test")
@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("", "cannot parse integer from empty string"),
        ("-", "invalid digit found in string"),
        ("ten", "invalid digit found in string"),
        ("99999999999x", "number too large to fit in target type"),
        ("-2147483649", "number too small to fit in target type"),
    ],
)
def test_system_test_says_what_is_wrong_with_a_number(
    load: Loader, message: str, fault: str
) -> None:
    guest = load("system_test")
    guest.init()
    assert guest.cast(message)[1:] == [
        ("cast", "err", f"parsing error: {fault}"),
        ("cast", "log", message),
    ]
    assert guest.call(message) == (0, "")


@pytest.mark.function("messaging_test")
@pytest.mark.parametrize(
    ("message", "output"),
    [
        ("test_cast_raw_output", ("cast_raw", *SOURCE, "cast_raw_output")),
        ("test_call_raw_output", ("call_raw", *SOURCE, "call_raw_output")),
        ("test_delayed_cast_output", ("delayed_cast", 100, "test", "delayed_cast_output")),
        ("test_cast_output", ("cast", "test", "cast_output")),
        ("test_call_output", ("call", "test", "call_output")),
        ("anything", ("log", INFO, "messaging_test", "messaging_test: not a test")),
    ],
)
def test_messaging_test_sends_in_the_way_asked_for(
    load: Loader, message: str, output: tuple[object, ...]
) -> None:
    guest = load("messaging_test")
    assert [entry[0] for entry in guest.init()] == ["log"]
    guest.answers.append((1, b"an answer that nobody reads"))
    assert guest.cast(message) == [output]
    assert [entry[0] for entry in guest.stop()] == ["log"]


@pytest.mark.function("messaging_test")
@pytest.mark.parametrize(
    ("message", "answer"),
    [("test_err", (2, "")), ("test_ret", (1, "test_reply")), ("anything", (0, ""))],
)
def test_messaging_test_answers_as_asked(
    load: Loader, message: str, answer: tuple[int, str]
) -> None:
    guest = load("messaging_test")
    guest.init()
    assert guest.call(message) == answer


@pytest.mark.function("state_test")
def test_state_test_logs_its_state_and_stores_a_new_one(load: Loader) -> None:
    guest = load("state_test")
    assert guest.init(state="kept") == [("log", INFO, "edgeless_test_state", "kept")]
    assert guest.cast("test_cast_raw_output") == [("sync", "new_state")]
    assert guest.call("test_cast_raw_output") == (0, "")


@pytest.mark.function("state_test")
def test_state_test_tells_an_empty_state_from_none(load: Loader) -> None:
    assert load("state_test").init() == [("log", INFO, "state_test", "no_state")]
    assert load("state_test").init(state="") == [("log", INFO, "edgeless_test_state", "")]
