"""The conformance suite over tls+tcp; who proves nothing gets no frame, and no plain text."""

import shutil
import socket
import ssl
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import Address, ConnectError, Incoming
from edgeless_transports.conformance import CHECKS, Check, Subject
from edgeless_transports.frame_writer import FrameWriter
from edgeless_transports.framing import HELLO, Hello
from edgeless_transports.link import TcpLimits
from edgeless_transports.tcp import TcpTransport, TlsTcpTransport
from edgeless_transports.tls import TlsError, TlsSettings

# Certificates are made here, by an extra of the tests.
trustme = pytest.importorskip("trustme")

ANY_PORT = Address("tls+tcp", "127.0.0.1:0")
GREETING = FrameWriter().write(HELLO, payload=Hello().encode())


class Files:
    """The certificates of one authority in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str = "127.0.0.1", **options: Any) -> TlsSettings:
        """A certificate for *name*, its key, and trust in the authority."""
        leaf = self._authority.issue_cert(name, **options)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        return TlsSettings(certificate=str(certificate), key=str(key), ca=self.ca)

    @property
    def trust(self) -> TlsSettings:
        """What a client needs."""
        return TlsSettings(ca=self.ca)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def others(tmp_path: Path) -> Files:
    """The files of an authority that nobody here trusts."""
    folder = tmp_path / "others"
    folder.mkdir()
    return Files(folder)


def real_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *main* on a real loop, ten seconds at most."""

    async def bounded() -> None:
        with anyio.fail_after(10):
            await main()

    run(bounded, world="real")


def echo(incoming: Incoming) -> bytes:
    return incoming.payload


def transport(tls: TlsSettings | None, limits: TcpLimits | None = None) -> TlsTcpTransport:
    return TlsTcpTransport(current_scheduler(), tls=tls, limits=limits)


async def echoes(client: TcpTransport, address: Address) -> bool:
    """Whether *client* connects and is answered; False if it cannot connect."""
    try:
        async with client.connect(address) as connection:
            return await connection.call("m", b"secret", timeout_s=2) == b"secret"
    except ConnectError:
        return False


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_tls_does_what_every_transport_must(check: Check, files: Files) -> None:
    async def main() -> None:
        await check(Subject(transport(files.issue()), transport(files.trust), lambda: ANY_PORT))

    real_time(main)


def test_a_server_must_prove_its_name(files: Files) -> None:
    async def main() -> None:
        async with transport(files.issue("elsewhere.example")).listen(ANY_PORT, echo) as bound:
            assert not await echoes(transport(files.trust), bound)
            expecting = TlsSettings(ca=files.ca, expected_name="elsewhere.example")
            assert await echoes(transport(expecting), bound)

    real_time(main)


def test_a_server_of_an_unknown_authority_is_refused(files: Files, others: Files) -> None:
    async def main() -> None:
        server = transport(others.issue())
        async with server.listen(ANY_PORT, echo) as bound:
            assert not await echoes(transport(files.trust), bound)
            assert not await echoes(transport(None), bound)
            assert await echoes(transport(others.trust), bound)
        assert (server.counters.accepted, server.counters.refused) == (1, {"TLS handshake": 2})

    real_time(main)


def test_an_expired_certificate_is_refused(files: Files) -> None:
    expired = files.issue(
        not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2020, 1, 2, tzinfo=UTC)
    )

    async def main() -> None:
        async with transport(expired).listen(ANY_PORT, echo) as bound:
            with pytest.raises(ConnectError, match="certificate has expired"):
                async with transport(files.trust).connect(bound):
                    pass

    real_time(main)


def test_with_mutual_tls_a_client_must_prove_itself_too(files: Files, others: Files) -> None:
    async def main() -> None:
        ours = files.issue()
        strict = TlsSettings(ours.certificate, ours.key, files.ca, require_client_certificate=True)
        stranger = others.issue()
        async with transport(strict).listen(ANY_PORT, echo) as bound:
            assert not await echoes(transport(files.trust), bound)
            impostor = TlsSettings(stranger.certificate, stranger.key, files.ca)
            assert not await echoes(transport(impostor), bound)
            assert await echoes(transport(files.issue("client.example")), bound)

    real_time(main)


def test_plain_text_and_tls_do_not_meet(files: Files) -> None:
    async def main() -> None:
        quick = TcpLimits(hello_timeout_s=0.2, connect_timeout_s=0.5)
        server = transport(files.issue(), quick)
        plain = TcpTransport(current_scheduler(), limits=quick)
        async with (
            server.listen(ANY_PORT, echo) as secret,
            plain.listen(Address("tcp", "127.0.0.1:0"), echo) as open_,
        ):
            assert not await echoes(plain, Address("tcp", secret.location))
            assert not await echoes(
                transport(files.trust, quick), Address("tls+tcp", open_.location)
            )
        assert server.counters.accepted == 0
        assert plain.counters.ended["length"] == 1

    real_time(main)


