"""Which addresses http-egress may send to, however they are spelt (reliability S02)."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_sim.errors import SettingsError
from edgeless_sim.resources.egress_policy import EgressPolicy, literal_address

#: Ways to write an address that leads to this machine, to a private net or to metadata.
SPELLINGS = {
    "127.0.0.1": "loopback",
    "127.1": "loopback",
    "127.0.1": "loopback",
    "127.255.255.254": "loopback",
    "2130706433": "loopback",
    "0x7f000001": "loopback",
    "0x7F.0.0.1": "loopback",
    "0177.0.0.1": "loopback",
    "017700000001": "loopback",
    "0x7f.1": "loopback",
    "127.0.0.1.": "loopback",
    "::1": "loopback",
    "[::1]": "loopback",
    "0:0:0:0:0:0:0:1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:7f00:1": "loopback",
    "::127.0.0.1": "loopback",
    "64:ff9b::127.0.0.1": "loopback",
    "2002:7f00:1::": "loopback",
    "0.0.0.0": "unspecified",
    "0": "unspecified",
    "::": "unspecified",
    "::ffff:0.0.0.0": "unspecified",
    "169.254.169.254": "link-local",
    "2852039166": "link-local",
    "0xa9fea9fe": "link-local",
    "0251.0376.0251.0376": "link-local",
    "0xa9.0xfe.0xa9.0xfe": "link-local",
    "169.254.43518": "link-local",
    "169.16689662": "link-local",
    "::ffff:169.254.169.254": "link-local",
    "64:ff9b::a9fe:a9fe": "link-local",
    "2002:a9fe:a9fe::1": "link-local",
    "fe80::1": "link-local",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "167772161": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.0.1": "private",
    "0xc0a80001": "private",
    "0300.0250.0.1": "private",
    "100.64.0.1": "private",
    "100.127.255.255": "private",
    "192.0.0.1": "private",
    "192.0.2.1": "private",
    "198.18.0.1": "private",
    "198.51.100.7": "private",
    "203.0.113.7": "private",
    "240.0.0.1": "private",
    "255.255.255.255": "private",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "fec0::1": "site-local",
    "2001:db8::1": "private",
    "100::1": "private",
    "::ffff:10.0.0.1": "private",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "ff02::1": "multicast",
}


@pytest.mark.parametrize(("spelling", "kind"), SPELLINGS.items())
def test_no_spelling_of_a_private_address_passes(spelling: str, kind: str) -> None:
    address = literal_address(spelling)
    assert address is not None
    fault = EgressPolicy((), key="http_egress_allow").fault(spelling, address, 80)
    assert fault is not None
    assert kind in fault
    assert "[resources] http_egress_allow" in fault


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700::1111"])
def test_public_addresses_pass(address: str) -> None:
    assert EgressPolicy((), key="http_egress_allow").fault(address, ip_address(address), 80) is None


@pytest.mark.parametrize("name", ["localhost", "a.b", "example.org", "x1", "dead.beef.org", ""])
def test_names_are_no_addresses(name: str) -> None:
    assert literal_address(name) is None


@given(st.ip_addresses(v=4))
def test_every_spelling_of_an_address_is_that_address(address: object) -> None:
    number = int(address)  # type: ignore[call-overload]  # an address is a number
    parts = [number >> shift & 255 for shift in (24, 16, 8, 0)]
    for spelling in (
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(f"0{part:o}" for part in parts),
        ".".join(hex(part) for part in parts),
        f"{parts[0]}.{number & 0xFFFFFF}",
    ):
        assert literal_address(spelling) == address


@pytest.mark.parametrize(
    ("entry", "name", "address", "port", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1", "localhost", "127.0.0.1", 80, True),
        ("127.0.0.1", "x", "::ffff:127.0.0.1", 80, True),
        ("127.0.0.1", "x", "127.0.0.2", 80, False),
        ("127.0.0.1:80", "x", "127.0.0.1", 80, True),
        ("127.0.0.1:80", "x", "127.0.0.1", 81, False),
        ("10.0.0.0/8", "x", "10.9.8.7", 80, True),
        ("10.0.0.0/8:443", "x", "10.9.8.7", 80, False),
        ("10.0.0.0/8", "x", "11.0.0.1", 80, True),
        ("::1", "x", "::1", 80, True),
        ("[::1]", "x", "::1", 80, True),
        ("[::1]:80", "x", "::1", 80, True),
        ("[::1]:80", "x", "::1", 81, False),
        ("fd00::/8", "x", "fd00::1", 80, True),
        ("db.lab", "db.lab", "10.0.0.1", 5, True),
        ("DB.lab", "db.LAB", "10.0.0.1", 5, True),
        ("db.lab:5", "db.lab", "10.0.0.1", 6, False),
        ("db.lab", "x.db.lab", "10.0.0.1", 5, False),
        ("localhost", "127.0.0.1", "127.0.0.1", 5, False),
    ],
)
def test_an_entry_allows_what_it_names(
    entry: str, name: str, address: str, port: int, allowed: bool
) -> None:
    fault = EgressPolicy((entry,), key="http_egress_allow").fault(name, ip_address(address), port)
    assert (fault is None) is allowed


def test_the_refusal_says_what_to_write() -> None:
    fault = EgressPolicy((), key="http_egress_allow").fault("localhost", ip_address("::1"), 8080)
    assert fault == (
        "::1, to which 'localhost' leads, is a loopback address; the node would allow it with "
        '[resources] http_egress_allow = ["[::1]:8080"]'
    )


@pytest.mark.parametrize(
    "entry",
    [
        *["", " ", "a b", "10.0.0.1/8", "10.0.0", "1.2.3.4.5", "x:0", "x:70000", "x:", "http://x"],
        *["*", "[::1", "::1/x", "a@b", "10.0.0.0/33"],
    ],
)
def test_an_entry_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(SettingsError, match=r"http_egress_allow: '.*is neither an address nor"):
        EgressPolicy((entry,), key="http_egress_allow")
