"""Ports that a cluster has for itself."""

import socket
import sys

import pytest

from edgeless_sim.cluster.ports import LOOPBACK, ReservedPorts
from edgeless_sim.errors import ListenError, SettingsError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="held on Linux only")


def bound(port: int, *, reuse: bool) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if reuse:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((LOOPBACK, port))
    except OSError:
        one.close()
        raise
    return one


def test_a_component_listens_at_a_reserved_port_again_and_again() -> None:
    reserved = ReservedPorts(1)
    for _ in range(3):
        with bound(reserved.ports[0], reuse=True) as listening:
            listening.listen()
            with socket.create_connection((LOOPBACK, reserved.ports[0])):
                listening.accept()[0].close()
    reserved.close()


def test_nobody_else_is_given_a_reserved_port() -> None:
    reserved = ReservedPorts(500)
    others = ReservedPorts(500)
    assert len({*reserved.ports, *others.ports}) == 1000
    with pytest.raises(OSError, match="in use"):
        bound(reserved.ports[0], reuse=False)
    reserved.close()
    reserved.close()
    others.close()
    bound(reserved.ports[0], reuse=False).close()


def test_two_cannot_listen_at_the_same_one() -> None:
    reserved = ReservedPorts(1)
    with bound(reserved.ports[0], reuse=True) as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            bound(reserved.ports[0], reuse=True)
    reserved.close()


def test_ports_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"no 2 free ports on 203\.0\.113\.1: "):
        ReservedPorts(2, "203.0.113.1")


def free_block(number: int) -> int:
    """A port with nobody at it and at those above."""
    for first in range(12_000, 30_000, number):
        try:
            ReservedPorts.from_port(first, number).close()
        except ListenError:
            continue
        return first
    raise AssertionError


def test_ports_from_one_on_leave_out_those_that_are_taken() -> None:
    first = free_block(8)
    with bound(first + 2, reuse=True) as other:
        other.listen()
        reserved = ReservedPorts.from_port(first, 3)
        assert reserved.ports[:2] == (first, first + 1)
        assert reserved.ports[2] > first + 2
        with bound(first, reuse=True) as listening:
            listening.listen()
        reserved.close()


def test_the_first_port_is_had_or_refused() -> None:
    first = free_block(8)
    with bound(first, reuse=True) as other:
        other.listen()
        with pytest.raises(ListenError, match=f"at 127.0.0.1:{first}: Address already in use"):
            ReservedPorts.from_port(first, 3)
    ReservedPorts.from_port(first, 3).close()


def test_so_many_ports_from_one_on_are_had_or_refused() -> None:
    with pytest.raises(SettingsError, match=r"no 9 free ports on 127\.0\.0\.1 from 65530 on"):
        ReservedPorts.from_port(65_530, 9)
