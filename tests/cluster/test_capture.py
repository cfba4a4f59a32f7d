"""Frames are caught where they are sent, kept at once, and read from what is left of a file."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from edgeless_sim.api.services import HANDLE
from edgeless_sim.cluster.capture import Capture, Recorder
from edgeless_sim.cluster.capture_file import (
    VERSION,
    CapturedFrame,
    CaptureHeader,
    CaptureReader,
    CaptureWriter,
)
from edgeless_sim.cluster.cluster import open_topology
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.errors import RejectedError, SettingsError, UnknownComponentError
from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import (
    Address,
    Incoming,
    MemoryNetwork,
    MemoryTransport,
    RemoteError,
    TransportError,
)
from edgeless_transports.conformance import CHECKS, Check, Subject

PING_PONG = Path(__file__).parents[2] / "scenarios" / "ping_pong" / "workflow.json"
TWO_NODES = Topology((DomainTopology("edge", (NodeGroup(count=2),), strategy="RoundRobin"),))
HEADER = CaptureHeader(edgeless_sim_capture=VERSION, world="sim", epoch_ns=0)


def frame(ns: int, method: str = "/a.B/C", source: str = "here") -> CapturedFrame:
    return CapturedFrame(
        ns=ns,
        source=source,
        target="there",
        kind="cast",
        method=method,
        wire="msgpack",
        request=b"\x01\xff",
    )


def written(path: Path, *frames: CapturedFrame, bytes_max: int = 1 << 20) -> CaptureWriter:
    writer = CaptureWriter(path, HEADER, bytes_max=bytes_max)
    for each in frames:
        writer.write(each)
    writer.close()
    return writer


# -- the file -----------------------------------------------------------------------------------


def test_frames_come_back_in_the_order_of_sending(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    written(path, frame(30), frame(10), frame(20))

    assert list(CaptureReader(path).frames()) == [frame(10), frame(20), frame(30)]


@pytest.mark.parametrize("missing", [1, 40, 100])
def test_a_file_that_is_cut_off_is_read_up_to_there(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "capture"
    written(path, frame(1), frame(2))
    path.write_bytes(path.read_bytes()[:-missing])
    reader = CaptureReader(path)

    assert list(reader.frames()) == [frame(1)]
    assert "line 3: it is cut off" in reader.notes[0]


def test_a_line_that_is_no_frame_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    written(path, frame(1))
    rubbish = [b"\xff\x00", b"[]", b'{"ns": 5}', b'{"ns": "x"}', b"[" * 100_000, b'{"ns": 1e400}']
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in rubbish))
    with path.open("ab") as file:
        written(tmp_path / "other", frame(9))
        file.write((tmp_path / "other").read_bytes().splitlines(keepends=True)[1])
    reader = CaptureReader(path)

    assert list(reader.frames()) == [frame(1), frame(9)]
    assert len(reader.notes) == len(rubbish)


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF\x00", b'{"name": "w"}\n', b"[" * 5000, b"name = 1\n"]
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match="no capture: line 1"):
        CaptureReader(path)


def test_a_capture_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later"
    path.write_bytes(b'{"edgeless_sim_capture": 2, "world": "sim", "epoch_ns": 0, "more": 1}\n')

    with pytest.raises(SettingsError, match="a capture of version 2, this program reads 1"):
        CaptureReader(path)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(UnknownComponentError, match="no such file"):
        CaptureReader(tmp_path / "nowhere")


def test_a_full_file_says_so_and_counts_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    writer = written(path, *(frame(ns) for ns in range(100)), bytes_max=2000)
    reader = CaptureReader(path)
    kept = len(list(reader.frames()))

    assert 0 < kept == writer.frames_total < 100
    assert writer.omitted == 100 - kept
    assert reader.notes == ["full: it has 2000 bytes at most"]
    assert path.stat().st_size < 2200


def test_a_disk_that_is_full_ends_the_capture_and_nothing_else() -> None:
    writer = written(Path("/dev/full"), frame(1), frame(2))

    assert writer.omitted == 2
    assert writer.fault == "cannot be written: No space left on device"


def test_only_an_earlier_capture_is_replaced_and_only_by_force(tmp_path: Path) -> None:
    foreign, earlier = tmp_path / "scenario.toml", tmp_path / "capture"
    foreign.write_text("name = 'mine'\n")
    written(earlier, frame(1))

    with pytest.raises(RejectedError, match="no capture and is not replaced"):
        Capture(foreign, force=True).__enter__()
    with pytest.raises(RejectedError, match="--force replaces it"):
        Capture(earlier).__enter__()
    with Capture(earlier, force=True):
        pass
    assert foreign.read_text() == "name = 'mine'\n"
    assert list(CaptureReader(earlier).frames()) == [frame(1)]


def test_nothing_is_left_of_a_capture_that_never_began(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="why"), Capture(tmp_path / "capture"):
        raise RejectedError("why")

    assert list(tmp_path.iterdir()) == []


# -- catching -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """A transport whose connections are recorded."""

    transport: Any
    recorder: Recorder

    @asynccontextmanager
    async def connect(self, address: Address) -> AsyncGenerator[Any]:
        async with self.transport.connect(address) as connection:
            yield self.recorder.wrapped(connection, "client", str(address))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_recorded_connection_does_what_every_connection_must(
    check: Check, tmp_path: Path
) -> None:
    async def main() -> None:
        network = MemoryNetwork(current_scheduler(), Random(1))
        server = MemoryTransport(network.scheduler, network, "server")
        client: Any = MemoryTransport(network.scheduler, network, "client")
        writer = CaptureWriter(tmp_path / "capture", HEADER)
        recorder = Recorder(writer, network.scheduler.now_ns)
        numbers = count()
        recorded: Any = Recorded(client, recorder)
        await check(Subject(server, recorded, lambda: Address("memory", f"place/{next(numbers)}")))
        recorder.close()

    run(main, world="sim")


def test_each_end_of_a_call_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "capture"

    async def serve(incoming: Incoming) -> bytes:
        if incoming.method == "/refuse":
            raise RemoteError("no-room", "all full")
        await anyio.sleep(float(incoming.payload))
        return b"done"

    async def main() -> None:
        network = MemoryNetwork(current_scheduler(), Random(1))
        transport = MemoryTransport(network.scheduler, network, "x")
        recorder = Recorder(CaptureWriter(path, HEADER), network.scheduler.now_ns)
        async with transport.listen(Address("memory", "place"), serve) as address:
            connection = recorder.wrapped(transport.open(address), "here", str(address))
            assert await connection.call("/wait", b"0.5", timeout_s=1) == b"done"
            for method, payload in (("/refuse", b""), ("/wait", b"2")):
                with pytest.raises(TransportError, match=r"all full|within 1 s"):
                    await connection.call(method, payload, timeout_s=1)
            with anyio.move_on_after(0.25):
                await connection.call("/wait", b"1", timeout_s=5)
            connection.call_nowait("/wait", b"60", lambda _: None, timeout_s=90)
            await connection.cast(HANDLE, b"event")
            recorder.close()
            assert await connection.call("/wait", b"0", timeout_s=1) == b"done"

    run(main, world="sim")
    done, refused, late, given_up, cast, cut = CaptureReader(path).frames()
    assert (done.reply, done.took_ns) == (b"done", 500_000_000)
    assert refused.refusal is not None
    assert (refused.refusal.code, refused.refusal.message) == ("no-room", "all full")
    assert (late.took_ns, late.reply) == (1_000_000_000, None)
    assert "within 1 s" in late.error
    assert (given_up.error, given_up.took_ns) == ("its caller gave up", 250_000_000)
    assert cut.error == "the capture ended before the answer came"
    assert (cast.kind, cast.request, cast.took_ns) == ("cast", b"event", None)


def play(path: Path | None) -> str:
    """Three seconds of ping-pong in virtual time; the digest of the journal."""

    async def main(capture: Capture | None) -> str:
        async with open_topology(TWO_NODES, seed=7, capture=capture) as cluster:
            await cluster.start_workflow(PING_PONG, name="game")
            await cluster.clock.sleep(3)
            cluster.conclude()
            return cluster.journal.digest()

    if path is None:
        return run(lambda: main(None))
    with Capture(path) as capture:
        return run(lambda: main(capture))


def test_a_capture_changes_nothing_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"

    assert play(first) == play(second) == play(None)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().count(b"\n") > 20


def test_what_was_caught_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "capture"

    async def main(capture: Capture) -> None:
        async with open_topology(TWO_NODES, capture=capture) as cluster:
            await cluster.start_workflow(PING_PONG)
            methods = {each.method for each in CaptureReader(path).frames()}
            assert "/edgeless_api.WorkflowInstance/Start" in methods

    with Capture(path) as capture:
        run(lambda: main(capture))
