"""Frames as bytes: whatever a peer sends, whole or in pieces, ends in frames or in one error."""

import tracemalloc
from itertools import pairwise
from struct import pack
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_transports import AddressError
from edgeless_transports.framing import (
    CAST,
    DEFINE,
    GOODBYE,
    HEADER_BYTES,
    HELLO,
    METHODS_MAX,
    PING,
    REFUSAL,
    REPLY,
    REQUEST,
    FrameReader,
    FrameWriter,
    Hello,
    ProtocolError,
    WireFrame,
)

GREETING = FrameWriter().write(HELLO, payload=Hello("tcp://10.0.0.1:7001").encode())
METHODS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255
) | st.just("/edgeless_api.Node/Start")
PAYLOADS = st.binary(max_size=300)
FRAMES = st.one_of(
    st.tuples(st.just(CAST), st.just(0), METHODS, st.just(0), PAYLOADS),
    st.tuples(
        st.just(REQUEST), st.integers(1, 2**64 - 1), METHODS, st.integers(0, 2**32 - 1), PAYLOADS
    ),
    st.tuples(
        st.sampled_from([REPLY, REFUSAL]),
        st.integers(0, 2**64 - 1),
        st.just(""),
        st.just(0),
        PAYLOADS,
    ),
)


def _written(frames: list[WireFrame]) -> bytes:
    writer = FrameWriter()
    return GREETING + b"".join(writer.write(*frame) for frame in frames)


def _read(*pieces: bytes) -> tuple[list[WireFrame], ProtocolError | None]:
    reader = FrameReader()
    frames = [frame for piece in pieces for frame in reader.feed(piece)]
    return frames, reader.error


def _raw(kind: int, call: int, number: int, payload: bytes) -> bytes:
    """A frame with the right checksum and whatever else."""
    body = pack(">BQHI", kind, call, number, 0) + payload
    return pack(">II", len(body), crc32(body)) + body


def _reason(*pieces: bytes) -> str:
    frames, error = _read(*pieces)
    assert error is not None
    assert frames == []
    return error.reason


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 5000), max_size=12))
def test_any_split_gives_the_same_frames(frames: list[WireFrame], cuts: list[int]) -> None:
    data = _written(frames)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert _read(*(data[a:b] for a, b in pairwise(places))) == (frames, None)


def test_bytes_may_come_one_by_one() -> None:
    frames = [
        (CAST, 0, "event", 0, b"one"),
        (REQUEST, 7, "event", 250, b""),
        (REPLY, 7, "", 0, b"x"),
    ]
    data = _written(frames)
    assert _read(*(data[at : at + 1] for at in range(len(data)))) == (frames, None)


def test_a_frame_that_is_cut_anywhere_is_not_delivered() -> None:
    data = FrameWriter().write(CAST, 0, "event", 0, b"payload")
    for end in range(len(data)):
        assert _read(GREETING, data[:end]) == ([], None)


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_a_changed_byte_never_gives_a_changed_frame(
    frames: list[WireFrame], data: st.DataObject
) -> None:
    whole = bytearray(_written(frames))
    at = data.draw(st.integers(len(GREETING), len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found, _ = _read(bytes(whole))
    assert found == frames[: len(found)]
    assert len(found) < len(frames)


@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_end_in_an_error_or_wait_for_more(noise: bytes, greeted: bool) -> None:
    reader = FrameReader()
    reader.feed(GREETING if greeted else b"")
    # A checksum of 32 bits stands before any frame that noise could be taken for.
    assert reader.feed(noise) == []
    assert reader.error is not None or reader.unfinished == len(noise)


@given(st.integers(0, 2**32 - 1))
def test_a_length_beyond_the_cap_is_refused_by_its_four_bytes(length: int) -> None:
    _, error = _read(GREETING, length.to_bytes(4, "big"))
    cap = HEADER_BYTES - 8 + (16 << 20) + (64 << 10) + 256
    assert (error is None) == (HEADER_BYTES - 8 <= length <= cap)
    assert error is None or error.reason == "length"


@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1, 16 << 20])
def test_nothing_is_allocated_by_an_announced_length(length: int) -> None:
    reader = FrameReader()
    reader.feed(GREETING)
    tracemalloc.start()
    try:
        reader.feed(length.to_bytes(4, "big") + b"x" * 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000


def test_a_frame_in_tiny_pieces_takes_the_memory_of_its_bytes() -> None:
    reader = FrameReader()
    reader.feed(GREETING)
    reader.feed((1 << 20).to_bytes(4, "big"))
    tracemalloc.start()
    try:
        for _ in range(200_000):
            reader.feed(b"xy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.unfinished == 400_004
    assert peak < 3 * 400_004


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes.fromhex("16030102000100"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        (5000).to_bytes(4, "big"),
    ],
    ids=["http", "tls", "http2", "empty", "negative", "long"],
)
def test_what_is_no_hello_is_refused_by_its_first_bytes(first: bytes) -> None:
    assert _reason(first) == "length"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"EDGX\0\1\0\0", "magic"),
        (b"", "magic"),
        (b"EDGS\0\1", "hello"),
        (b"EDGS\0\1\0\7tcp://", "hello"),
        (b"EDGS\0\1\0\3abc", "hello"),
        (b"EDGS\0\1\0\2\xff\xff", "hello"),
        (b"EDGS\0\2\0\0", "version"),
    ],
)
def test_a_wrong_hello_is_refused(payload: bytes, reason: str) -> None:
    assert _reason(_raw(HELLO, 0, 0, payload)) == reason


