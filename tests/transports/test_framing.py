"""Frames as bytes: whatever a peer sends, whole or in pieces, ends in frames or in one error."""

import tracemalloc
from itertools import count, pairwise
from struct import pack
from typing import TypeAlias
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_transports import AddressError, Incoming
from edgeless_transports.frame_reader import FrameReader
from edgeless_transports.frame_writer import FrameWriter
from edgeless_transports.framing import (
    CAST,
    DEFINE,
    FRAMES_MAX,
    GOODBYE,
    HELLO,
    METHODS_MAX,
    NUMBERED,
    PACKET_BYTES,
    PAYLOAD_BYTES_MAX,
    PING,
    REFUSAL,
    REPLY,
    REQUEST,
    Hello,
    ProtocolError,
)

#: kind, call, method, timeout in ms, payload
WireFrame: TypeAlias = tuple[int, int, str, int, bytes]

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
        st.sampled_from([REPLY, REFUSAL, PING]),
        st.integers(0, 2**64 - 1),
        st.just(""),
        st.just(0),
        PAYLOADS,
    ),
)


class Recorder:
    """A reader, and all that it delivers."""

    peer = "somebody"

    def __init__(self, payload_bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        self.frames: list[WireFrame] = []
        self.hello: Hello | None = None
        self.reader = FrameReader(self._greet, self.answer, payload_bytes_max)

    def _greet(self, hello: Hello) -> "Recorder":
        self.hello = hello
        return self

    def cast(self, incoming: Incoming) -> None:
        assert incoming.peer == "somebody"
        self.frames.append((CAST, 0, incoming.method, 0, incoming.payload))
        if incoming.payload == b"fail":
            raise LookupError("the receiver failed")

    def cast_failed(self, error: Exception) -> None:
        assert isinstance(error, LookupError)
        self.frames.append((CAST, 0, "failed", 0, str(error).encode()))

    def request(self, call: int, method: str, timeout_ms: int, payload: bytes) -> None:
        self.frames.append((REQUEST, call, method, timeout_ms, payload))

    def answer(self, kind: int, call: int, payload: bytes) -> None:
        self.frames.append((kind, call, "", 0, payload))


def _written(frames: list[WireFrame]) -> bytes:
    """A packet for each frame."""
    writer = FrameWriter()
    return GREETING + b"".join(writer.write(*frame) for frame in frames)


def _packed(frames: list[WireFrame]) -> bytes:
    """As few packets as possible."""
    writer = FrameWriter()
    for frame in frames:
        assert writer.add(*frame)
    return GREETING + b"".join(iter(writer.take, b""))


def _read(*pieces: bytes) -> tuple[list[WireFrame], ProtocolError | None]:
    recorder = Recorder()
    for piece in pieces:
        recorder.reader.feed(piece)
    return recorder.frames, recorder.reader.error


def _packet(groups: bytes) -> bytes:
    return pack(">II", len(groups), crc32(groups)) + groups


def _group(kind: int, number: int, *payloads: bytes) -> bytes:
    sizes = (pack(">I", len(payload)) for payload in payloads)
    calls = pack(">QI", 1, 0) if kind in NUMBERED else b""
    items = b"".join(size + calls for size in sizes)
    return pack(">BHI", kind, number, len(payloads)) + items + b"".join(payloads)


def _raw(kind: int, number: int, payload: bytes) -> bytes:
    """A frame with the right checksum and whatever else."""
    return _packet(_group(kind, number, payload))


def _reason(*pieces: bytes) -> str:
    frames, error = _read(*pieces)
    assert error is not None
    assert frames == []
    return error.reason


@given(st.lists(FRAMES, max_size=8), st.booleans(), st.lists(st.integers(0, 5000), max_size=12))
def test_any_split_gives_the_same_frames(
    frames: list[WireFrame], packed: bool, cuts: list[int]
) -> None:
    data = _packed(frames) if packed else _written(frames)
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
    recorder = Recorder()
    recorder.reader.feed(GREETING if greeted else b"")
    # A checksum of 32 bits stands before any frame that noise could be taken for.
    assert not recorder.reader.feed(noise)
    assert recorder.frames == []
    assert recorder.reader.error is not None or recorder.reader.unfinished == len(noise)


@given(st.integers(0, 2**32 - 1))
def test_a_length_beyond_the_cap_is_refused_by_its_four_bytes(length: int) -> None:
    _, error = _read(GREETING, length.to_bytes(4, "big"))
    # What waited before the last frame, the longest payload, the longest methods, three groups.
    cap = (64 << 10) + (16 << 20) + (64 << 10) + 256 + 256 + 3 * 23
    assert (error is None) == (11 <= length <= cap)
    assert error is None or error.reason == "length"


@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1, 16 << 20])
def test_nothing_is_allocated_by_an_announced_length(length: int) -> None:
    reader = Recorder().reader
    reader.feed(GREETING)
    tracemalloc.start()
    try:
        reader.feed(length.to_bytes(4, "big") + b"x" * 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000


def test_a_frame_in_tiny_pieces_takes_the_memory_of_its_bytes() -> None:
    reader = Recorder().reader
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
    assert _reason(_raw(HELLO, 0, payload)) == reason


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
        (_raw(HELLO, 0, Hello().encode()), "kind"),
        (_raw(0, 0, b""), "kind"),
        (_raw(10, 0, b""), "kind"),
        (_raw(CAST, 1, b""), "method"),
        (_raw(CAST, 0, b""), "method"),
        (_raw(CAST, 0, b"\5ab d"), "method"),
        (_raw(REQUEST, 1, b""), "method"),
        (_raw(REQUEST, 0, b""), "method"),
        (_raw(DEFINE, 2, b"a"), "method"),
        (_raw(DEFINE, 1, b""), "method"),
        (_raw(DEFINE, 1, b"a" * 256), "method"),
        (_raw(DEFINE, 1, b"\xc3\xa4"), "method"),
        (_raw(CAST, 0, b"\1a")[:-1] + b"b", "checksum"),
        (_packet(_group(DEFINE, 1, b"a", b"b")), "kind"),
        (_packet(_group(CAST, 0) + bytes(4)), "length"),
        (_packet(_group(CAST, 0, b"\1a")[:-1]), "length"),
        (_packet(_group(REPLY, 0, b"12345")[:-1]), "length"),
        (_packet(pack(">BHI", CAST, 0, 1 << 30) + bytes(100)), "length"),
        (_packet(pack(">BHI", REPLY, 0, 7) + bytes(100)), "length"),
        (_packet(pack(">BHII", CAST, 0, 1, 2**32 - 1)), "length"),
        (_packet(_group(PING, 0, *[b""] * (FRAMES_MAX + 1))), "length"),
    ],
    ids=count(),
)
def test_a_frame_that_no_peer_may_send_is_an_error(frame: bytes, reason: str) -> None:
    assert _reason(GREETING, frame) == reason


