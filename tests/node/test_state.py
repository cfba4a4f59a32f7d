"""State that outlives an instance, and state that does not (D32, U19, G09)."""

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.function import StatePolicy, StateSpecification
from edgeless_sim.node import state_store
from edgeless_sim.node.state_store import STATE_FOLDER, FileStateStore, MemoryStateStore, StateStore

LOCAL = StateSpecification(UUID(int=7), StatePolicy.NODE_LOCAL)
NAME = "00000000-0000-0000-0000-000000000007"
TEXT = "zwei\r\nZeilen \u20ac\n"


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StateStore:
    return MemoryStateStore() if request.param == "memory" else FileStateStore(tmp_path / "s")


def test_a_node_local_state_is_kept_as_it_was_given(store: StateStore) -> None:
    assert store.load(LOCAL) is None
    assert store.store(LOCAL, "old")
    assert store.store(LOCAL, TEXT)
    assert store.load(LOCAL) == TEXT
    assert store.load(StateSpecification(UUID(int=8))) is None


@pytest.mark.parametrize("policy", [StatePolicy.TRANSIENT, StatePolicy.GLOBAL])
def test_other_states_are_accepted_and_never_stored(store: StateStore, policy: StatePolicy) -> None:
    store.store(LOCAL, "of the node")
    assert not store.store(StateSpecification(LOCAL.state_id, policy), "x")
    assert store.load(StateSpecification(LOCAL.state_id, policy)) is None
    assert store.load(LOCAL) == "of the node"


def test_a_state_is_a_file_of_its_name_in_the_folder_of_states(tmp_path: Path) -> None:
    FileStateStore(tmp_path / STATE_FOLDER).store(LOCAL, TEXT)
    assert STATE_FOLDER == "function_state"
    assert [path.name for path in (tmp_path / STATE_FOLDER).iterdir()] == [NAME]
    assert (tmp_path / STATE_FOLDER / NAME).read_bytes() == TEXT.encode()


def test_a_store_that_fails_keeps_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStateStore(tmp_path)
    store.store(LOCAL, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left on device"):
        store.store(LOCAL, "new")
    assert store.load(LOCAL) == "old"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_state_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\xff")
    with pytest.raises(ResourceError, match=NAME):
        FileStateStore(tmp_path).load(LOCAL)


def test_a_virtual_disk_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_store, "STATES_MAX", 1)
    store = MemoryStateStore()
    store.store(LOCAL, "a")
    store.store(LOCAL, "b")
    with pytest.raises(ResourceError, match="holds 1 states already"):
        store.store(StateSpecification(UUID(int=8)), "c")


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (StatePolicy.NODE_LOCAL, ["no state", "state kept"]),
        (StatePolicy.TRANSIENT, ["no state", "no state"]),
        (StatePolicy.GLOBAL, ["no state", "no state"]),
    ],
)
def test_a_new_instance_gets_what_the_last_one_synced(
    play: Any, policy: StatePolicy, told: list[str]
) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        first = await rig.start(node, "Keeper", {"out": peer}, policy=policy)
        peer.cast(first, "kept")
        await rig.after(1)
        await node.agent.stop_function(first)
        await rig.start(node, "Keeper", {"out": peer}, policy=policy)
        await rig.after(1)
        assert peer.payloads == told
        lost = node.plane.counters[f"sync with policy {policy}"]
        assert lost == (policy is not StatePolicy.NODE_LOCAL)

    play(story)


def test_the_compiled_guest_gets_its_state_back(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        first = await rig.start(node, "wasm:state_test")
        peer.cast(first, "test_cast_raw_output")
        await rig.after(1)
        await node.agent.stop_function(first)
        await rig.start(node, "wasm:state_test")
        await rig.after(1)
        assert [(r[2], r[3]) for r in rig.told("log")] == [
            ("state_test", "no_state"),
            ("edgeless_test_state", "new_state"),
        ]

    play(story)


def test_a_restarted_guest_gets_its_state_back(play: Any) -> None:
    async def story(rig: Any) -> None:
        node, peer = rig.node(), rig.peer()
        pid = await rig.start(node, "Keeper", {"out": peer})
        peer.cast(pid, "kept")
        await rig.after(1)
        node.agent.functions[pid]._back_off("by hand")
        await rig.after(2)
        assert peer.payloads == ["no state", "state kept"]

    play(story)


def test_a_disk_that_fails_is_counted_and_the_node_lives(play: Any, tmp_path: Path) -> None:
    folder = tmp_path / "not-a-folder"
    folder.write_text("in the way")

    async def story(rig: Any) -> None:
        node, peer = rig.node(states=FileStateStore(folder)), rig.peer()
        pid = await rig.start(node, "Keeper", {"out": peer})
        for message in ("a", "b"):
            peer.cast(pid, message)
        await rig.after(1)
        assert peer.payloads == ["no state"]
        assert node.plane.counters["sync failed"] == 2
        states = [record[1] for record in rig.told("state")]
        assert states == ["state not restored", "sync failed", "sync failed"]
        assert len(node.agent.inventory()) == 1

    play(story)
