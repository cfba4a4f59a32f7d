"""A relay passes frames on as they are: the transports' own suite looks through it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgeless_sim.api.services import HANDLE
from edgeless_sim.cluster.capture import Recorder
from edgeless_sim.cluster.capture_file import VERSION, CaptureHeader, CaptureReader, CaptureWriter
from edgeless_sim.cluster.endpoint import Endpoint
from edgeless_sim.cluster.frame_relay import FrameRelay, check_ends
from edgeless_sim.cluster.settings.tls import load_tls
from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_transports import Address, Transport, conformance
from edgeless_transports.conformance import Check, Subject
from edgeless_transports.grpc import GrpcTransport
from edgeless_transports.tcp import TcpTransport

from grpc import aio  # isort: skip - after the transport, which silences the core

HEADER = CaptureHeader(edgeless_sim_capture=VERSION, world="relay", epoch_ns=0)
UNCHANGED = (
    conformance.calls_are_answered,
    conformance.a_handlers_error_reaches_its_caller,
    conformance.casts_keep_their_order,
    conformance.concurrent_calls_do_not_mix,
    conformance.deadlines_are_honoured,
    conformance.payloads_arrive_unchanged,
)


@dataclass(frozen=True)
class Relayed:
    """A transport whose connections lead through a relay."""

    transport: Any
    path: Path

    @asynccontextmanager
    async def connect(self, address: Address) -> AsyncGenerator[Any]:
        scheduler = current_scheduler()
        recorder = Recorder(CaptureWriter(self.path, HEADER), scheduler.now_ns)
        async with Supervisor.open() as supervisor:
            relay = FrameRelay(scheduler, supervisor.spawn, str(address), recorder)
            supervisor.on_stop("relay", relay.close)
            url = await relay.listen(f"{address.scheme}://127.0.0.1:0")
            async with self.transport.connect(Address.parse(url)) as connection:
                yield connection
        recorder.close()


MAKERS: dict[str, Callable[..., Transport]] = {"tcp": TcpTransport, "http": GrpcTransport}


@pytest.mark.parametrize("scheme", MAKERS)
@pytest.mark.parametrize("check", UNCHANGED, ids=lambda check: check.__name__)
def test_a_relay_passes_on_what_comes_as_it_comes(
    check: Check, scheme: str, tmp_path: Path
) -> None:
    path = tmp_path / "capture"

    async def main() -> None:
        transport = MAKERS[scheme](scheduler=current_scheduler())
        relayed: Any = Relayed(transport, path)
        await check(
            Subject(transport, relayed, lambda: Address(scheme, "127.0.0.1:0"), timeout_s=20)
        )

    run(main, world="real")
    reader = CaptureReader(path)
    assert next(reader.frames()).target.startswith(f"{scheme}://")
    assert reader.notes == []


@pytest.mark.parametrize("scheme", MAKERS)
def test_who_is_behind_a_relay_learns_where_the_senders_of_events_are(
    scheme: str, tmp_path: Path
) -> None:
    peers: list[str] = []

    async def main() -> None:
        scheduler = current_scheduler()
        recorder = Recorder(CaptureWriter(tmp_path / "capture", HEADER), scheduler.now_ns)
        async with Supervisor.open() as supervisor:
            node = Endpoint(scheduler, supervisor.spawn)
            url = await node.listen(
                f"{scheme}://127.0.0.1:0",
                lambda incoming: incoming.payload,
                lambda incoming: peers.append(incoming.peer),
            )
            relay = FrameRelay(scheduler, supervisor.spawn, url, recorder)
            between = await relay.listen(f"{scheme}://127.0.0.1:0")
            senders = [
                Endpoint(scheduler, supervisor.spawn, announced=f"{scheme}://node-{name}:7001")
                for name in "ab"
            ]
            for sender in senders:
                await sender.connection(between).cast(HANDLE, b"event")
            with anyio.fail_after(10):
                while len(peers) < 2:  # noqa: ASYNC110 - receivers of casts cannot wait
                    await anyio.sleep(0.005)
            for endpoint in (*senders, node):
                endpoint.crash()
                await endpoint.ended()
            await relay.close()
        recorder.close()

    run(main, world="real")
    assert sorted(peers) == [f"{scheme}://node-a:7001", f"{scheme}://node-b:7001"]


def test_events_of_peers_that_are_not_ours_are_answered_by_nothing_and_keep_their_order(
    tmp_path: Path,
) -> None:
    path, seen = tmp_path / "capture", []

    async def main() -> None:
        scheduler = current_scheduler()
        recorder = Recorder(CaptureWriter(path, HEADER), scheduler.now_ns)
        async with Supervisor.open() as supervisor:
            node = Endpoint(scheduler, supervisor.spawn)
            supervisor.on_stop("node", node.ended)
            url = await node.listen(
                "http://127.0.0.1:0", lambda _: b"", lambda incoming: seen.append(incoming.payload)
            )
            relay = FrameRelay(scheduler, supervisor.spawn, url, recorder)
            supervisor.on_stop("relay", relay.close)
            between = await relay.listen("http://127.0.0.1:0")
            foreign: Any
            async with aio.insecure_channel(between.removeprefix("http://")) as foreign:
                for number in range(50):
                    assert await foreign.unary_unary(HANDLE)(bytes([number])) == b""
            with anyio.fail_after(10):
                while len(seen) < 50:  # noqa: ASYNC110 - receivers of casts cannot wait
                    await anyio.sleep(0.005)
            node.crash()
        recorder.close()

    run(main, world="real")
    assert seen == [bytes([number]) for number in range(50)]
    frames = list(CaptureReader(path).frames())
    assert [each.request for each in frames] == seen
    assert {each.kind for each in frames} == {"cast"}


@pytest.mark.parametrize(("outside", "inside"), [("tls+tcp", "tcp"), ("https", "http")])
def test_a_relay_with_a_certificate_is_secured_in_front_of_who_is_not(
    outside: str, inside: str, tmp_path: Path
) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    (tmp_path / "tls_config.toml").write_text(
        '[server]\nserver_cert_path = "server.pem"\nserver_key_path = "server.pem"\n'
        '[client]\nclient_ca_path = "ca.pem"\n'
    )
    tls = load_tls(tmp_path)

    async def main() -> None:
        scheduler = current_scheduler()
        recorder = Recorder(CaptureWriter(tmp_path / "capture", HEADER), scheduler.now_ns)
        async with Supervisor.open() as supervisor:
            node = Endpoint(scheduler, supervisor.spawn)
            url = await node.listen(f"{inside}://127.0.0.1:0", lambda incoming: incoming.payload)
            relay = FrameRelay(scheduler, supervisor.spawn, url, recorder, tls=tls)
            between = await relay.listen(f"{outside}://127.0.0.1:0")
            client = Endpoint(scheduler, supervisor.spawn, tls=tls)
            assert await client.connection(between).call("/a.B/C", b"x", timeout_s=10) == b"x"
            for endpoint in (client, node):
                endpoint.crash()
                await endpoint.ended()
            await relay.close()
        recorder.close()

    run(main, world="real")
    (frame,) = CaptureReader(tmp_path / "capture").frames()
    assert (frame.request, frame.reply) == (b"x", b"x")


@pytest.mark.parametrize(
    ("listen", "to", "reason"),
    [
        ("tcp://a:1", "http://b:1", "does not translate"),
        ("tcp://a:1", "tcp://a:1", "to itself"),
        ("coap://a:1", "tcp://a:1", "coap:// is none of"),
        ("a:1", "tcp://a:1", "not an address"),
        ("memory://a", "memory://b", "memory:// is none of"),
    ],
)
def test_a_relay_that_cannot_be_is_refused(listen: str, to: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        check_ends(listen, to)
