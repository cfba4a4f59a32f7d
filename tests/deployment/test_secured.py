"""A deployment of which every connection is proven from both ends, over each wire; who proves
nothing is refused in words.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import pytest

# Certificates are made here, by an extra of the tests.
trustme = pytest.importorskip("trustme")

Start: TypeAlias = Callable[[Sequence[str], Path], None]
ROOT: Final = Path(__file__).parents[2]
CHAIN: Final = ROOT / "scenarios" / "chain" / "workflow.json"
HOST: Final = "127.0.0.1"
#: Another one for each run on this machine.
FIRST_PORT: Final = 20_000 + os.getpid() % 12_000
TLS: Final = """\
[server]
server_cert_path = "{0}/cert.pem"
server_key_path = "{0}/key.pem"
server_ca_path = "{0}/ca.pem"

[client]
client_ca_path = "{0}/ca.pem"
client_cert_path = "{0}/cert.pem"
client_key_path = "{0}/key.pem"
"""
TRUST_ALONE: Final = '[client]\nclient_ca_path = "{0}/ca.pem"\n'


#: Somebody who knows the authority of the deployment and was certified by another one.
FOREIGN: Final = """\
[client]
client_ca_path = "{0}/ca.pem"
client_cert_path = "{0}/foreign/cert.pem"
client_key_path = "{0}/foreign/key.pem"
"""


def _certificates(folder: Path) -> None:
    folder.mkdir()
    authority = trustme.CA()
    leaf = authority.issue_cert(HOST)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "key.pem").chmod(0o600)


def _client(folder: Path, url: str, tls: str | None) -> Callable[..., tuple[int, str, str]]:
    """``edgeless_cli`` in a folder with its file and, perhaps, certificates."""
    folder.mkdir()
    (folder / "cli.toml").write_text(f'controller_url = "{url}"\n')
    if tls is not None:
        (folder / "tls_config.toml").write_text(tls)

    def ask(*words: str) -> tuple[int, str, str]:
        command = [str(Path(sys.executable).with_name("edgeless_cli")), *words]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    return ask


@pytest.mark.parametrize(
    ("plain", "secured"),
    [("http", "https"), pytest.param("tcp", "tls+tcp", marks=pytest.mark.slow)],
)
def test_every_connection_is_proven_from_both_ends(
    plain: str, secured: str, start: Start, tmp_path: Path
) -> None:
    certificates, folder = tmp_path / "certificates", tmp_path / "deployment"
    _certificates(certificates)
    export = ("export", "chain", "--hosts", HOST, "--to", str(folder))
    options = ("--scheme", plain, "--first-port", str(FIRST_PORT))
    subprocess.run([sys.executable, "-m", "edgeless_sim", *export, *options], check=True)
    for file in (folder / HOST).glob("*/*.toml"):
        file.write_text(file.read_text().replace(f"{plain}://", f"{secured}://"))
        file.with_name("tls_config.toml").write_text(TLS.format(certificates))
    log = folder / HOST / "log"
    start(["sh", str(folder / HOST / "start.sh")], log)

    url = f"{secured}://{HOST}:{FIRST_PORT}"
    ask = _client(tmp_path / "operator", url, TLS.format(certificates))
    code, _, errors = ask("--timeout", "30", "domain", "wait", "--nodes", "3")
    assert code == 0, errors + log.read_text()
    code, workflow_id, errors = ask("workflow", "start", str(CHAIN))
    assert code == 0, errors + log.read_text()
    code, text, _ = ask("--format", "json", "workflow", "inspect", workflow_id.strip())
    assert code == 0
    assert len(json.loads(text)["status"]["mapping"]) == 4

    # Neither with a certificate of others, without one of one's own, nor in plain text.
    _certificates(certificates / "foreign")
    for name, at, tls in (
        ("foreign", url, FOREIGN.format(certificates)),
        ("trusting", url, TRUST_ALONE.format(certificates)),
        ("plain", f"{plain}://{HOST}:{FIRST_PORT}", None),
    ):
        stranger = _client(tmp_path / name, at, tls)
        code, output, errors = stranger("--timeout", "3", "workflow", "list")
        assert (code != 0, output) == (True, ""), (name, code, output, errors)
        assert HOST in errors
        assert len(errors) < 400, errors
        assert "Traceback" not in errors
    assert ask("workflow", "stop", "all")[0] == 0
    assert "Traceback" not in log.read_text()
