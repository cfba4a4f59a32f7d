"""Which file is cast when (spec 6.5, case D38, bugs 37 and 44)."""

from pathlib import Path
from typing import Any

from edgeless_sim.model.event import ERR, EventType


def test_d38_files_are_cast_by_name_one_per_period_and_over_again(fill: Any, play: Any) -> None:
    # As bytes, so that the order is that of no language: upper case first, accents last.
    fill(b="2", a="1", Z="0", é="4", b2="3")

    async def story(bench: Any) -> None:
        await bench.begin()
        assert await bench.after(6_500) == [
            (0, "0"),
            (1_000, "1"),
            (2_000, "2"),
            (3_000, "3"),
            (4_000, "4"),
            (5_000, "0"),
            (6_000, "1"),
        ]
        assert bench.warnings == []

    play(story)


def test_d38_an_empty_directory_makes_empty_messages(play: Any, folder: Path) -> None:
    (folder / "folder").mkdir()

    async def story(bench: Any) -> None:
        await bench.begin()
        assert await bench.payloads(2) == ["", ""]

    play(story)


def test_files_that_come_go_and_change_are_noticed(fill: Any, play: Any, folder: Path) -> None:
    fill(a="1", c="3")

    async def story(bench: Any) -> None:
        await bench.begin()
        await bench.after(500)
        fill(b="2", c="new")
        assert await bench.payloads(3) == ["1", "2", "new"]
        (folder / "b").unlink()
        assert (await bench.after(2_000))[3:] == [(3_000, "1"), (4_000, "new")]

    play(story)


def test_b29_a_file_that_vanished_since_the_listing_is_passed_over(
    fill: Any, play: Any, folder: Path
) -> None:
    fill(a="1", b="2", c="3")

    async def story(bench: Any) -> None:
        await bench.begin(period_ms="100")
        await bench.after(50)
        (folder / "b").unlink()
        assert await bench.after(200) == [(0, "1"), (100, "3"), (200, "1")]
        assert bench.warnings == []

    play(story)


def test_each_instance_has_its_own_period_and_place(fill: Any, play: Any) -> None:
    fill(a="1", b="2", c="3")

    async def story(bench: Any) -> None:
        await bench.begin(1, period_ms="1000")
        await bench.begin(2, period_ms="300", encode_base64="true")
        await bench.after(950)
        assert bench.cast_by == {
            1: [(0, "1")],
            2: [(0, "MQ=="), (300, "Mg=="), (600, "Mw=="), (900, "MQ==")],
        }

    play(story)


def test_nothing_is_sent_before_the_output_is_mapped_and_nothing_is_lost(
    fill: Any, play: Any
) -> None:
    fill(a="1", b="2")

    async def story(bench: Any) -> None:
        await bench.start()
        assert await bench.after(2_500) == []
        await bench.patch()
        assert await bench.after(1_500) == [(2_500, "1"), (3_500, "2")]

    play(story)


def test_without_an_output_the_files_have_their_turns_unsent(fill: Any, play: Any) -> None:
    fill(a="1", b="2", c="3")

    async def story(bench: Any) -> None:
        await bench.begin()
        await bench.after(500)
        await bench.patch(channel="")
        await bench.after(1_000)
        await bench.patch()
        assert await bench.after(1_000) == [(0, "1"), (2_000, "3")]

    play(story)


def test_a_repeated_start_hastens_nothing_and_a_new_period_counts_from_it(
    fill: Any, play: Any
) -> None:
    fill(a="1", b="2", c="3")

    async def story(bench: Any) -> None:
        await bench.begin()
        await bench.after(500)
        await bench.start()
        assert await bench.after(600) == [(0, "1"), (1_000, "2")]
        await bench.start(period_ms="100")
        assert (await bench.after(150))[2:] == [(1_200, "3")]

    play(story)


def test_44_stop_and_patch_are_done_at_once_whatever_the_period(fill: Any, play: Any) -> None:
    fill(a="1")

    async def story(bench: Any) -> None:
        await bench.begin(1, period_ms="86400000")
        await bench.after(10)
        began_ns = bench.clock.now_ns()
        await bench.begin(2, period_ms="86400000")
        await bench.patch(1)
        for _ in range(2):
            await bench.provider.stop(bench.pid(1))
        assert bench.clock.now_ns() == began_ns
        await bench.after(2 * 86_400_000 + 1)
        assert [len(casts) for casts in bench.cast_by.values()] == [1, 3]

    play(story)


def test_a_provider_that_closed_casts_nothing_more(fill: Any, play: Any) -> None:
    fill(a="1")

    async def story(bench: Any) -> None:
        await bench.begin()
        await bench.after(10)
        bench.provider.close()
        assert len(await bench.after(5_000)) == 1

    play(story)


def test_37_events_are_answered_err_at_once(play: Any, folder: Path) -> None:
    async def story(bench: Any) -> None:
        await bench.begin()
        assert bench.answers(EventType.CAST) == [ERR]
        assert bench.answers(EventType.CALL) == [ERR]

    play(story)
