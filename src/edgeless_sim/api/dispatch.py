"""From a method path to a call of a service: what a component listens with."""

from collections.abc import Awaitable, Callable, Mapping

from edgeless_sim.api.methods import METHODS
from edgeless_sim.api.wire import OUR_WIRE, Wire
from edgeless_sim.errors import EdgelessError, RejectedError
from edgeless_transports import Incoming as Request
from edgeless_transports import RemoteError

__all__ = ["Dispatcher", "Request"]


class Dispatcher:
    """A transport's `Handler` that serves the given services.

    *services* maps a service's name (``"FunctionInstance"``) to the object that implements it. An
    `EdgelessError` becomes a refusal that the client raises again; a bug escapes.
    """

    def __init__(self, services: Mapping[str, object], wire: Wire = OUR_WIRE) -> None:
        self._wire = wire
        self._routes: dict[str, tuple[Callable[..., Awaitable[object]], bool]] = {}
        for service, implementation in services.items():
            for name, method in METHODS[service].items():
                takes_request = method.request is not None
                self._routes[method.path] = (getattr(implementation, name), takes_request)

    async def __call__(self, incoming: Request) -> bytes:
        """Serve one request; raise `RemoteError` for a method that nobody serves here, and where
        the wire has no room for a refusal in a reply."""
        path, wire = incoming.method, self._wire
        route = self._routes.get(path)
        if route is None:
            raise RemoteError("unimplemented", f"no such method: {path[:128]}")
        serve, takes_request = route
        try:
            request = wire.decode_request(path, incoming.payload)
            result = await (serve(request) if takes_request else serve())
            return wire.encode_result(path, result)
        except RejectedError as error:
            return wire.encode_refusal(path, error)
        except EdgelessError as error:
            return wire.encode_refusal(path, RejectedError(type(error).__name__, str(error)))
