"""Free ports on the loopback interface.

A port is chosen by binding to it and letting go. Somebody else may take it in between; whoever
listens there next then says so. To make that rare, ports are chosen where no operating system
takes those of outgoing connections from, and not in a row.
"""

import secrets
import socket
from typing import Final

from edgeless_sim.errors import SettingsError

__all__ = ["LOOPBACK", "free_ports"]

LOOPBACK: Final = "127.0.0.1"
#: Below 32,768 and 49,152, where Linux and the others begin to number outgoing connections.
_PORTS: Final = range(20_000, 32_768)


def free_ports(number: int, host: str = LOOPBACK) -> list[int]:
    """So many different ports on which nobody listens; raise `SettingsError` if there are not."""
    candidates = list(_PORTS)
    secrets.SystemRandom().shuffle(candidates)
    found: list[int] = []
    for port in candidates:
        if len(found) == number:
            return found
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
            # As listeners do: what a connection of an earlier run has left is no hindrance.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((host, port))
            except OSError:
                continue
        found.append(port)
    raise SettingsError(f"no {number} free ports on {host}")
