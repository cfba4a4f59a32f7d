"""Which texts are URLs of services, and which two of them collide."""

import pytest

from edgeless_sim.cluster.settings.urls import endpoint_of, url_fault


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:7001",
        "https://node-1.example.org:443",
        "tcp://[::1]:65535",
        "tls+tcp://localhost:1",
        "memory://con",
        "memory://node/edge/0",
    ],
)
def test_a_url_of_a_service(url: str) -> None:
    assert url_fault(url) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "write scheme://host:port"),
        ("127.0.0.1:7001", "write scheme://host:port"),
        ("http:/127.0.0.1:7001", "write scheme://host:port"),
        ("http://127.0.0.1", "the port is missing"),
        ("http://[::1]", "the port is missing"),
        ("http://127.0.0.1:", "the port '' is not between"),
        ("http://127.0.0.1:65536", "the port '65536' is not between 1 and 65535"),
        ("http://127.0.0.1:0", "the port '0' is not"),
        ("http://127.0.0.1:-1", "the port '-1' is not"),
        ("http://127.0.0.1:7 ", "the port '7 ' is not"),
        ("http://127.0.0.1:٣", "the port"),
        ("http://127.0.0.1:000007001", "the port"),
        ("http://:7001", "the host is missing"),
        ("http://::1:7001", "stands in brackets"),
        ("http://[127.0.0.1]:7001", "is no IPv6 address"),
        ("http://[::1::2]:7001", "is no IPv6 address"),
        ("http://127.0.0.256:7001", "is no IPv4 address"),
        ("http://1.2.3:7001", "is no IPv4 address"),
        ("http://a b:7001", "is no host name"),
        ("http://-a:7001", "is no host name"),
        ("http://127.0.0.1:7001/", "remove the slash"),
        ("http://127.0.0.1:7001/path", "remove the slash"),
        ("http://ada@host:7001", "no user name"),
        ("coap://127.0.0.1:7050", "CoAP is not available in this version"),
        ("coaps://127.0.0.1:7050", "CoAP is not available in this version"),
        ("htpp://127.0.0.1:7001", "unknown scheme 'htpp'; did you mean 'http'?"),
        ("HTTP://127.0.0.1:7001", "unknown scheme 'HTTP'"),
        ("://127.0.0.1:7001", "unknown scheme ''"),
        ("memory://", "it is empty"),
        ("memory://a b", "it has a space"),
        ("memory://a\n", "control character"),
    ],
)
def test_no_url_of_a_service(url: str, reason: str) -> None:
    assert reason in str(url_fault(url))


def test_port_0_is_one_where_it_may_be() -> None:
    assert url_fault("tcp://127.0.0.1:0", any_port=True) is None
    assert url_fault("tcp://127.0.0.1:-0", any_port=True) is not None


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("http://127.0.0.1:1", "tcp://127.0.0.1:1", True),
        ("http://127.0.0.1:1", "http://127.0.0.1:2", False),
        ("http://127.0.0.1:1", "http://127.0.0.2:1", False),
        ("http://127.0.0.1:1", "http://0.0.0.0:1", True),
        ("http://[::]:1", "http://10.0.0.1:1", True),
        ("http://localhost:1", "http://127.0.0.1:1", True),
        ("http://Box:1", "http://box:1", True),
        ("http://127.0.0.1:0", "http://127.0.0.1:0", False),
        ("memory://con", "memory://con", True),
        ("memory://con", "memory://orc", False),
        ("memory://con", "http://127.0.0.1:1", False),
    ],
)
def test_two_listeners_collide_where_only_one_can_be(one: str, other: str, collide: bool) -> None:
    first, second = endpoint_of(one), endpoint_of(other)
    assert first.collides(second) is second.collides(first) is collide
