"""``tls_config.toml`` (spec 8.6): what a component proves, and whom it believes.

A file that cannot be used refuses the start: nothing falls back to plain text, as EDGELESS does
(U31). Errors name files and never quote them. Not here: handshakes.
"""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ValidationError

from edgeless_sim.cluster.settings.unavailable import Fault
from edgeless_sim.cluster.settings.urls import host_fault
from edgeless_sim.cluster.settings.values import Text
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.files import read_regular_file
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.shape_errors import shape_faults
from edgeless_sim.model.toml_document import read_toml_file
from edgeless_sim.model.toml_table import Table
from edgeless_transports.pem import Tls
from edgeless_transports.tls import TlsError, TlsSettings

__all__ = ["TLS_FILE", "ComponentTls", "TlsClientTable", "TlsServerTable", "TlsTables", "load_tls"]

TLS_FILE: Final = "tls_config.toml"

_PEM_BYTES_MAX: Final = 1 << 20
#: The frame of a PEM file, or what is inside: the shortest keys have a line of 64 characters.
_KEY_MATERIAL: Final = re.compile(r"-----|\n|[A-Za-z0-9+/=]{60}")
_SECURED: Final = {"http": "https", "tcp": "tls+tcp"}


def _absent_when_empty(value: object) -> object:
    return None if value == "" else value


def _host_name(value: str | None) -> str | None:
    if value is not None and host_fault(value) is not None:
        raise ValueError("a host name is expected, such as 'node-1.example.org'")
    return value


_Path: TypeAlias = Annotated[Text | None, BeforeValidator(_absent_when_empty)]


class TlsServerTable(Table):
    """``[server]``: of the places where a component listens."""

    server_cert_path: _Path = None
    """Its certificate, and those between it and the authority."""
    server_key_path: _Path = None
    """The key of that certificate, without a passphrase."""
    server_ca_path: _Path = None
    """Who signs the certificates of clients, which then need one."""


class TlsClientTable(Table):
    """``[client]``: of the connections that a component makes."""

    client_ca_path: _Path = None
    """Who signs the certificates of servers; absent = whom the system believes."""
    client_cert_path: _Path = None
    """What the client proves itself with."""
    client_key_path: _Path = None
    tpm_handle: _Path = None
    """Not available: absent."""
    domain_name: Annotated[
        Text | None, AfterValidator(_host_name), BeforeValidator(_absent_when_empty)
    ] = None
    """The name that servers must prove; absent = the host of the URL."""


class TlsTables(Table):
    """The file."""

    server: TlsServerTable = TlsServerTable()
    client: TlsClientTable = TlsClientTable()


@dataclass(frozen=True, slots=True)
class ComponentTls:
    """The certificates of one component; when it was made, they could be used."""

    #: For listeners at ``tls+tcp``; None = there is no certificate to listen with.
    server: TlsSettings | None
    #: For connections to ``tls+tcp``.
    client: TlsSettings

    def served_url(self, url: str) -> str:
        """*url*, where the component listens or says that it does: secured if there is a server.

        EDGELESS's servers use TLS whatever the scheme of their URL is.
        """
        scheme, separator, location = url.partition("://")
        if self.server is None or not separator:
            return url
        return f"{_SECURED.get(scheme, scheme)}://{location}"

    def https_server(self) -> Tls | None:
        """For listeners at ``https``; raise `SettingsError` if a file cannot be read any more."""
        return None if self.server is None else _pem(self.server)

    def https_client(self) -> Tls:
        """For connections to ``https``; raise `SettingsError` as `https_server`."""
        return _pem(self.client)


def load_tls(path: Path) -> ComponentTls | None:
    """What the file at *path* says, or the `TLS_FILE` in the folder there, if there is one.

    Paths in it are relative to its folder. Raise `SettingsError` if it is no such file, or one
    that it names is of no use.
    """
    file = _file_at(path)
    if file is None:
        return None
    document = read_toml_file(file, error=SettingsError)
    try:
        tables = TlsTables.model_validate(document.value)
    except ValidationError as error:
        document.refuse(shape_faults(error, _without_keys(document.value), TlsTables))
    faults = [*_table_faults(tables)] or [*_file_faults(tables, file.parent)]
    if faults:
        document.refuse(faults)
    return _component_tls(tables, file.parent)


