"""Ports of a cluster's own on the loopback interface.

A port is chosen by binding to it. On Linux the socket stays bound, without listening, for as long
as the cluster lives: nobody else is given the port, neither to listen nor for an outgoing
connection, and a component may listen there, again and again, because both sides say SO_REUSEADDR.
Elsewhere it is let go, and who listens there next says whether somebody else was quicker.
"""

import socket
import sys
from typing import Final, Self

from edgeless_sim.errors import ListenError, SettingsError

__all__ = ["LOOPBACK", "ReservedPorts", "free_ports"]

LOOPBACK: Final = "127.0.0.1"
_CAN_HOLD: Final = sys.platform == "linux"
_PORT_MAX: Final = 65_535


class ReservedPorts:
    """*number* different ports on which nobody listens; raise `SettingsError` if there are not."""

    def __init__(self, number: int, host: str = LOOPBACK) -> None:
        self._held: list[socket.socket] = []
        try:
            for _ in range(number):
                one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                self._held.append(one)
                one.bind((host, 0))
            self.ports = tuple(int(one.getsockname()[1]) for one in self._held)
            for one in self._held:
                # Not before: two clusters that say so could be given the same port.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError as error:
            self.close()
            raise SettingsError(f"no {number} free ports on {host}: {error}") from None
        if not _CAN_HOLD:
            self.close()

    @classmethod
    def from_port(cls, first: int, number: int, host: str = LOOPBACK) -> Self:
        """*first*, and the next ones above it at which nobody listens, *number* in all.

        Raise `ListenError` if somebody listens at *first*, `SettingsError` if there are not so
        many.
        """
        reserved = cls(0, host)
        ports: list[int] = []
        for port in range(first, _PORT_MAX + 1):
            if len(ports) == number:
                break
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            # Connections that ended a minute ago keep a port from nobody.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((host, port))
            except OSError as error:
                one.close()
                if not ports:
                    reserved.close()
                    raise ListenError(
                        f"{host}:{port}", f"nobody can listen at {host}:{port}: {error.strerror}"
                    ) from None
                continue
            ports.append(port)
            reserved._held.append(one)
        if len(ports) < number:
            reserved.close()
            raise SettingsError(f"no {number} free ports on {host} from {first} on")
        reserved.ports = tuple(ports)
        if not _CAN_HOLD:
            reserved.close()
        return reserved

    def close(self) -> None:
        """Let them go. Idempotent."""
        for one in self._held:
            one.close()
        self._held.clear()


def free_ports(number: int, host: str = LOOPBACK) -> tuple[int, ...]:
    """So many ports for programs that take no port which somebody else is bound to; somebody may
    be quicker than they are. Raise `SettingsError` as `ReservedPorts`."""
    reserved = ReservedPorts(number, host)
    reserved.close()
    return reserved.ports
