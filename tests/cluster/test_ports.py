"""Ports that a cluster has for itself."""

import socket
import sys

import pytest

from edgeless_sim.cluster.ports import LOOPBACK, ReservedPorts
from edgeless_sim.errors import SettingsError

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