def test_nothing_but_a_hello_comes_first() -> None:
    assert _reason(_raw(PING, 0, b"")) == "hello"
    _, error = _read(_raw(GOODBYE, 0, b"too many connections"))
    assert "too many connections" in str(error)


def test_a_hello_is_alone_in_its_packet() -> None:
    hello = Hello().encode()
    assert _reason(_packet(_group(HELLO, 0, hello) + _group(PING, 0, b""))) == "hello"
    assert _reason(_packet(_group(HELLO, 0, hello, hello))) == "hello"


def test_after_an_error_nothing_is_read() -> None:
    good = _group(CAST, 0, b"\1agood")
    for bad in (_packet(good) + _raw(99, 0, b""), _packet(good + _group(99, 0, b"") + good)):
        frames, error = _read(GREETING, bad + _packet(good), _packet(good))
        assert frames == [(CAST, 0, "a", 0, b"good")]
        assert error is not None


def test_a_receiver_that_fails_for_a_cast_gets_the_next_one() -> None:
    casts: list[WireFrame] = [(CAST, 0, "m", 0, payload) for payload in (b"1", b"fail", b"2")]
    failed: WireFrame = (CAST, 0, "failed", 0, b"the receiver failed")
    assert _read(_packed(casts)) == ([casts[0], casts[1], failed, casts[2]], None)


def test_a_payload_beyond_the_limit_is_refused_in_any_company() -> None:
    for kind in (CAST, REPLY):
        small = FrameWriter()
        for size in (10, 10_000, 10):
            small.add(kind, 0, "m" if kind == CAST else "", 0, bytes(size))
        recorder = Recorder(payload_bytes_max=1000)
        recorder.reader.feed(GREETING + small.take())
        assert recorder.reader.error is not None
        assert recorder.reader.error.reason == "length"


def test_methods_beyond_the_table_travel_as_text() -> None:
    names = [f"method/{number}" for number in range(METHODS_MAX + 10)]
    frames: list[WireFrame] = [(CAST, 0, name, 0, name.encode()) for name in names]
    for written in (_written, _packed):
        assert _read(written(frames * 2)) == (frames * 2, None)
    table = b"".join(_raw(DEFINE, number, b"m") for number in range(1, METHODS_MAX + 2))
    assert _reason(GREETING, table) == "method"


@given(st.lists(st.tuples(st.integers(0, 40_000), st.booleans()), max_size=40))
def test_what_waits_is_counted_to_the_byte_and_leaves_in_packets_of_a_size(
    frames: list[tuple[int, bool]],
) -> None:
    writer = FrameWriter()
    for size, is_cast in frames:
        if is_cast:
            writer.cast("m", bytes(size))
        else:
            writer.add(REPLY, 1, "", 0, bytes(size))
    waiting = writer.waiting
    packets = list(iter(writer.take, b""))
    assert waiting == sum(len(packet) - 8 for packet in packets)
    assert writer.waiting == 0
    assert all(len(packet) <= PACKET_BYTES + 40_000 + 100 for packet in packets)
    assert all(len(packet) >= PACKET_BYTES for packet in packets[:-1])
    read, error = _read(GREETING + b"".join(packets))
    assert error is None
    assert [(len(payload), kind == CAST) for kind, _, _, _, payload in read] == frames


def test_a_million_pings_are_frames_like_others() -> None:
    recorder = Recorder()
    recorder.reader.feed(GREETING)
    ping = _raw(PING, 0, b"") * 1000
    for _ in range(1000):
        assert recorder.reader.feed(ping)
        assert len(recorder.frames) == 1000
        recorder.frames.clear()
    assert recorder.reader.unfinished == 0
