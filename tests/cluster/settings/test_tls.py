"""``tls_config.toml``: certificates that are of use, or no start."""

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from edgeless_sim.cluster.settings import ComponentTls, load_tls
from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import Address, Incoming, Transport, TransportError
from edgeless_transports.grpc import GrpcTransport
from edgeless_transports.pem import Tls
from edgeless_transports.tcp import TlsTcpTransport

# Certificates are made here, by an extra of the tests.
trustme = pytest.importorskip("trustme")

SERVER = 'server_cert_path = "server.pem"\nserver_key_path = "server.key"\n'
CLIENT = 'client_ca_path = "ca.pem"\n'
MUTUAL = (
    f'[server]\n{SERVER}server_ca_path = "ca.pem"\n'
    f'[client]\n{CLIENT}client_cert_path = "client.pem"\nclient_key_path = "client.key"\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Certificates of a server, a client and of somebody whose key is encrypted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, host in (("server", "127.0.0.1"), ("client", "client"), ("other", "other.example")):
        leaf = authority.issue_cert(host)
        leaf.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
        (tmp_path / f"{name}.pem").write_bytes(chain)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "tls_config.toml"
    path.write_text(text)
    return path


def loaded(folder: Path, text: str) -> ComponentTls:
    tls = load_tls(write(folder, text))
    assert tls is not None
    return tls


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as raised:
        load_tls(write(folder, text))
    words = str(raised.value)
    assert len(words.encode()) <= 1024
    assert "PRIVATE" not in words
    return words


def test_a_folder_without_the_file_has_no_tls(tmp_path: Path) -> None:
    assert load_tls(tmp_path) is None


def test_a_file_or_folder_that_is_named_and_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "tls_config.toml", tmp_path / "nowhere", tmp_path / "no" / "where"):
        with pytest.raises(SettingsError, match="no such file"):
            load_tls(path)


def test_a_link_that_leads_nowhere_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "tls_config.toml").symlink_to(tmp_path / "gone")
    with pytest.raises(SettingsError, match="no such file"):
        load_tls(tmp_path)


def test_paths_begin_at_the_folder_of_the_file(folder: Path) -> None:
    write(folder, MUTUAL)
    tls = load_tls(folder)
    assert tls is not None
    assert tls.server is not None
    assert tls.server.certificate == str(folder / "server.pem")
    assert tls.server.require_client_certificate
    assert tls.server.server_context().verify_mode is ssl.CERT_REQUIRED
    assert tls.client.key == str(folder / "client.key")
    assert (tls.client.ca, tls.client.expected_name) == (str(folder / "ca.pem"), None)
    absolute = MUTUAL.replace('= "', f'= "{folder}/')
    assert loaded(folder, absolute) == tls


def test_https_gets_the_bytes(folder: Path) -> None:
    tls = loaded(folder, MUTUAL + 'domain_name = "node.example.org"\n')
    authority = (folder / "ca.pem").read_bytes()
    assert tls.https_server() == Tls(
        roots=authority,
        certificate=(folder / "server.pem").read_bytes(),
        key=(folder / "server.key").read_bytes(),
        client_certificates=True,
    )
    assert tls.https_client() == Tls(
        roots=authority,
        certificate=(folder / "client.pem").read_bytes(),
        key=(folder / "client.key").read_bytes(),
        expected_name="node.example.org",
    )
    (folder / "client.key").unlink()
    with pytest.raises(SettingsError, match=r"client\.key: no such file"):
        tls.https_client()


def test_a_client_alone_serves_nothing(folder: Path) -> None:
    tls = loaded(folder, f"[client]\n{CLIENT}")
    assert tls.server is None
    assert tls.https_server() is None
    assert tls.served_url("http://127.0.0.1:7001") == "http://127.0.0.1:7001"


def test_with_a_server_nothing_is_served_in_plain_text(folder: Path) -> None:
    tls = loaded(folder, f"[server]\n{SERVER}")
    assert tls.client.ca is None
    served = {
        "http://127.0.0.1:1": "https://127.0.0.1:1",
        "tcp://127.0.0.1:1": "tls+tcp://127.0.0.1:1",
        "https://127.0.0.1:1": "https://127.0.0.1:1",
        "memory://con": "memory://con",
        "": "",
    }
    assert {url: tls.served_url(url) for url in served} == served


