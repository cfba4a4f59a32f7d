"""Keys and certificates of ``https``, as bytes in PEM form. Loads nothing of grpcio."""

from dataclasses import dataclass, field

__all__ = ["Tls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What the two ends of ``https`` prove, and whom they believe.

    ``roots`` sign the peers; None = those of the system. A listener needs ``certificate`` and
    ``key``; with ``client_certificates`` it takes only peers that have been signed, too. A server
    must prove ``expected_name``; None = the host of its address.
    """

    roots: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    client_certificates: bool = False
    expected_name: str | None = None
