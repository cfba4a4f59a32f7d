"""Periods, numbers and directories that are refused (reliability B29)."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.kernel import run
from edgeless_sim.resources.pushed_files import ENTRIES_MAX, file_names


@pytest.mark.parametrize(
    "period",
    ["0", "-1", "NaN", "1e18", "inf", "", " 1", "1.5", "+1", "1_000", "٣", "86400001", "9" * 5000],
)
def test_b29_a_period_that_is_none_is_refused_and_nothing_is_started(
    fill: Any, play: Any, period: str
) -> None:
    fill(a="1")

    async def story(bench: Any) -> None:
        with pytest.raises(RejectedError) as refusal:
            await bench.begin(period_ms=period)
        assert refusal.value.summary == "Invalid resource configuration"
        assert "is no integer from 1 to 86400000" in str(refusal.value.detail)
        await bench.patch()
        assert await bench.after(2_000) == []

    play(story)


def test_b29_a_period_may_be_a_millisecond_and_all_together_have_a_limit(
    fill: Any, play: Any
) -> None:
    fill(a="1")

    async def story(bench: Any) -> None:
        for number in range(10):
            await bench.begin(number, period_ms="1")
        with pytest.raises(RejectedError, match="more than 10000 files per second"):
            await bench.begin(10, period_ms="86400000")
        await bench.begin(9, period_ms="1")
        await bench.provider.stop(bench.pid(9))
        await bench.begin(10)
        assert len(await bench.after(20)) == 20

    play(story)


def test_instances_have_a_largest_number(play: Any) -> None:
    async def story(bench: Any) -> None:
        for number in range(1_000):
            await bench.start(number)
        with pytest.raises(RejectedError, match="1000 instances, the most it can"):
            await bench.start(1_000)
        await bench.start(7)

    play(story)


def test_b29_a_directory_that_is_missing_is_an_error_of_the_nodes_start(
    make_bench: Any, tmp_path: Path
) -> None:
    async def main() -> None:
        with pytest.raises(
            SettingsError, match=r"^file_pusher_provider.directory: .*/gone: No such file"
        ):
            await make_bench(tmp_path / "gone").provider.open()
        with pytest.raises(SettingsError, match="file-pusher needs a directory"):
            make_bench(None)

    run(main)


def test_b29_a_directory_that_goes_away_is_told_and_may_come_back(
    fill: Any, play: Any, folder: Path, tmp_path: Path
) -> None:
    fill(a="1")

    async def story(bench: Any) -> None:
        await bench.begin()
        await bench.after(500)
        shutil.move(folder, tmp_path / "away")
        await bench.after(2_000)
        assert len(bench.warnings) == 2
        assert bench.warnings[0].endswith("/files: No such file or directory")
        shutil.move(tmp_path / "away", folder)
        assert await bench.after(1_500) == [(0, "1"), (3_000, "1")]

    play(story)


def test_b29_a_directory_of_too_many_entries_is_refused_before_all_are_looked_at(
    fill: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Million:
        """A folder that counts how many of its entries were looked at."""

        seen = 0

        def __enter__(self) -> "Million":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def __iter__(self) -> "Million":
            return self

        def __next__(self) -> os.DirEntry[bytes]:
            self.seen += 1
            return entry

    fill(a="1")
    with os.scandir(os.fsencode(folder)) as entries:
        [entry] = entries
    million = Million()
    monkeypatch.setattr(os, "scandir", lambda path: million)
    with pytest.raises(ResourceError, match="more than 10000 entries"):
        file_names(folder)
    assert million.seen == ENTRIES_MAX + 1


def test_b29_the_largest_directory_is_listed_in_a_moment(play: Any, folder: Path) -> None:
    for number in range(ENTRIES_MAX):
        os.mknod(folder / f"{number:05}")
    began = time.perf_counter()
    assert len(file_names(folder)) == ENTRIES_MAX
    # Some 10 ms; as long as a loaded machine may take, and far less than a minute of it.
    assert time.perf_counter() - began < 2
    (folder / "one more").touch()
    with pytest.raises(SettingsError, match="more than 10000 entries"):
        play(_nothing)


async def _nothing(bench: Any) -> None:
    raise AssertionError("it must not open")