def test_a_wrong_version_is_refused_with_both_versions_named() -> None:
    with pytest.raises(ProtocolError, match="version 9, we speak version 1"):
        Hello.decode(Hello("", 9).encode())


def test_what_later_versions_add_to_a_hello_is_skipped() -> None:
    hello = Hello("tcp://[::1]:7001")
    assert Hello.decode(hello.encode() + b"more") == hello


@pytest.mark.parametrize("address", ["nowhere", "tcp://", "tcp://a b", "tcp://" + "a" * 1100])
def test_only_an_address_can_be_announced(address: str) -> None:
    with pytest.raises(AddressError):
        Hello(address).encode()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (_raw(HELLO, 0, 0, Hello().encode()), "kind"),
        (_raw(0, 0, 0, b""), "kind"),
        (_raw(10, 0, 0, b""), "kind"),
        (_raw(CAST, 0, 1, b""), "method"),
        (_raw(CAST, 0, 0, b""), "method"),
        (_raw(CAST, 0, 0, b"\5ab d"), "method"),
        (_raw(CAST, 9, 0, b"\1a"), "call"),
        (_raw(REQUEST, 0, 0, b"\1a"), "call"),
        (_raw(DEFINE, 0, 2, b"a"), "method"),
        (_raw(DEFINE, 0, 1, b""), "method"),
        (_raw(DEFINE, 0, 1, b"a" * 256), "method"),
        (_raw(DEFINE, 0, 1, b"\xc3\xa4"), "method"),
        (_raw(CAST, 0, 0, b"\1a")[:-1] + b"b", "checksum"),
    ],
)
def test_a_frame_that_no_peer_may_send_is_an_error(frame: bytes, reason: str) -> None:
    assert _reason(GREETING, frame) == reason


def test_nothing_but_a_hello_comes_first() -> None:
    assert _reason(_raw(PING, 1, 0, b"")) == "hello"
    _, error = _read(_raw(GOODBYE, 0, 0, b"too many connections"))
    assert "too many connections" in str(error)


def test_after_an_error_nothing_is_read() -> None:
    good = _raw(CAST, 0, 0, b"\1agood")
    frames, error = _read(GREETING, good + _raw(99, 0, 0, b"") + good, good)
    assert frames == [(CAST, 0, "a", 0, b"good")]
    assert error is not None


def test_methods_beyond_the_table_travel_as_text() -> None:
    names = [f"method/{number}" for number in range(METHODS_MAX + 10)]
    frames: list[WireFrame] = [(CAST, 0, name, 0, name.encode()) for name in names]
    assert _read(_written(frames * 2)) == (frames * 2, None)
    table = b"".join(_raw(DEFINE, 0, number, b"m") for number in range(1, METHODS_MAX + 2))
    assert _reason(GREETING, table) == "method"


def test_a_method_is_sent_as_text_once() -> None:
    writer = FrameWriter()
    first, second = (writer.write(CAST, 0, "/edgeless_api.Node/Start") for _ in range(2))
    assert (len(first), len(second)) == (2 * HEADER_BYTES + 24, HEADER_BYTES)


def test_a_writer_takes_no_method_that_a_reader_would_refuse() -> None:
    for method in ("a b", "ä", "m" * 256):
        with pytest.raises(ValueError, match="not a method name"):
            FrameWriter().write(CAST, 0, method)


def test_a_million_pings_are_frames_like_others() -> None:
    reader = FrameReader()
    reader.feed(GREETING)
    ping = _raw(PING, 0, 0, b"") * 1000
    assert sum(len(reader.feed(ping)) for _ in range(1000)) == 1_000_000
    assert reader.unfinished == 0
