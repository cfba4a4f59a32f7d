"""Durations, sizes and rates carry units and are read strictly."""

import pytest

from edgeless_sim.scenario.units import (
    duration_text,
    parse_bandwidth,
    parse_duration,
    parse_memory_mib,
)


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("0s", 0),
        ("1ns", 1),
        ("2us", 2_000),
        ("250ms", 250_000_000),
        ("1.5s", 1_500_000_000),
        ("1 s", 1_000_000_000),
        ("0.000000001s", 1),
        ("2min", 120_000_000_000),
        ("24h", 86_400_000_000_000),
        ("7d", 604_800_000_000_000),
    ],
)
def test_a_duration_is_exact(text: str, expected_ns: int) -> None:
    assert parse_duration(text) == expected_ns


@pytest.mark.parametrize(
    "value",
    [
        "",
        "5",
        5,
        5.0,
        True,
        None,
        "-1s",
        "+1s",
        "1e3s",
        "1_0s",
        "\u0663s",
        "1s\n",
        " 1s",
        "1  s",
        "inf",
        "nans",
        "1S",
        "1 parsec",
        "0.5ns",
        "4000d",
        "9" * 40 + "s",
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected a duration|unknown unit|whole|longer"):
        parse_duration(value)


def test_memory_is_in_mib() -> None:
    assert parse_memory_mib("4GiB") == 4096
    assert parse_memory_mib("1GB") == 953
    with pytest.raises(ValueError, match="not between 1 MiB"):
        parse_memory_mib("0.5MiB")
    with pytest.raises(ValueError, match="unknown unit"):
        parse_memory_mib("4Gb")


def test_bandwidth_is_in_bytes_per_second() -> None:
    assert parse_bandwidth("10MB/s") == 10_000_000
    assert parse_bandwidth("1.5KiB/s") == 1536
    with pytest.raises(ValueError, match="not between"):
        parse_bandwidth("0B/s")
    with pytest.raises(ValueError, match="unknown unit"):
        parse_bandwidth("10MB")


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0s"), (1, "1ns"), (1_500, "1.5us"), (20_000_000_000, "20s"), (250_000_000, "250ms")],
)
def test_a_duration_is_shown_as_people_write_it(ns: int, text: str) -> None:
    assert duration_text(ns) == text
