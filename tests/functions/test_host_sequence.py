"""What EDGELESS's node does to its guests, and some of it in ways that they have to survive."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import wasmtime

if TYPE_CHECKING:
    from tests.functions.conftest import Guest

MIB = 1 << 20
LANGUAGES = ["c", "rust"]
#: A megabyte comes, is copied for the handler, and goes into a log line that is built by doubling.
PAGES_MAX = {"c": 34, "rust": 100}

Maker = Callable[[str], "Guest"]


@pytest.fixture(params=LANGUAGES)
def make(
    request: pytest.FixtureRequest,
    engine: wasmtime.Engine,
    compiled: Callable[..., wasmtime.Module],
) -> Maker:
    """Makes a function in the language of the test, entered as EDGELESS's node does it."""
    from_module = request.getfixturevalue("start_module")
    return lambda name: from_module(compiled(name, request.param))


@pytest.fixture
def language(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["make"])


@pytest.mark.parametrize("reply", [b"", b"r", b"grue\xc3\x9fe" * 1000, b"r" * MIB])
def test_a_reply_is_still_there_when_everything_else_was_freed(make: Maker, reply: bytes) -> None:
    guest = make("relay")
    guest.init()
    for _ in range(3):
        guest.answers.append((1, reply))
        assert guest.call("again") == (1, reply.decode())


def test_replies_that_are_handed_on_do_not_add_up(make: Maker, language: str) -> None:
    guest = make("relay")
    guest.init()
    pages = set()
    for _ in range(20):
        guest.answers.append((1, b"r" * MIB))
        assert guest.call("again")[0] == 1
        pages.add(guest.pages)
    assert len(pages) == 1
    assert pages.pop() <= PAGES_MAX[language]


@pytest.mark.parametrize("name", ["noop", "relay", "system_test"])
def test_a_payload_of_one_mebibyte_is_handled_again_in_the_same_memory(
    make: Maker, language: str, name: str
) -> None:
    guest = make(name)
    guest.init()
    payload = "x" * MIB
    outputs = guest.cast(payload)
    assert any(str(output[-1]).endswith(payload) for output in outputs)
    pages = guest.pages
    for _ in range(20):
        assert guest.cast(payload) == outputs
    assert guest.pages == pages <= PAGES_MAX[language]


def test_empty_payloads_are_no_special_case(make: Maker) -> None:
    guest = make("relay")
    guest.init("")
    for _ in range(1000):
        assert guest.cast("") == [("cast", "out", "")]
        guest.answers.append((1, b""))
        assert guest.call("") == (1, "")
        guest.outputs.clear()
    assert guest.pages <= 2


def test_an_empty_allocation_may_be_freed_or_not(make: Maker) -> None:
    guest = make("noop")
    for _ in range(1000):
        pointer = guest._enter("edgeless_mem_alloc", 0)
        assert pointer != 0
        guest._enter("edgeless_mem_free", pointer, 0)
        guest._enter("edgeless_mem_alloc", 0)
    assert str(guest.cast("x")[0][3]).endswith("MSG: x")


def test_allocations_of_all_sizes_are_apart_and_in_order_of_freeing_reusable(make: Maker) -> None:
    guest = make("noop")
    guest._enter("edgeless_mem_clear")
    sizes = [1, 15, 16, 17, 100, 4096, 65_536, 70_000, 3, 1]
    places = [guest._enter("edgeless_mem_alloc", size) for size in sizes]
    spans = sorted(zip(places, sizes, strict=True))
    for (begin, size), (following, _) in pairwise(spans):
        assert begin + size <= following
    assert spans[-1][0] + spans[-1][1] <= guest.pages * 65_536
    pages = guest.pages
    for place, size in zip(reversed(places), reversed(sizes), strict=True):
        guest._enter("edgeless_mem_free", place, size)
    assert sorted(guest._enter("edgeless_mem_alloc", size) for size in sizes) == sorted(places)
    assert guest.pages == pages


def test_a_guest_that_gets_no_memory_traps(make: Maker) -> None:
    with pytest.raises(wasmtime.Trap):
        make("noop")._enter("edgeless_mem_alloc", 0xFFFF_FFF8)


def test_rust_replaces_what_is_not_utf8_and_c_hands_it_on(make: Maker, language: str) -> None:
    guest = make("relay")
    guest.init()
    if language == "rust":
        assert guest.cast(b"a\xffb\xe2\x82") == [("cast", "out", "a\ufffdb\ufffd")]
        guest.answers.append((1, b"\xc3("))
        assert guest.call("?") == (1, "\ufffd(")
    else:
        with pytest.raises(UnicodeDecodeError):
            guest.cast(b"a\xffb\xe2\x82")


def test_a_guest_lives_through_any_mixture_of_events(make: Maker) -> None:
    guest = make("relay")
    guest.init("x" * 5000, "s" * 5000)
    for number in range(300):
        text = "é" * (number * 37 % 5000)
        assert guest.cast(text) == [("cast", "out", text)]
        guest.answers.append((number % 3, text.encode()))
        assert guest.call(text) == (number % 3, text if number % 3 == 1 else "")
        guest.outputs.clear()
    assert guest.pages <= 3
    assert guest.stop() == []
