"""CSV files of a domain: EDGELESS's columns, quoted where need be (spec 7.3; U33; S16)."""

import csv
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_sim.model.ids import FunctionId, LogicalId
from edgeless_sim.model.node import (
    FunctionLogEntry,
    NodeHealthStatus,
    NodePerformanceSamples,
    Sample,
)
from edgeless_sim.orchestrator import datasets
from edgeless_sim.orchestrator.datasets import HEADERS, DatasetProxy
from edgeless_sim.orchestrator.settings import DatasetSettings

PID = FunctionId(UUID(int=7))


def told(path: Path | str, **settings: Any) -> Callable[[Any], list[DatasetProxy]]:
    return lambda context: [DatasetProxy(context, DatasetSettings(path=f"{path}/", **settings))]


def rows(folder: Path, name: str) -> list[list[str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def measured(message: str = "a line") -> NodePerformanceSamples:
    return NodePerformanceSamples(
        function_execution_times={PID: (Sample(5, 500_000_000, 0.00001),)},
        function_log_entries={PID: (FunctionLogEntry(6, 0, "a::b", message),)},
    )


def test_each_file_has_the_columns_and_rows_of_edgeless(play: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"

    async def story(world: Any) -> None:
        node = await world.node(0, labels=("x", "y"))
        await world.function(1)
        node.send_refresh(
            health_status=NodeHealthStatus(mem_free=5, gpu_temp_cels=36_500),
            performance_samples=measured(),
        )
        await world.clock.sleep(2.5)
        places = world.component(1).instance
        mapped = rows(folder, "mapping_to_instance_id")
        assert [row[2:] for row in mapped[1:]] == [
            [
                str(LogicalId(UUID(int=1))),
                str(UUID(int=0xF1)),
                str(places.node_id),
                str(places.function_id),
            ]
        ]
        (capabilities,) = rows(folder, "capabilities")[1:]
        assert capabilities[2:] == [
            str(node.node_id),
            *["1", "", "0", "1", "0", "[x;y]", "false", "false", "[RUST_WASM]", "0", "0", "", "0"],
        ]
        samples = rows(folder, "performance_samples")[1:]
        assert samples == [["", str(PID), "function_execution_time", "5.5", "0.00001"]]
        assert rows(folder, "application_logs")[1:] == [["", str(PID), "a::b", "6", "a line"]]
        healths = rows(folder, "health_status")[1:]
        # Each refresh has a row, also those that said nothing new.
        assert len(healths) >= 3
        assert any(row[3] == "5" and row[22] == "36.5" for row in healths)

    play(story, make_proxies=told(folder))
    for name, header in HEADERS.items():
        assert (folder / f"{name}.csv").read_text().startswith(f",{header}\n")


def test_further_columns_stand_first(play: Any, tmp_path: Path) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        await world.clock.sleep(1.5)

    play(story, make_proxies=told(tmp_path, header="seed,run", fields="7,1"))
    header, row, *_ = (tmp_path / "capabilities.csv").read_text().splitlines()
    assert header.startswith("seed,run,timestamp,node_id,num_cpus")
    assert row.startswith("7,1,17")


def test_files_go_on_or_begin_anew(play: Any, tmp_path: Path) -> None:
    async def story(world: Any) -> None:
        await world.node(0)
        await world.clock.sleep(1.5)

    for _ in range(2):
        play(story, make_proxies=told(tmp_path))
    twice = (tmp_path / "capabilities.csv").read_text().splitlines()
    play(story, make_proxies=told(tmp_path, append=False))
    anew = (tmp_path / "capabilities.csv").read_text().splitlines()
    assert [len(twice), len(anew)] == [3, 2]
    assert twice[0] == anew[0]


def test_a_lost_instance_has_a_row_without_a_place_and_as_many_columns(
    play: Any, tmp_path: Path
) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.function(1)
        await world.clock.sleep(1.5)
        node.crash()
        await world.clock.sleep(10)
        await world.stop(1)
        await world.clock.sleep(1.5)

    play(story, make_proxies=told(tmp_path))
    header, found, lost = rows(tmp_path, "mapping_to_instance_id")
    assert len(header) == len(found) == len(lost)
    assert lost[-2:] == ["", ""]


HOSTILE = ['=cmd|"/c calc"!A0', 'a,b "c"\r\nd', "\n", ",", '"', "ε", "", " x "]


@pytest.mark.parametrize("message", HOSTILE)
def test_whatever_a_function_logs_stays_in_its_cell(
    play: Any, tmp_path: Path, message: str
) -> None:
    async def story(world: Any) -> None:
        node = await world.node(0)
        node.send_refresh(performance_samples=measured(message))
        await world.clock.sleep(1.5)

    play(story, make_proxies=told(tmp_path))
    header, row = rows(tmp_path, "application_logs")
    assert len(row) == len(header)
    assert row[-1] == message


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_a_row_reads_back_as_it_was(cells: list[str]) -> None:
    line = StringIO(f"{datasets._row(cells)}\n", newline="")
    assert list(csv.reader(line, strict=True)) == [cells]


def test_a_folder_that_cannot_be_written_to_is_told_once_and_costs_nothing(
    play: Any, tmp_path: Path, caplog: Any
) -> None:
    (tmp_path / "file").write_text("in the way")
    made: list[DatasetProxy] = []

    def proxies(context: Any) -> list[DatasetProxy]:
        made.extend(told(tmp_path / "file")(context))
        return made

    async def story(world: Any) -> None:
        await world.node(0)
        await world.function(1)
        await world.clock.sleep(30)
        assert made[0].counters["failures"] > 5
        (tmp_path / "file").unlink()
        await world.clock.sleep(70)

    play(story, make_proxies=proxies)
    assert caplog.text.count("a dataset cannot be written") == 1
    assert len(rows(tmp_path / "file", "mapping_to_instance_id")) == 2


def test_on_a_full_disk_rows_wait_and_what_there_is_no_room_for_is_counted(
    play: Any, tmp_path: Path
) -> None:
    made: list[DatasetProxy] = []

    def proxies(context: Any) -> list[DatasetProxy]:
        made.extend(told(tmp_path)(context))
        return made

    async def story(world: Any) -> None:
        node = await world.node(0)
        await world.clock.sleep(1.5)
        full = made[0]._files["application_logs"]
        full.close()
        full._path = Path("/dev/full")
        for _ in range(3):
            log = tuple(FunctionLogEntry(6, 0, "t", "x" * 4_000) for _ in range(1_000))
            node.send_refresh(
                performance_samples=NodePerformanceSamples(function_log_entries={PID: log})
            )
            await world.clock.sleep(1)
        await world.function(1)
        assert made[0].counters["failures"] > 0
        assert made[0].counters["lost"] > 500
        full._path = tmp_path / "application_logs.csv"
        await world.clock.sleep(120)

    play(story, make_proxies=proxies)
    found = rows(tmp_path, "application_logs")
    assert all(len(row) == 5 for row in found)
    assert len(found) == 1 + 3_000 - made[0].counters["lost"]
