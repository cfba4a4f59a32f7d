"""What is no file, or too much of one (reliability B29, B30)."""

import os
import socket
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX


def test_b29_what_is_no_regular_file_is_passed_over(fill: Any, play: Any, folder: Path) -> None:
    fill(a="1", z="2")
    (folder / "b").mkdir()
    (folder / "c").symlink_to("/etc/passwd")
    (folder / "d").symlink_to("nowhere")
    os.mkfifo(folder / "e")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "f"))

    async def story(bench: Any) -> None:
        await bench.begin()
        assert await bench.payloads(3) == ["1", "2", "1"]

    play(story)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_b29_what_takes_the_place_of_a_file_is_not_read(
    fill: Any, play: Any, folder: Path, kind: str, tmp_path: Path
) -> None:
    fill(a="1", b="2")
    (tmp_path / "secret").write_text("secret")

    async def story(bench: Any) -> None:
        await bench.begin(period_ms="100")
        await bench.after(50)
        (folder / "b").unlink()
        if kind == "link":
            (folder / "b").symlink_to("../secret")
        elif kind == "pipe":
            os.mkfifo(folder / "b")
        else:
            (folder / "b").mkdir()
        assert await bench.after(200) == [(0, "1"), (100, "1"), (200, "1")]
        [warning] = bench.warnings
        assert warning.startswith("file-pusher: 'b'")

    play(story)


@pytest.mark.parametrize(("encodes", "bytes_max"), [("false", 1 << 20), ("true", 3 << 18)])
def test_a_file_that_no_event_can_carry_is_passed_over_and_told(
    fill: Any, play: Any, folder: Path, encodes: str, bytes_max: int
) -> None:
    (folder / "a").write_bytes(b"x" * bytes_max)
    (folder / "b").write_bytes(b"x" * (bytes_max + 1))
    fill(c="1")

    async def story(bench: Any) -> None:
        await bench.begin(encode_base64=encodes)
        first, second, third = await bench.payloads(3)
        assert len(first) == len(third) == PAYLOAD_BYTES_MAX
        assert second == ("MQ==" if encodes == "true" else "1")
        assert bench.warnings == [f"file-pusher: 'b' has more than {bytes_max} bytes"]

    play(story)


def test_a_file_that_is_no_text_is_sent_as_base64_only(play: Any, folder: Path) -> None:
    (folder / "a").write_bytes(b"\xff\x00")

    async def story(bench: Any) -> None:
        await bench.begin()
        assert await bench.payloads(2) == []
        assert bench.warnings == 2 * ["file-pusher: 'a' is no UTF-8 text; set encode-base64"]
        await bench.start(encode_base64="true")
        assert (await bench.after(1_000))[0][1] == b64encode(b"\xff\x00").decode()

    play(story)


def test_many_bad_files_cost_a_turn_only_so_much_and_a_warning_a_second(
    fill: Any, play: Any, folder: Path
) -> None:
    for number in range(40):
        (folder / f"{number:02}").write_bytes(b"\xff")
    fill(z="good")

    async def story(bench: Any) -> None:
        await bench.begin(period_ms="10")
        assert (await bench.after(25))[0] == (20, "good")
        await bench.after(950)
        [warning] = bench.warnings
        assert warning.endswith("set encode-base64 (and 15 more)")

    play(story)


@pytest.mark.parametrize("said", ["True", "TRUE", "true"])
def test_b30_true_is_true_in_any_case(fill: Any, play: Any, said: str) -> None:
    fill(a="1")

    async def story(bench: Any) -> None:
        await bench.begin(encode_base64=said)
        assert await bench.payloads(1) == ["MQ=="]

    play(story)


@pytest.mark.parametrize("said", ["yes", "1", "on", "", " true", "false"])
def test_b30_only_true_is_true(fill: Any, play: Any, said: str) -> None:
    fill(a="1")

    async def story(bench: Any) -> None:
        await bench.begin(encode_base64=said)
        assert await bench.payloads(1) == ["1"]

    play(story)