@pytest.mark.parametrize("first", [b"", GREETING, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
def test_a_handshake_that_does_not_end_is_cut_off(files: Files, first: bytes) -> None:
    async def main() -> None:
        limits = TcpLimits(hello_timeout_s=0.2, connections_per_source_max=1)
        server = transport(files.issue(), limits)
        async with server.listen(ANY_PORT, echo) as bound:
            stream = await anyio.connect_tcp("127.0.0.1", int(bound.location.split(":")[1]))
            async with stream:
                await stream.send(first)
                data = b""
                with anyio.fail_after(2):
                    try:
                        while True:
                            data += await stream.receive()
                    except (anyio.EndOfStream, anyio.BrokenResourceError):
                        pass
                assert b"EDGS" not in data
            # Its place is free again.
            assert await echoes(transport(files.trust), bound)

    real_time(main)


def test_sockets_in_a_handshake_count_against_their_source(files: Files) -> None:
    async def main() -> None:
        server = transport(files.issue(), TcpLimits(connections_per_source_max=3))
        async with server.listen(ANY_PORT, echo) as bound:
            port = int(bound.location.split(":")[1])
            silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
            try:
                assert not await echoes(transport(files.trust), bound)
            finally:
                for one in silent:
                    one.close()
        assert server.counters.refused["too many connections of one source"] == 1

    real_time(main)


def test_no_version_of_tls_before_1_2_is_spoken_and_names_are_checked(files: Files) -> None:
    settings = files.issue()
    server, client = settings.server_context(), settings.client_context()
    assert server.minimum_version == client.minimum_version == ssl.TLSVersion.TLSv1_2
    assert (client.check_hostname, client.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_new_files_are_used_after_a_reload_and_wrong_ones_change_nothing(files: Files) -> None:
    async def main() -> None:
        settings = files.issue()
        assert settings.certificate is not None
        server = transport(settings)
        async with (
            server.listen(ANY_PORT, echo) as bound,
            transport(files.trust).connect(bound) as old,
        ):
            shutil.copy(__file__, settings.certificate)
            with pytest.raises(TlsError):
                server.reload()
            assert await echoes(transport(files.trust), bound)
            # A new key under the old name.
            renewed = files.issue("new.example")
            assert renewed.certificate is not None
            assert renewed.key is not None
            assert settings.key is not None
            shutil.copy(renewed.certificate, settings.certificate)
            shutil.copy(renewed.key, settings.key)
            server.reload()
            assert not await echoes(transport(files.trust), bound)
            expecting = TlsSettings(ca=files.ca, expected_name="new.example")
            assert await echoes(transport(expecting), bound)
            assert await old.call("m", b"still", timeout_s=1) == b"still"

    real_time(main)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ("certificate", "SECRET"),
        ("key", "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n"),
        ("ca", "SECRET"),
        ("certificate", ""),
        ("key", None),
        ("ca", None),
    ],
)
def test_a_wrong_file_is_named_and_not_quoted(files: Files, broken: str, text: str | None) -> None:
    settings = files.issue()
    path = Path(getattr(settings, broken))
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")

    async def main() -> None:
        with pytest.raises(TlsError) as caught:
            transport(settings)
        assert str(path) in str(caught.value)
        assert "SECRET" not in str(caught.value)
        # What OpenSSL said would be printed with it.
        assert caught.value.__context__ is None or caught.value.__suppress_context__

    real_time(main)


def test_a_key_of_another_certificate_is_refused(files: Files) -> None:
    one, other = files.issue("one.example"), files.issue("other.example")

    async def main() -> None:
        with pytest.raises(TlsError, match="its key: KEY_VALUES_MISMATCH"):
            transport(TlsSettings(one.certificate, other.key))

    real_time(main)


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(files: Files) -> None:
    from cryptography.hazmat.primitives import serialization as s

    settings = files.issue()
    assert settings.key is not None
    key = s.load_pem_private_key(Path(settings.key).read_bytes(), password=None)
    locked = key.private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"passphrase")
    )
    Path(settings.key).write_bytes(locked)

    async def main() -> None:
        with pytest.raises(TlsError, match="are not a certificate and its key"):
            transport(settings)

    real_time(main)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TlsSettings(certificate="a.pem"), "come together"),
        (TlsSettings(key="a.key"), "come together"),
        (TlsSettings(), "needs a certificate"),
    ],
)
def test_half_of_the_settings_start_no_listener(settings: TlsSettings, message: str) -> None:
    async def main() -> None:
        with pytest.raises(TlsError, match=message):
            async with transport(settings).listen(ANY_PORT, echo):
                pass

    real_time(main)


def test_client_certificates_need_an_authority(files: Files) -> None:
    ours = files.issue()

    async def main() -> None:
        with pytest.raises(TlsError, match="name the ca"):
            transport(TlsSettings(ours.certificate, ours.key, require_client_certificate=True))

    real_time(main)
