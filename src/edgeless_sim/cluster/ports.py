"""Free ports on the loopback interface.

A port is chosen by binding to it and letting go. Somebody else may take it in between; whoever
listens there next then says so.
"""

import socket
from typing import Final

from edgeless_sim.errors import SettingsError

__all__ = ["LOOPBACK", "free_ports"]

LOOPBACK: Final = "127.0.0.1"


def free_ports(number: int, host: str = LOOPBACK) -> list[int]:
    """So many different ports on which nobody listens; raise `SettingsError` if there are not."""
    held: list[socket.socket] = []
    try:
        for _ in range(number):
            # All are held until the last is found, so that they differ.
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(one)
            one.bind((host, 0))
        return [int(one.getsockname()[1]) for one in held]
    except OSError as error:
        raise SettingsError(f"no {number} free ports on {host}: {error}") from None
    finally:
        for one in held:
            one.close()
