"""What metrics-collector understands of messages and configurations (spec 6.14)."""

from datetime import UTC, datetime

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.resources.collector_rules import (
    BATCH_MAX,
    NAMES_MAX,
    WAITING_MAX,
    WARM_UP_MS_MAX,
    CollectorConfiguration,
    Report,
    Sample,
    Verb,
    average_key,
    read_configuration,
    read_report,
    samples_key,
    stamp,
)


@pytest.mark.parametrize(
    ("message", "report"),
    [
        ("function:begin:0", Report(Verb.BEGIN, 0)),
        ("function:end:18446744073709551615", Report(Verb.END, 2**64 - 1)),
        ("workflow:begin:007", Report(Verb.BEGIN, 7, of_workflow=True)),
        ("workflow:end:12", Report(Verb.END, 12, of_workflow=True)),
        ("reset:0", Report(Verb.RESET, 0)),
        (f"reset:{WARM_UP_MS_MAX}", Report(Verb.RESET, WARM_UP_MS_MAX)),
    ],
)
def test_a_message_is_understood(message: str, report: Report) -> None:
    assert read_report(message) == report


@pytest.mark.parametrize(
    "message",
    [
        "",
        "function",
        "function:begin",
        "function:begin:",
        "function:begin:-1",
        "function:begin:+1",
        "function:begin:1.0",
        "function:begin:1:2",
        "function:begin:18446744073709551616",
        "function:begin: 1",
        "function:begin:1\n",
        "function:begin:١",
        "function:stop:1",
        "Function:begin:1",
        "node:begin:1",
        "reset",
        "reset:",
        "reset:1s",
        "reset:1:2",
        f"reset:{WARM_UP_MS_MAX + 1}",
        "reset:99999999999",
        "function:begin:" + "0" * 50 + "1",
        "x" * 1_000_000,
    ],
)
def test_what_is_no_message_is_not_understood(message: str) -> None:
    assert read_report(message) is None


def test_a_configuration_has_defaults_which_an_empty_text_means_too() -> None:
    assert read_configuration({}) == CollectorConfiguration(0.9, "")
    assert read_configuration({"alpha": "", "wf_name": ""}) == CollectorConfiguration(0.9, "")
    assert read_configuration({"alpha": "1", "wf_name": "wf0"}) == CollectorConfiguration(1, "wf0")


@pytest.mark.parametrize(
    ("configuration", "detail"),
    [
        ({"alpha": "high"}, "alpha: 'high' is no number above 0 and up to 1"),
        ({"alpha": "0"}, "alpha: '0' is no number above 0 and up to 1"),
        ({"alpha": "1.1"}, "alpha: '1.1' is no number above 0 and up to 1"),
        ({"alpha": "nan"}, "alpha: 'nan' is no number above 0 and up to 1"),
        ({"wf_name": "a\x00"}, "wf_name: 'a\\x00': it has a control character"),
        ({"wf_name": "é" * 128}, "it has more than 255 bytes"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(
    configuration: dict[str, str], detail: str
) -> None:
    with pytest.raises(RejectedError) as refusal:
        read_configuration(configuration)
    assert refusal.value.summary == "Invalid resource configuration"
    assert detail in str(refusal.value.detail)


@pytest.mark.parametrize(
    ("utc", "text"),
    [
        (datetime(2026, 1, 1, 0, 0, 1, 5_999, tzinfo=UTC), "1767225601.005"),
        (datetime(2026, 1, 1, 0, 0, 1, 50_000, tzinfo=UTC), "1767225601.050"),
        (datetime(2026, 1, 1, tzinfo=UTC), "1767225600.000"),
        (datetime(1970, 1, 1, 0, 0, 59, 999_999, tzinfo=UTC), "59.999"),
    ],
)
def test_a_time_has_three_digits_behind_the_point_so_that_it_is_the_number_it_looks_like(
    utc: datetime, text: str
) -> None:
    assert stamp(utc) == text


def test_a_sample_is_kept_as_edgeless_does() -> None:
    sample = Sample("function:7", 12, "3.004", 12.5)
    assert sample.text == "12,3.004"
    assert samples_key(sample.name) == "function:7:samples"
    assert average_key(sample.name) == "function:7:average"


def test_a_name_that_makes_room_has_no_sample_that_waits() -> None:
    assert WAITING_MAX + BATCH_MAX < NAMES_MAX
