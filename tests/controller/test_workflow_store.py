"""Stores: what was put is there in the next life, and nothing damaged is overwritten."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from edgeless_sim.controller.workflow_database import DatabaseWorkflowStore
from edgeless_sim.controller.workflow_store import (
    MemoryWorkflowStore,
    StoredWorkflow,
    WorkflowStore,
)
from edgeless_sim.errors import ResourceError
from edgeless_sim.model.ids import WorkflowId


@pytest.fixture
def stored(make_workflow: Any, make_function: Any) -> Any:
    """``stored(number, binary)``: a workflow with a function of that byte code."""

    def made(number: int, binary: bytes | None = b"code") -> StoredWorkflow:
        request = make_workflow(
            make_function("f", {"init-payload": "ä\n\0"}, out="r"), "g", resources=("r",)
        )
        function = request.functions[0]
        code = msgspec.structs.replace(function.class_specification, binary=binary)
        first = msgspec.structs.replace(function, class_specification=code)
        request = msgspec.structs.replace(request, functions=(first, *request.functions[1:]))
        return StoredWorkflow(
            WorkflowId(UUID(int=number)), f"w{number}", request, (UUID(int=7), UUID(int=8))
        )

    return made


def read(path: Path) -> tuple[StoredWorkflow, ...]:
    store = DatabaseWorkflowStore(path)
    try:
        return store.load()
    finally:
        store.close()


def written(path: Path, *workflows: StoredWorkflow) -> Path:
    store = DatabaseWorkflowStore(path)
    for workflow in workflows:
        store.put(workflow)
    store.close()
    return path


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_was_put_and_not_removed_is_loaded_in_that_order(
    kind: str, stored: Any, tmp_path: Path
) -> None:
    file = DatabaseWorkflowStore(tmp_path / "s") if kind == "file" else None
    store: WorkflowStore = MemoryWorkflowStore() if file is None else file
    assert store.load() == ()
    for number in (3, 1, 2):
        store.put(stored(number))
    store.remove(stored(1).workflow_id)
    store.remove(stored(1).workflow_id)
    store.put(stored(4, None))
    assert store.load() == (stored(3), stored(2), stored(4, None))
    if file is not None:
        file.close()
        assert read(tmp_path / "s") == (stored(3), stored(2), stored(4, None))


def test_byte_code_is_stored_once_and_goes_with_its_last_user(stored: Any, tmp_path: Path) -> None:
    large = os.urandom(300_000)
    path = written(tmp_path / "s", *(stored(number, large) for number in range(5)))
    assert path.stat().st_size < 2 * len(large)
    store = DatabaseWorkflowStore(path)
    for number in range(4):
        store.remove(stored(number).workflow_id)
    assert store.load() == (stored(4, large),)
    store.remove(stored(4).workflow_id)
    store.close()
    with sqlite3.connect(path) as database:
        for table in ("workflows", "binaries", "uses"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    database.close()


def test_an_id_that_is_stored_already_is_refused_and_nothing_changes(
    stored: Any, tmp_path: Path
) -> None:
    store = DatabaseWorkflowStore(tmp_path / "s")
    store.put(stored(1))
    with pytest.raises(ResourceError, match="UNIQUE"):
        store.put(stored(1, b"other"))
    assert store.load() == (stored(1),)
    store.close()


def test_a_process_killed_in_the_midst_of_writing_loses_nothing_that_it_was_promised(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    program = f"""
from pathlib import Path
from uuid import UUID
from edgeless_sim.controller.workflow_database import DatabaseWorkflowStore
from edgeless_sim.controller.workflow_store import StoredWorkflow
from edgeless_sim.model.workflow import SpawnWorkflowRequest
store = DatabaseWorkflowStore(Path({str(path)!r}))
for number in range(100_000):
    store.put(StoredWorkflow(UUID(int=number), "", SpawnWorkflowRequest(), ()))
    print(number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    while process.stdout.readline() != b"20\n":
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    promised = max([20, *map(int, process.stdout.read().split(b"\n")[:-1])])
    process.stdout.close()
    process.wait()
    numbers = [workflow.workflow_id.int for workflow in read(path)]
    assert numbers[: promised + 1] == list(range(promised + 1))
    assert len(numbers) <= promised + 2


def test_a_transaction_that_was_not_committed_never_was(stored: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = DatabaseWorkflowStore(path)
    store.put(stored(1))
    store._all("BEGIN IMMEDIATE")
    store._all("DELETE FROM workflows")
    # As a crash would leave them: the file and its log.
    for file in tmp_path.glob("s*"):
        shutil.copy(file, tmp_path / f"crashed-{file.name}")
    store.close()
    assert read(tmp_path / "crashed-s") == (stored(1),)


def test_a_second_process_is_refused_until_the_first_has_ended(stored: Any, tmp_path: Path) -> None:
    store = DatabaseWorkflowStore(tmp_path / "s")
    with pytest.raises(ResourceError, match="another process uses it"):
        DatabaseWorkflowStore(tmp_path / "s")
    store.put(stored(1))
    store.close()
    assert read(tmp_path / "s") == (stored(1),)


@pytest.mark.parametrize("keep", ["none", "header", "page", "half", "all but one"])
def test_a_file_cut_short_is_refused_and_left_as_it_is(
    keep: str, stored: Any, tmp_path: Path
) -> None:
    path = written(tmp_path / "s", stored(1, os.urandom(50_000)))
    whole = path.read_bytes()
    lengths = {"none": 0, "header": 50, "page": 4_096, "half": len(whole) // 2}
    cut = whole[: lengths.get(keep, len(whole) - 1)]
    path.write_bytes(cut)
    with pytest.raises(ResourceError, match="left as it is") as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == cut


def test_a_flipped_bit_is_noticed_or_changes_nothing(stored: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "s", stored(1), stored(2, b"other code"))
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 61):
        for bit in (0, 7):
            broken = bytearray(whole)
            broken[place] ^= 1 << bit
            path.write_bytes(broken)
            try:
                assert set(map(repr, read(path))) == {
                    repr(stored(1)),
                    repr(stored(2, b"other code")),
                }, (place, bit)
            except ResourceError:
                refused += 1
    assert refused


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("PRAGMA user_version = 2", "it is of version 2, and this program reads 1"),
        ("PRAGMA application_id = 1", "a database of another program"),
        ("DELETE FROM binaries", "a workflow is not complete"),
        ("UPDATE workflows SET body = x'00'", "a workflow differs from its digest"),
        ("UPDATE workflows SET body = 1", "a workflow is not complete"),
        ("UPDATE binaries SET content = x'00'", "byte code differs from its digest"),
        ("DROP TABLE uses; DROP TABLE workflows", "no such table"),
    ],
)
def test_a_store_that_says_something_else_is_refused(
    statement: str, reason: str, stored: Any, tmp_path: Path
) -> None:
    path = written(tmp_path / "s", stored(1))
    database = sqlite3.connect(path)
    database.executescript(statement)
    database.close()
    with pytest.raises(ResourceError, match=reason):
        read(path)


def test_noise_a_folder_and_a_place_that_does_not_exist_are_refused(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(b"\1" * 10_000)
    with pytest.raises(ResourceError, match="not a database"):
        read(noise)
    assert noise.read_bytes() == b"\1" * 10_000
    with pytest.raises(ResourceError, match="not a regular file"):
        read(tmp_path)
    with pytest.raises(ResourceError, match="No such file"):
        read(tmp_path / "absent" / "s")


def test_a_store_never_grows_beyond_its_size(stored: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = DatabaseWorkflowStore(path, bytes_max=200_000)
    store.put(stored(1, os.urandom(50_000)))
    with pytest.raises(ResourceError, match="has 200000 bytes already"):
        store.put(stored(2, os.urandom(200_000)))
    assert [workflow.name for workflow in store.load()] == ["w1"]
    store.remove(stored(1).workflow_id)
    store.put(stored(3, os.urandom(50_000)))
    store.close()
    assert path.stat().st_size <= 200_000
    with pytest.raises(ResourceError, match="at most 1000"):
        DatabaseWorkflowStore(path, bytes_max=1_000)
