"""Compiled guests do as spec 1 says, in a whole cluster.

The guests of `functions/` are ours. To run the same tests with the compiled functions of the
reference implementation, which are not kept in this repository, name their folder:
``EDGELESS_REFERENCE_FUNCTIONS=DIR python -m pytest tests/cluster/test_compiled_guests.py``. It
holds ``messaging_test.wasm``, ``state_test.wasm`` and ``system_test.wasm``.
"""

import os
from pathlib import Path

import pytest

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.kernel.journal import Record
from edgeless_sim.model.event import ERR, NO_REPLY, CallReturn
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource
from edgeless_sim.testing.checkers import cluster_violations, residue

OURS = Path(__file__).resolve().parents[2] / "functions"
REFERENCE = os.environ.get("EDGELESS_REFERENCE_FUNCTIONS")


def binary(source: str, kind: str) -> bytes:
    if source == "ours":
        return (OURS / kind / f"{kind}.wasm").read_bytes()
    if REFERENCE is None:
        pytest.skip("EDGELESS_REFERENCE_FUNCTIONS names no folder")
    return (Path(REFERENCE) / f"{kind}.wasm").read_bytes()


@pytest.fixture(params=["ours", "reference"])
def workflow(request: pytest.FixtureRequest) -> SpawnWorkflowRequest:
    """Two messaging guests, one with state, one system guest that feeds them all."""

    def function(
        name: str, kind: str, outputs: dict[str, str], **annotations: str
    ) -> WorkflowFunction:
        code = FunctionClassSpecification(
            kind, "RUST_WASM", "0.1", binary=binary(request.param, kind)
        )
        return WorkflowFunction(name, code, outputs, annotations)

    return SpawnWorkflowRequest(
        (
            function("asker", "messaging_test", {"test": "answerer"}),
            function("answerer", "messaging_test", {}),
            function("keeper", "state_test", {}),
            function(
                "system",
                "system_test",
                {"out1": "asker", "out2": "asker", "err": "errors", "log": "log"},
            ),
        ),
        (
            WorkflowResource("log", "file-log", {}, {"filename": "log.txt"}),
            WorkflowResource("errors", "file-log", {}, {"filename": "errors.txt"}),
        ),
        {},
    )


class Story:
    """What the journal tells while a test runs."""

    def __init__(self, cluster: Cluster) -> None:
        self.records: list[Record] = []
        cluster.journal.subscribe(self.records.extend)
        self._journal = cluster.journal

    def of(self, kind: str) -> list[Record]:
        self._journal.flush()
        return [record for record in self.records if record[1] == kind]


async def test_calls_to_a_guest_end_as_it_says(
    cluster: Cluster, workflow: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(workflow, name="w")
    await cluster.settled()

    assert await cluster.call("w/asker", "some_cast") == NO_REPLY
    assert await cluster.call("w/asker", "test_ret") == CallReturn.reply("test_reply")
    assert await cluster.call("w/asker", "test_err") == ERR


async def test_a_guest_casts_now_later_and_to_whoever_asked(
    cluster: Cluster, workflow: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(workflow, name="w")
    await cluster.settled()
    story = Story(cluster)

    await cluster.cast("w/asker", "test_cast_output")
    await cluster.settled()
    begun = [(record[0], record[5]) for record in story.of("begin")]
    await cluster.cast("w/asker", "test_delayed_cast_output")
    await cluster.settled()

    assert len(begun) == 2
    later = [record[0] for record in story.of("begin")][2:]
    assert later[1] - later[0] >= 100_000_000
    await cluster.cast("w/asker", "test_cast_raw_output")
    await cluster.settled()
    # The client is no instance that takes casts: the raw cast reached it and was dropped there.
    assert [record[4] for record in story.of("drop")] == ["no such instance"]


async def test_a_guest_blocks_in_a_call_and_goes_on_with_the_answer(
    cluster: Cluster, workflow: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(workflow, name="w")
    await cluster.settled()
    story = Story(cluster)

    await cluster.cast("w/asker", "test_call_output")
    await cluster.settled()

    sent = [record[5] for record in story.of("send")]
    assert sent == [1, 0, 3], "the cast from outside, the call, and its return without a reply"
    assert [record[6] for record in story.of("end")] == ["ok", "ok"]


async def test_the_state_that_a_guest_synced_is_given_back_on_its_node(
    cluster: Cluster, workflow: SpawnWorkflowRequest
) -> None:
    story = Story(cluster)
    for name in ("edge/1", "edge/2"):
        await cluster.node(name).crash()
    await cluster.clock.sleep(10)
    await cluster.start_workflow(workflow, name="w")
    await cluster.settled()
    await cluster.cast("w/keeper", "test_cast_raw_output")
    await cluster.settled()

    await cluster.node("edge/0").crash()
    await cluster.node("edge/0").restart()
    await cluster.clock.sleep(30)
    await cluster.settled()

    messages = [record[5] for record in story.of("log")]
    assert "no_state" in messages
    assert any("new_state" in message for message in messages)


async def test_a_guest_halves_and_decrements_and_complains(
    cluster: Cluster, workflow: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(workflow, name="w")
    await cluster.settled()

    for payload in ("12", "not a number"):
        await cluster.cast("w/system", payload)
    await cluster.settled()

    files = {path.rpartition("/")[2]: content for path, content in cluster.files().items()}
    assert files["log.txt"] == b"12\nnot a number\n"
    assert files["errors.txt"].startswith(b"parsing error: ")
    assert files["errors.txt"].count(b"\n") == 1


async def test_nothing_is_left_of_stopped_guests(
    cluster: Cluster, workflow: SpawnWorkflowRequest
) -> None:
    await cluster.start_workflow(workflow, name="w")
    await cluster.clock.sleep(3)
    assert await cluster_violations(cluster) == []

    await cluster.stop_workflow("w")
    await cluster.settled()

    assert set(residue(cluster).values()) == {0}
