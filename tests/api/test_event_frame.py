"""Events on our own wire between processes: what is sent is read, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_sim.api.event_frame import HEADER_BYTES, EventFrames
from edgeless_sim.model.event import Event, EventType

TARGET, SOURCE, METADATA = bytes(range(32)), bytes(range(32, 64)), bytes(range(24))
EVENT = Event(EventType.CALL, TARGET, SOURCE, 7, "hällo", 1_000, METADATA, 9)
U64 = st.integers(0, 2**64 - 1)
EVENTS = st.builds(
    Event,
    st.sampled_from([int(kind) for kind in EventType]),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    U64,
    st.text(),
    st.integers(0, 2**62),
    st.binary(min_size=24, max_size=24),
    U64,
)


def test_the_layout_is_that_of_the_table() -> None:
    payload = EventFrames(epoch_ns=5_000).encode(EVENT)
    assert payload == (
        bytes((1, 0))
        + (7).to_bytes(8)
        + (6_000).to_bytes(8)
        + (9).to_bytes(8)
        + TARGET
        + SOURCE
        + METADATA
        + "hällo".encode()
    )


@given(EVENTS)
def test_what_was_encoded_is_decoded(event: Event) -> None:
    frames = EventFrames()
    assert frames.decode(frames.encode(event)) == event


def test_times_count_from_each_process_own_beginning() -> None:
    payload = EventFrames(epoch_ns=1_000).encode(EVENT)
    assert EventFrames(epoch_ns=1_500).decode(payload).created_ns == 500


def test_a_return_has_no_time_wherever_it_goes() -> None:
    event = Event(EventType.CALL_RET, TARGET, SOURCE, 7, "", 0, METADATA, 9)
    payload = EventFrames(epoch_ns=1_000).encode(event)
    assert EventFrames(epoch_ns=2_000).decode(payload).created_ns == 0


def test_a_header_that_is_cut_off_anywhere_is_none() -> None:
    payload = EventFrames().encode(EVENT)
    for length in range(HEADER_BYTES):
        with pytest.raises(ValueError, match="ends too early"):
            EventFrames().decode(payload[:length])


@pytest.mark.parametrize(
    "payload",
    [
        b"\x02" + EventFrames().encode(EVENT)[1:],
        b"\x01\x05" + EventFrames().encode(EVENT)[2:],
        EventFrames().encode(EVENT) + b"\xff",
    ],
    ids=["version", "kind", "not UTF-8"],
)
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of three different checks
        EventFrames().decode(payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_value_error(payload: bytes) -> None:
    try:
        event = EventFrames().decode(payload)
    except ValueError:
        return
    assert EventFrames().encode(event) == payload


@pytest.mark.parametrize(
    "event",
    [
        Event(0, TARGET[1:], SOURCE, 7, "", 0, METADATA, 9),
        Event(0, TARGET, SOURCE + b"x", 7, "", 0, METADATA, 9),
        Event(0, TARGET, SOURCE, 7, "", 0, b"", 9),
        Event(0, TARGET, SOURCE, 2**64, "", 0, METADATA, 9),
        Event(0, TARGET, SOURCE, 7, "", 0, METADATA, -1),
        Event(0, TARGET, SOURCE, 7, "\ud800", 0, METADATA, 9),
    ],
    ids=["target", "source", "metadata", "stream", "serial", "surrogate"],
)
def test_what_does_not_fit_is_not_encoded(event: Event) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of different checks
        EventFrames().encode(event)
