"""Which addresses http-egress and redis may go to (design, decision 33; reliability S02).

Public ones, and those that a key of ``[resources]`` names, one per class. It is asked about the
address that a connection is made to, never about a name. Not here: how names become addresses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from socket import inet_aton
from typing import Final, NoReturn, TypeAlias

from edgeless_sim.errors import SettingsError
from edgeless_sim.model.names import quoted

__all__ = ["Address", "EgressPolicy", "literal_address"]

Address: TypeAlias = IPv4Address | IPv6Address

_PORT_MAX: Final = 65_535
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_NUMBERS: Final = re.compile(r"(?:0x)?[0-9a-f]+(?:\.(?:0x)?[0-9a-f]+){0,3}", re.IGNORECASE)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE: Final = IPv6Network("::/96")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One text of the list: a name or a network, and a port (None = all)."""

    name: str
    network: IPv4Network | IPv6Network | None
    port: int | None

    def allows(self, name: str, address: Address, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is None:
            return self.name == name
        return address.version == self.network.version and address in self.network


class EgressPolicy:
    """The list, read. Raises `SettingsError` for an entry that cannot be understood."""

    def __init__(self, allow: Sequence[str], *, key: str) -> None:
        """*key* of ``[resources]`` has the list; refusals name it."""
        self._key = key
        self._entries = tuple(_read(text, key) for text in allow)

    def fault(self, name: str, address: Address, port: int) -> str | None:
        """Why nothing may be sent to *address*, to which the host *name* led; None if it may."""
        meant = _unwrapped(address)
        kind = _kind(meant)
        if kind is None or any(
            entry.allows(name.lower(), one, port)
            for entry in self._entries
            for one in (address, meant)
        ):
            return None
        shown = f"[{meant}]:{port}" if meant.version == 6 else f"{meant}:{port}"
        led = "" if name in (str(address), f"[{address}]") else f", to which {quoted(name)} leads,"
        remedy = f'the node would allow it with [resources] {self._key} = ["{shown}"]'
        return f"{meant}{led} is {kind}; {remedy}"


def literal_address(host: str) -> Address | None:
    """The address that *host* spells, in any way that a resolver takes; None for a name.

    Decimal, octal, hexadecimal and shortened IPv4 addresses are such ways.
    """
    text = host.removeprefix("[").removesuffix("]")
    try:
        return ip_address(text)
    except ValueError:
        pass
    if _NUMBERS.fullmatch(text.removesuffix(".")) is None:
        return None
    try:
        return IPv4Address(inet_aton(text.removesuffix(".")))
    except OSError:
        return None


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside *address* if there is one: it is where packets go in the end."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is not None:
        return inner
    if address in _NAT64 or (address in _V4_COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _kind(address: Address) -> str | None:
    """What keeps *address* from being public, or None."""
    for kind, applies in (
        ("unspecified", address.is_unspecified),
        ("a loopback address", address.is_loopback),
        ("a link-local address, as those of metadata services are", address.is_link_local),
        ("a multicast address", address.is_multicast),
        ("a site-local address", isinstance(address, IPv6Address) and address.is_site_local),
        ("a private or reserved address", not address.is_global or address.is_reserved),
    ):
        if applies:
            return kind
    return None


def _read(text: str, key: str) -> _Entry:
    host, port = _split(text, key)
    network = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return _Entry("", ip_network(network), port)
    except ValueError:
        if "/" in network or ":" in network or network.replace(".", "").isdigit():
            _reject(text, key)
    if _NAME.fullmatch(host.lower()) is None:
        _reject(text, key)
    return _Entry(host.lower(), None, port)


def _split(text: str, key: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    # An IPv6 address without brackets has no port.
    if not colon or (":" in host and not host.endswith("]")):
        return text, None
    if text.endswith("]"):
        return text, None
    if (
        not (port.isascii() and port.isdigit() and len(port) <= 5)
        or not 1 <= int(port) <= _PORT_MAX
    ):
        _reject(text, key)
    return host, int(port)


def _reject(text: str, key: str) -> NoReturn:
    raise SettingsError(
        f"{key}: {quoted(text)} is neither an address nor a network nor a name; write "
        "'192.168.1.7', '192.168.1.7:8080', '10.0.0.0/8', '[::1]:8080' or 'db.lab:8080'"
    )
