"""Both ends of a request on EDGELESS's wire: `ProtobufDispatcher` serves, `call` asks.

The counterparts on our own wire are `edgeless_sim.api.dispatch` and `edgeless_sim.api.clients`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edgeless_sim.api.methods import METHODS
from edgeless_sim.api.protobuf.wire import ProtobufWire
from edgeless_sim.errors import EdgelessError, RejectedError, UnreachableError
from edgeless_transports import Connection, Incoming, RemoteError, TransportError

__all__ = ["ProtobufDispatcher", "call"]


class ProtobufDispatcher:
    """A transport's `Handler` that serves the given services on EDGELESS's wire.

    *services* maps a service's name (``"FunctionInstance"``) to the object that implements it. An
    `EdgelessError` becomes a refusal; a bug escapes.
    """

    def __init__(self, services: Mapping[str, object], wire: ProtobufWire) -> None:
        self._wire = wire
        self._routes: dict[str, tuple[Callable[..., Awaitable[object]], bool]] = {}
        for service, implementation in services.items():
            for name, method in METHODS[service].items():
                takes_request = method.request is not None
                self._routes[method.path] = (getattr(implementation, name), takes_request)

    async def __call__(self, incoming: Incoming) -> bytes:
        """Serve one request; raise `RemoteError` for a refusal that has no place in a reply."""
        path = incoming.method
        if path not in self._routes:
            raise RemoteError("unimplemented", f"no such method: {path[:128]}")
        serve, takes_request = self._routes[path]
        try:
            request = self._wire.decode_request(path, incoming.payload)
            result = await (serve(request) if takes_request else serve())
            return self._wire.encode_result(path, result)
        except RejectedError as error:
            return self._wire.encode_refusal(path, error)
        except EdgelessError as error:
            refusal = RejectedError(type(error).__name__, str(error))
            return self._wire.encode_refusal(path, refusal)


async def call(
    connection: Connection, wire: ProtobufWire, path: str, request: object, *, timeout_s: float
) -> Any:
    """Ask, and wait *timeout_s* seconds at most for the answer.

    Raise `RejectedError` when the peer says no, `UnreachableError` when it does not answer.
    """
    payload = wire.encode_request(path, request)
    try:
        reply = await connection.call(path, payload, timeout_s=timeout_s)
    except RemoteError as error:
        raise wire.decode_refusal(path, error) from None
    except TransportError as error:
        raise UnreachableError(f"{path}: {error}") from error
    return wire.decode_reply(path, reply)
