"""A client of a real deployment: asks an ε-CON, ours or EDGELESS's own, at its URL."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from edgeless_sim.api.clients import ControllerClient
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.cluster.endpoint import NO_TLS, Endpoint, Tls
from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_transports import AddressError

__all__ = ["open_controller"]

#: Starting a workflow includes starting all of its components.
_TIMEOUT_S: Final = 60.0


@asynccontextmanager
async def open_controller(
    url: str, *, tls: Tls = NO_TLS, timeout_s: float = _TIMEOUT_S
) -> AsyncGenerator[ControllerClient]:
    """The ε-CON at *url*; it is looked for at the first request. Needs a loop in real time.

    Raises `SettingsError` for a text that is no URL; requests raise `UnreachableError` if nobody
    answers within *timeout_s*.
    """
    async with Supervisor.open() as supervisor:
        clock = LoopClock.running()
        endpoint = Endpoint(clock.scheduler, supervisor.spawn, tls=tls)
        wires = Wires(Role.CLIENT, epoch_ns=clock.epoch_ns, now_ns=clock.now_ns)
        try:
            connection = endpoint.connection(url)
        except AddressError as error:
            raise SettingsError(f"{url}: {error}") from None
        try:
            yield ControllerClient(connection, wires.calling(url), timeout_s=timeout_s)
        finally:
            endpoint.crash()
            await endpoint.ended()
