"""Certificates of ``tls+tcp://``: files to contexts. What cannot be read refuses to start.

There is no setting that weakens: TLS 1.2 is the least, servers prove their name, and nothing falls
back to plain text. Errors name the file and never quote it.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeless_transports.errors import TransportError

__all__ = ["TlsError", "TlsSettings"]

_FILE_BYTES_MAX: Final = 1 << 20


class TlsError(TransportError):
    """The settings or files for TLS are of no use; nothing was started."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Files in PEM form. A server needs *certificate* and *key*, a client neither."""

    #: What this side proves itself with: its certificate, and those between it and the root.
    certificate: str | None = None
    #: The private key of *certificate*, without a passphrase.
    key: str | None = None
    #: Whom this side trusts; None = a client trusts what the system trusts.
    ca: str | None = None
    #: Whether a server refuses clients without a certificate by *ca* (mutual TLS).
    require_client_certificate: bool = False
    #: The name that a server must prove; None = the host of its address.
    expected_name: str | None = None

    def server_context(self) -> ssl.SSLContext:
        """What a listener uses; raise `TlsError` if there is no certificate or a file is wrong."""
        if self.certificate is None:
            raise TlsError("a listener with TLS needs a certificate and a key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._prepare(context)
        if self.require_client_certificate:
            if self.ca is None:
                raise TlsError("to require client certificates, name the ca that signs them")
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self) -> ssl.SSLContext:
        """What connections use; raise `TlsError` if a file is wrong."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._prepare(context)
        if self.ca is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context

    def _prepare(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if (self.certificate is None) is not (self.key is None):
            raise TlsError("a certificate and its key come together")
        if self.ca is not None:
            _check_readable(self.ca)
            try:
                context.load_verify_locations(self.ca)
            except (ssl.SSLError, ValueError) as error:
                raise TlsError(f"{self.ca} holds no certificates: {_why(error)}") from None
        if self.certificate is not None and self.key is not None:
            _check_readable(self.certificate)
            _check_readable(self.key)
            try:
                # With a passphrase given, if an empty one, nobody is asked for it at a terminal.
                context.load_cert_chain(self.certificate, self.key, password="")
            except (ssl.SSLError, ValueError) as error:
                raise TlsError(
                    f"{self.certificate} and {self.key} are not a certificate and its key: "
                    f"{_why(error)}"
                ) from None


def _check_readable(path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            size = len(file.read(_FILE_BYTES_MAX + 1))
    except (OSError, ValueError) as error:
        raise TlsError(f"{path} cannot be read: {_why(error)}") from None
    if not 0 < size <= _FILE_BYTES_MAX:
        raise TlsError(f"{path} is empty or larger than {_FILE_BYTES_MAX} bytes")


def _why(error: Exception) -> str:
    """The reason alone: messages of OpenSSL may hold more than belongs in a log."""
    if isinstance(error, ssl.SSLError):
        return error.reason or "not in PEM form"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
