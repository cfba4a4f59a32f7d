"""What the list of allowed addresses says in simulation, where nobody resolves names."""

from typing import Final

from edgeless_sim.resources.egress_policy import EgressPolicy, literal_address

__all__ = ["simulated_fault"]

_LOOPBACK: Final = "127.0.0.1"


def simulated_fault(policy: EgressPolicy, name: str, port: int) -> str | None:
    """Why nothing may be sent to the host *name*; None if it may. In simulation, a name leads to
    no private address, but for ``localhost``."""
    local = name == "localhost" or name.endswith(".localhost")
    address = literal_address(_LOOPBACK if local else name)
    return None if address is None else policy.fault(name, address, port)
