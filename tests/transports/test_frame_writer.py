"""What waits to be sent is bounded, counted, and leaves in packets."""

import pytest

from edgeless_transports.frame_writer import FrameWriter
from edgeless_transports.framing import CAST, REPLY


def test_a_method_is_sent_as_text_once() -> None:
    writer = FrameWriter()
    first, second = (writer.write(CAST, 0, "/edgeless_api.Node/Start") for _ in range(2))
    assert (len(first), len(second)) == (8 + 11 + 24 + 11, 8 + 11)


def test_a_cast_in_company_takes_four_bytes_more_than_its_payload() -> None:
    writer = FrameWriter()
    writer.write(CAST, 0, "event")
    for _ in range(100):
        assert writer.cast("event", b"payload")
    assert len(writer.take()) == 8 + 7 + 100 * (4 + 7)


@pytest.mark.parametrize("waiting_max", [1000, 100_000])
def test_so_much_waits_and_no_more(waiting_max: int) -> None:
    def cast(writer: FrameWriter) -> bool:
        return writer.cast("m", bytes(90))

    def reply(writer: FrameWriter) -> bool:
        return writer.add(REPLY, 1, "", 0, bytes(90))

    for send in (cast, reply):
        writer = FrameWriter(waiting_max)
        taken = 0
        while send(writer):
            taken += 1
            assert taken < 2000
        assert waiting_max - 300 < writer.waiting <= waiting_max + 100
        while writer.take():
            pass
        assert send(writer)


def test_a_frame_beyond_what_may_wait_goes_alone() -> None:
    writer = FrameWriter(1000)
    assert writer.cast("m", bytes(5000))
    assert not writer.cast("m", b"")
    assert len(writer.take()) > 5000
    assert writer.cast("m", b"")


def test_somebody_is_woken_for_the_first_frame_that_waits() -> None:
    woken: list[int] = []
    writer = FrameWriter(wake=lambda: woken.append(1))
    for turn in range(1, 4):
        for _ in range(1000):
            writer.cast("m", bytes(200))
        assert len(woken) == turn
        while writer.take():
            pass


def test_a_closed_writer_takes_and_gives_nothing() -> None:
    writer = FrameWriter()
    assert writer.cast("m", b"")
    writer.close()
    assert not writer.cast("m", b"")
    assert not writer.add(REPLY, 1)
    assert writer.take() == b""


def test_a_writer_takes_no_method_that_a_reader_would_refuse() -> None:
    for method in ("", "a b", "ä", "m" * 256):
        with pytest.raises(ValueError, match="not a method name"):
            FrameWriter().write(CAST, 0, method)
