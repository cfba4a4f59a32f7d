"""Names and how foreign text is shown."""

import pytest

from edgeless_sim.model.names import (
    clipped,
    looks_like_node_name,
    name_fault,
    quoted,
    shown_path,
    suggestion,
    text_fault,
)


@pytest.mark.parametrize("name", ["f1", "a/b", "..", "with space", "Gr\u00f6\u00dfe", "x" * 255])
def test_an_ordinary_name_has_no_fault(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name", ["", "\0", "a\nb", "\x7f", "\u202ex", "a\u2066", "\ufeffa", "\ud800", "\u00e4" * 128]
)
def test_a_name_that_is_empty_long_or_invisible_has_a_fault(name: str) -> None:
    assert name_fault(name) is not None


def test_a_value_may_have_line_breaks_but_not_half_characters() -> None:
    assert text_fault("a\nb\0", 10) is None
    assert text_fault("\udc80", 10) is not None


def test_a_value_is_measured_in_bytes() -> None:
    assert text_fault("\u00e4" * 5, 10) is None
    assert text_fault("\u00e4" * 5 + "x", 10) == "it has more than 10 bytes"


def test_quoted_text_is_escaped_and_cut() -> None:
    assert quoted("a\x1b[31m") == "'a\\x1b[31m'"
    assert quoted("x" * 65) == "'" + "x" * 64 + "'…"


def test_a_clipped_message_has_at_most_a_kibibyte_on_one_line() -> None:
    assert clipped("short") == "short"
    assert clipped("a\nb") == "a\\u000ab"
    assert len(clipped("\u00e4" * 2000).encode()) <= 1024
    assert len(clipped("\n" * 2000).encode()) <= 1024


def test_of_a_long_path_the_end_is_shown() -> None:
    assert shown_path("a/workflow.json") == "a/workflow.json"
    assert shown_path("x" * 300 + "/workflow.json").endswith("/workflow.json")
    assert len(shown_path("x" * 300)) == 201


def test_the_nearest_name_is_suggested() -> None:
    assert suggestion("pnog", ["ping", "pong", "log"]) == "; did you mean 'pong'?"
    assert suggestion("zzz", ["ping", "pong"]) == ""


def test_names_of_nodes_are_plain_ascii() -> None:
    assert looks_like_node_name("edge/0")
    assert looks_like_node_name("node-3.lab")
    for wrong in ("", "-a", "a b", "{a}", "n\u00f6de", "a" * 256):
        assert not looks_like_node_name(wrong)