def _file_at(path: Path) -> Path | None:
    """The file that *path* means; None = a folder without one."""
    inside = path / TLS_FILE
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            return path
        # Not followed: a link that leads nowhere is a file that cannot be read.
        inside.lstat()
    except FileNotFoundError:
        return None if path.is_dir() else path
    except (OSError, ValueError):
        # Reading it says why not.
        return path
    return inside


def _component_tls(tables: TlsTables, folder: Path) -> ComponentTls:
    server, client = tables.server, tables.client
    listening = TlsSettings(
        certificate=_below(folder, server.server_cert_path),
        key=_below(folder, server.server_key_path),
        ca=_below(folder, server.server_ca_path),
        require_client_certificate=server.server_ca_path is not None,
    )
    connecting = TlsSettings(
        certificate=_below(folder, client.client_cert_path),
        key=_below(folder, client.client_key_path),
        ca=_below(folder, client.client_ca_path),
        expected_name=client.domain_name,
    )
    return ComponentTls(None if listening.certificate is None else listening, connecting)


def _table_faults(tables: TlsTables) -> Iterator[Fault]:
    server, client = tables.server, tables.client
    if client.tpm_handle is not None:
        yield (
            ("client", "tpm_handle"),
            "keys in a TPM are not available in this version; name a file: client_key_path",
        )
    for table, role in ((server, "server"), (client, "client")):
        certificate, key = f"{role}_cert_path", f"{role}_key_path"
        for named, lacking in ((certificate, key), (key, certificate)):
            if getattr(table, named) is not None and getattr(table, lacking) is None:
                yield (role, named), f"it needs {lacking!r}, too"
    if server.server_ca_path is not None and server.server_cert_path is None:
        yield ("server", "server_ca_path"), "it needs 'server_cert_path', too"
    if tables == TlsTables():
        yield (), "it names no certificate and no authority; remove the file to do without TLS"


def _file_faults(tables: TlsTables, folder: Path) -> Iterator[Fault]:
    unreadable = False
    for role, table in (("server", tables.server), ("client", tables.client)):
        for key, value in table:
            if key.endswith("_path") and value is not None:
                fault = _reading_fault(folder / value)
                if fault is not None:
                    unreadable = True
                    yield (role, key), f"{quoted(_without_keys(value))}: {fault}"
    if unreadable:
        return
    tls = _component_tls(tables, folder)
    try:
        if tls.server is not None:
            tls.server.server_context()
    except TlsError as error:
        yield ("server",), str(error)
    try:
        tls.client.client_context()
    except TlsError as error:
        yield ("client",), str(error)


def _without_keys(value: Any) -> Any:
    """*value* as it may be shown: whoever pastes a key must not find it in a log."""
    match value:
        case dict():
            return {key: _without_keys(inside) for key, inside in value.items()}
        case str() if _KEY_MATERIAL.search(value):
            return "…"
        case _:
            return value


def _reading_fault(path: Path) -> str | None:
    try:
        content = read_regular_file(path, _PEM_BYTES_MAX)
    except FileNotFoundError:
        return "no such file"
    except ValueError as cause:
        return str(cause)
    return None if content else "is empty"


def _below(folder: Path, path: str | None) -> str | None:
    return None if path is None else str(folder / path)


def _pem(settings: TlsSettings) -> Tls:
    return Tls(
        roots=_content(settings.ca),
        certificate=_content(settings.certificate),
        key=_content(settings.key),
        client_certificates=settings.require_client_certificate,
        expected_name=settings.expected_name,
    )


def _content(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return read_regular_file(Path(path), _PEM_BYTES_MAX)
    except FileNotFoundError:
        raise SettingsError(clipped(f"{path}: no such file")) from None
    except ValueError as cause:
        raise SettingsError(clipped(f"{path}: {cause}")) from None