@pytest.mark.parametrize("scheme", ["https", "tls+tcp"])
@pytest.mark.parametrize("name", [None, "127.0.0.1", "other.example"])
def test_both_transports_talk_with_it(folder: Path, scheme: str, name: str | None) -> None:
    expected = f'domain_name = "{name}"\n' if name else ""
    tls = loaded(folder, MUTUAL + expected)

    def echo(incoming: Incoming) -> bytes:
        return incoming.payload

    def transports() -> tuple[Transport, Transport]:
        scheduler = current_scheduler()
        if scheme == "https":
            server, client = tls.https_server(), tls.https_client()
            return GrpcTransport(scheduler, tls=server), GrpcTransport(scheduler, tls=client)
        return (
            TlsTcpTransport(scheduler, tls=tls.server),
            TlsTcpTransport(scheduler, tls=tls.client),
        )

    async def main() -> None:
        listening, connecting = transports()
        async with (
            listening.listen(Address(scheme, "127.0.0.1:0"), echo) as address,
            connecting.connect(address) as connection,
        ):
            assert await connection.call("/a", b"x", timeout_s=5) == b"x"

    if name == "other.example":
        with pytest.raises(TransportError):
            run(main, world="real")
    else:
        run(main, world="real")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it names no certificate and no authority; remove the file"),
        ("[server]\n", "it names no certificate and no authority"),
        ("[server", "not TOML"),
        ("[sever]\n", "unknown key 'sever'; did you mean 'server'?"),
        ('[client]\nclient_ca_pth = "x"', "did you mean 'client_ca_path'?"),
        ("[client]\nclient_ca_path = 3", "expected a text in quotes, found a number"),
        ('[client]\ntpm_handle = "0x81000001"', "client.tpm_handle: keys in a TPM are not avail"),
        ('[client]\ndomain_name = "a b"', "client.domain_name: 'a b': a host name is expected"),
        (
            '[server]\nserver_cert_path = "server.pem"',
            "tls_config.toml:2: server.server_cert_path: it needs 'server_key_path', too",
        ),
        ('[server]\nserver_key_path = "server.key"', "it needs 'server_cert_path', too"),
        ('[server]\nserver_ca_path = "ca.pem"', "it needs 'server_cert_path', too"),
        ('[client]\nclient_key_path = "client.key"', "it needs 'client_cert_path', too"),
        (
            '[client]\nclient_ca_path = "gone.pem"',
            "tls_config.toml:2: client.client_ca_path: 'gone.pem': no such file",
        ),
        ('[client]\nclient_ca_path = "."', "'.': is not a regular file"),
        ('[client]\nclient_ca_path = "pipe"', "'pipe': is not a regular file"),
        ('[client]\nclient_ca_path = "empty"', "'empty': is empty"),
        ('[client]\nclient_ca_path = "large"', "'large': has more than 1048576 bytes"),
        ('[client]\nclient_ca_path = "a\\u0000"', "it has a NUL character"),
        ('[client]\nclient_ca_path = "rubbish"', "rubbish holds no certificates"),
        ('[client]\nclient_ca_path = "server.key"', "server.key holds no certificates"),
        ("[server]\n" + SERVER.replace("server.key", "client.key"), "are not a certificate and"),
        ("[server]\n" + SERVER.replace("server.key", "rubbish"), "are not a certificate and its"),
        ("[server]\n" + SERVER.replace("server.pem", "rubbish"), "are not a certificate and its"),
        ("[server]\n" + SERVER.replace("server.key", "locked"), "are not a certificate and its"),
    ],
)
def test_what_is_of_no_use_refuses_the_start(folder: Path, text: str, expected: str) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "empty").touch()
    (folder / "large").write_bytes(b"#" * ((1 << 20) + 1))
    (folder / "rubbish").write_text("-----BEGIN CERTIFICATE-----\nPRIVATE\n")
    (folder / "locked").write_bytes(encrypted((folder / "server.key").read_bytes()))
    assert expected in refusal(folder, text)


def encrypted(key: bytes) -> bytes:
    # trustme stands on it.
    from cryptography.hazmat.primitives import serialization as as_bytes

    return as_bytes.load_pem_private_key(key, password=None).private_bytes(
        as_bytes.Encoding.PEM,
        as_bytes.PrivateFormat.PKCS8,
        as_bytes.BestAvailableEncryption(b"passphrase"),
    )


def test_certificates_are_read_without_grpcio() -> None:
    # What daemons that speak tcp must not pay for.
    program = "import sys; import edgeless_sim.cluster.settings; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("spelling", ['"""\n{}"""', "'{}'", '["{}"]'])
@pytest.mark.parametrize("key", ["server_key_path", "server_cert_path"])
def test_a_key_that_stands_where_its_path_belongs_is_not_shown(
    folder: Path, key: str, spelling: str
) -> None:
    pem = (folder / "server.key").read_text()
    inside = "".join(pem.splitlines()[1:-1])
    for secret in (pem, inside, inside * 100):
        if "\n" in secret and '"""' not in spelling:
            continue
        words = refusal(folder, f"[server]\n{key} = {spelling.format(secret)}\n")
        assert f"server.{key}: " in words
        assert inside[:8] not in words
        assert inside[-16:] not in words
