"""Strict JSON: each doubtful document is refused at its place (reliability B01 to B07)."""

import pytest

from edgeless_sim.errors import FunctionSpecError, WorkflowSpecError
from edgeless_sim.model.json_text import JSON_BYTES_MAX, path_text, read_json


def refusal(data: bytes) -> str:
    with pytest.raises(WorkflowSpecError) as caught:
        read_json(data, error=WorkflowSpecError, source="w.json")
    return str(caught.value)


def test_a_document_may_begin_with_a_byte_order_mark() -> None:
    document = read_json(b"\xef\xbb\xbf[1]", error=WorkflowSpecError, source="w")
    assert document.value == [1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "w.json:1:1: the document is empty"),
        (b" \n", "w.json:2:1: the document is empty"),
        (b'{"a": 1', "w.json:1:8: not JSON: Expecting ',' delimiter"),
        (b"{} {}", "w.json:1:4: not JSON: Extra data"),
        (b'{"a": "x\ny"}', "w.json:1:9: not JSON: Invalid control character at"),
        ("{}".encode("utf-16"), "w.json:1:1: not UTF-8 (byte 0)"),
        (b'[1,\n "\xe4"]', "w.json:2:3: not UTF-8 (byte 6)"),
        (b'{"a":\n [1, NaN]}', "w.json:2:6: NaN is not a JSON number"),
        (b"[1, -Infinity]", "w.json:1:5: -Infinity is not a JSON number"),
        (b"[1e999]", "w.json:1:2: the number '1e999' is too large"),
        (b"[-0]", "w.json:1:2: -0 is not an integer"),
        (
            b"[18446744073709551616]",
            "w.json:1:2: the number '18446744073709551616' does not fit 64 bits",
        ),
        (b'{"a": 1, "b": {"x": 1,\n"x": 2}}', "w.json:2:1: the key 'x' occurs twice"),
        (b'[{"x": 1}, {"x": 2, "\\u0078": 3}]', "w.json:1:21: the key 'x' occurs twice"),
        (b'{"a": "\\ud800"}', "w.json:1:7: half of a surrogate pair is not text"),
        (b'{"\\uDFFFa": 1}', "w.json:1:2: half of a surrogate pair is not text"),
    ],
)
def test_a_doubtful_document_is_refused_with_its_place(data: bytes, message: str) -> None:
    assert refusal(data) == message


def test_the_error_is_of_the_callers_class() -> None:
    with pytest.raises(FunctionSpecError):
        read_json(b"{", error=FunctionSpecError, source="function.json")


def test_a_whole_surrogate_pair_and_an_escaped_backslash_are_text() -> None:
    data = b'["\\ud83d\\ude00", "\\\\ud800"]'
    document = read_json(data, error=WorkflowSpecError, source="w")
    assert document.value == ["\N{GRINNING FACE}", "\\ud800"]


def test_the_largest_integers_are_read() -> None:
    data = b"[18446744073709551615, -9223372036854775808]"
    document = read_json(data, error=WorkflowSpecError, source="w")
    assert document.value == [2**64 - 1, -(2**63)]


def test_thirty_two_levels_are_read() -> None:
    data = b"[" * 32 + b"]" * 32
    read_json(data, error=WorkflowSpecError, source="w")


@pytest.mark.parametrize("depth", [33, 1_000, 100_000])
def test_deeper_nesting_is_refused_without_recursion(depth: int) -> None:
    assert refusal(b"[" * depth + b"]" * depth) == "w.json:1:33: nested deeper than 32"
    assert refusal(b'{"a":' * depth).endswith("nested deeper than 32")


def test_brackets_in_strings_do_not_nest() -> None:
    data = b'["' + b'[\\"{' * 50 + b'"]'
    read_json(data, error=WorkflowSpecError, source="w")


def test_a_document_beyond_the_limit_is_refused_before_it_is_parsed() -> None:
    assert refusal(b"x" * (JSON_BYTES_MAX + 1)) == "w.json: larger than 16777216 bytes"


def test_a_string_of_escaped_quotes_that_never_ends_is_read_once() -> None:
    # An expression that tried again at each quote would need hours here.
    assert "Unterminated string" in refusal(b'"' + b'\\"' * 1_000_000)


def test_a_message_shows_at_most_a_kibibyte_and_nothing_raw() -> None:
    message = refusal('{"\u202e": 1, "\u202e": 2}'.encode())
    assert "'\\u202e' occurs twice" in message
    long = b'{"' + b"k" * 5_000 + b'": 1, "' + b"k" * 5_000 + b'": 2}'
    assert len(refusal(long).encode()) <= 1024


def test_a_value_is_refused_at_its_key_or_element() -> None:
    text = b'{"a": [],\n "b": [{"c": 1}, {"c": {}, "d e": 2}]}'
    document = read_json(text, error=WorkflowSpecError, source="w")
    for path, place in (
        ((), "w:1:1: no"),
        (("b",), "w:2:2: b: no"),
        (("b", 1), "w:2:18: b[1]: no"),
        (("b", 1, "d e"), "w:2:28: b[1]['d e']: no"),
    ):
        with pytest.raises(WorkflowSpecError) as caught:
            document.refuse(path, "no")
        assert str(caught.value) == place


def test_a_path_is_shown_as_people_write_it() -> None:
    shown = path_text(("functions", 2, "output_mapping", "a b"))
    assert shown == "functions[2].output_mapping['a b']"
