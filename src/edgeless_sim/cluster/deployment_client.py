"""A client of a real deployment: asks an ε-CON or an ε-ORC, or casts to a node, ours or EDGELESS's
own."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from edgeless_sim.api.clients import RPC_TIMEOUT_S, ControllerClient, DomainMirrorClient
from edgeless_sim.api.services import HANDLE
from edgeless_sim.api.wire import Wire
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.cluster.endpoint import Endpoint
from edgeless_sim.cluster.settings.tls import ComponentTls
from edgeless_sim.errors import SettingsError, UnreachableError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.event import Event, EventType
from edgeless_sim.model.ids import FUNCTION_ID_NONE, NODE_ID_NONE, InstanceId
from edgeless_transports import AddressError, Connection, RemoteError, TransportError

__all__ = ["open_connection", "open_controller", "open_domain_mirror", "send_cast"]

#: Starting a workflow includes starting all of its components.
_TIMEOUT_S: Final = 60.0
#: A method that nobody serves.
_NOTHING: Final = "/edgeless_sim.Nothing/Nothing"
#: In whose name an event from outside comes, as with EDGELESS's own client.
_NOBODY: Final = InstanceId(NODE_ID_NONE, FUNCTION_ID_NONE)


@asynccontextmanager
async def open_controller(
    url: str, *, tls: ComponentTls | None = None, timeout_s: float = _TIMEOUT_S
) -> AsyncGenerator[ControllerClient]:
    """The ε-CON at *url*; it is looked for at the first request. Needs a loop in real time.

    Raises `SettingsError` for a text that is no URL; requests raise `UnreachableError` if nobody
    answers within *timeout_s*.
    """
    async with open_connection(url, tls=tls) as (connection, wire):
        yield ControllerClient(connection, wire, timeout_s=timeout_s)


@asynccontextmanager
async def open_domain_mirror(
    url: str, *, tls: ComponentTls | None = None, timeout_s: float = RPC_TIMEOUT_S
) -> AsyncGenerator[DomainMirrorClient]:
    """The ε-ORC at *url*, as one that shows its domain; otherwise as `open_controller`."""
    async with open_connection(url, tls=tls) as (connection, wire):
        yield DomainMirrorClient(connection, wire, timeout_s=timeout_s)


@asynccontextmanager
async def open_connection(
    url: str, *, tls: ComponentTls | None = None
) -> AsyncGenerator[tuple[Connection, Wire]]:
    """Whoever serves at *url*, and the wire to speak there; as `open_controller`."""
    async with Supervisor.open() as supervisor:
        clock = LoopClock.running()
        endpoint = Endpoint(clock.scheduler, supervisor.spawn, tls=tls)
        wires = Wires(Role.CLIENT, epoch_ns=clock.epoch_ns, now_ns=clock.now_ns)
        try:
            connection = endpoint.connection(url)
        except AddressError as error:
            raise SettingsError(f"{url}: {error}") from None
        try:
            yield connection, wires.calling(url)
        finally:
            endpoint.crash()
            await endpoint.ended()


async def send_cast(
    url: str,
    target: InstanceId,
    payload: str,
    *,
    tls: ComponentTls | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> None:
    """Cast an event of nobody to an instance, whose node takes events at *url* (spec 9.2).

    Raises `SettingsError` for a text that is no URL, `UnreachableError` if nobody is there.
    """
    async with Supervisor.open() as supervisor:
        clock = LoopClock.running()
        endpoint = Endpoint(clock.scheduler, supervisor.spawn, tls=tls)
        wires = Wires(Role.CLIENT, epoch_ns=clock.epoch_ns, now_ns=clock.now_ns)
        event = Event(
            EventType.CAST, target.key, _NOBODY.key, 0, payload, clock.now_ns(), bytes(24), 0
        )
        try:
            with clock.fail_after(timeout_s):
                async with endpoint.connected(url) as connection:
                    await connection.cast(HANDLE, wires.calling(url).encode_event(event))
                    # Frames keep their order: whatever is answered to this one, the cast was taken.
                    with suppress(RemoteError):
                        await connection.call(_NOTHING, b"", timeout_s=timeout_s)
        except AddressError as error:
            raise SettingsError(f"{url}: {error}") from None
        except (TransportError, TimeoutError) as error:
            raise UnreachableError(f"{url}: {error or 'nobody answers'}") from None
