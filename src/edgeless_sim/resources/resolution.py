"""From a name to an address that may be connected to (reliability S02).

Asked for each connection, since a name may lead elsewhere by then. Not here: which addresses those
are (`egress_policy`).
"""

import asyncio
import socket

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.names import quoted
from edgeless_sim.resources.egress_policy import EgressPolicy, literal_address

__all__ = ["checked_address"]


async def checked_address(policy: EgressPolicy, name: str, port: int) -> str:
    """An address of *name*; raise `ResourceError` if there is none or *policy* refuses one."""
    addresses = await _resolved(name, port)
    for text in addresses:
        address = literal_address(text.partition("%")[0])
        fault = (
            f"{quoted(text)} is no address"
            if address is None
            else policy.fault(name, address, port)
        )
        if fault is not None:
            raise ResourceError(fault)
    # The first that the system prefers; IPv4 where it gives both for a server on this machine.
    return next((text for text in addresses if ":" not in text), addresses[0])


async def _resolved(name: str, port: int) -> list[str]:
    """The addresses of *name*, at least one, as the system gives them."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ResourceError(f"the host {quoted(name)} is not known") from None
    return [str(place[0]) for *_, place in found]
