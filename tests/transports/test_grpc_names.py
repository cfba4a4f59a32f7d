"""Which name the server of ``https`` must prove."""

import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import Address, Incoming, TransportError
from edgeless_transports.grpc import GrpcTransport, Limits, Tls

# Certificates are made here, by an extra of the tests.
trustme = pytest.importorskip("trustme")

ANY = Address("https", "127.0.0.1:0")


class Authority:
    """Signs certificates, and is trusted."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def server(self, *names: str) -> Tls:
        leaf = self._authority.issue_cert(*names)
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
        return Tls(certificate=chain, key=leaf.private_key_pem.bytes())

    def client(self, expected_name: str | None = None) -> Tls:
        return Tls(roots=self._authority.cert_pem.bytes(), expected_name=expected_name)


def echo(incoming: Incoming) -> bytes:
    return incoming.payload


def answer(server: Tls, client: Tls) -> bytes:
    """What *client* hears from *server*; raise TransportError if it does not trust it."""
    answers: list[bytes] = []

    async def main() -> None:
        limits = Limits(connect_timeout_s=5)
        listening = GrpcTransport(current_scheduler(), tls=server)
        connecting = GrpcTransport(current_scheduler(), tls=client, limits=limits)
        async with (
            listening.listen(ANY, echo) as address,
            connecting.connect(address) as connection,
        ):
            answers.append(await connection.call("/a", b"x", timeout_s=5))

    run(main, world="real")
    return answers[0]


@pytest.mark.parametrize(
    ("proved", "expected"),
    [("127.0.0.1", None), ("node.example.org", "node.example.org")],
)
def test_a_server_that_proves_the_name_is_believed(proved: str, expected: str | None) -> None:
    authority = Authority()
    assert answer(authority.server(proved), authority.client(expected)) == b"x"


@pytest.mark.parametrize(
    ("proved", "expected"),
    [("node.example.org", None), ("127.0.0.1", "node.example.org"), ("a.org", "b.org")],
)
def test_a_server_that_proves_another_name_is_not(proved: str, expected: str | None) -> None:
    authority = Authority()
    with pytest.raises(TransportError):
        answer(authority.server(proved), authority.client(expected))
