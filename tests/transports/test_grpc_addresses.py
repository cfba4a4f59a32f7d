"""Where the gRPC transport connects to, and to whom: hosts, ports, certificates."""

import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import (
    Address,
    AddressError,
    ConnectError,
    Connection,
    Incoming,
    TransportError,
)
from edgeless_transports.grpc import GrpcTransport, Limits, Tls


def in_real_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run(main, world="real")


def echo(incoming: Incoming) -> bytes:
    return incoming.payload


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1",
        "http://127.0.0.1:65536",
        "http://unix:/tmp/x:1",
        "http://dns://8.8.8.8/x:1",
        "http://:7001",
        "http://a,b:1",
        "http://::1:7001",
        "tcp://127.0.0.1:7001",
    ],
)
def test_only_hosts_and_ports_are_addresses(address: str) -> None:
    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        with pytest.raises(AddressError, match="is not http"):
            async with transport.connect(Address.parse(address)):
                pytest.fail("must not connect")

    in_real_time(main)


def test_a_silent_host_is_given_up_in_time() -> None:
    async def main() -> None:
        transport = GrpcTransport(current_scheduler(), limits=Limits(connect_timeout_s=0.2))
        # It accepts and says nothing.
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as silent:
            port = silent.extra(anyio.abc.SocketAttribute.local_port)
            began = anyio.current_time()
            with pytest.raises(ConnectError, match="nobody listens"):
                async with transport.connect(Address("http", f"127.0.0.1:{port}")):
                    pytest.fail("must not connect")
            assert anyio.current_time() - began < 3

    in_real_time(main)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -keyout {key} -out {certificate} -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    pem = certificate.read_bytes()
    return Tls(roots=pem, certificate=pem, key=key.read_bytes(), client_certificates=True)


def test_https_asks_both_ends_for_certificates(tls: Tls) -> None:
    async def ask(connection: Connection) -> bytes:
        return await connection.call("/a", b"secret", timeout_s=5)

    async def main() -> None:
        both = GrpcTransport(current_scheduler(), tls=tls)
        stranger = GrpcTransport(current_scheduler(), tls=Tls(roots=tls.roots))
        async with both.listen(Address("https", "127.0.0.1:0"), echo) as address:
            assert address.scheme == "https"
            async with both.connect(address) as connection:
                assert await ask(connection) == b"secret"
            for transport, scheme in ((stranger, "https"), (both, "http")):
                with pytest.raises(TransportError):
                    async with transport.connect(Address(scheme, address.location)) as connection:
                        await ask(connection)

    in_real_time(main)


def test_https_is_not_served_without_a_key() -> None:
    async def main() -> None:
        transport = GrpcTransport(current_scheduler())
        with pytest.raises(AddressError, match="needs a certificate"):
            async with transport.listen(Address("https", "127.0.0.1:0"), echo):
                pytest.fail("must not listen")

    in_real_time(main)
