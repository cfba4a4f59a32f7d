"""From a method path to a call of a service: what a component listens with."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edgeless_sim.api.codec import Codec, MsgpackCodec, encode_refusal, encode_result
from edgeless_sim.api.methods import METHODS
from edgeless_sim.errors import EdgelessError, RejectedError
from edgeless_transports import Incoming as Request
from edgeless_transports import RemoteError

__all__ = ["Dispatcher", "Request"]


class Dispatcher:
    """A transport's `Handler` that serves the given services.

    *services* maps a service's name (``"FunctionInstance"``) to the object that implements it. An
    `EdgelessError` becomes a refusal that the client raises again; a bug escapes.
    """

    def __init__(self, services: Mapping[str, object], codec: Codec | None = None) -> None:
        self._codec = codec or MsgpackCodec()
        self._routes: dict[str, tuple[Callable[..., Awaitable[object]], Any]] = {}
        for service, implementation in services.items():
            for name, method in METHODS[service].items():
                self._routes[method.path] = (getattr(implementation, name), method.request)

    async def __call__(self, incoming: Request) -> bytes:
        """Serve one request; raise `RemoteError` for a method that nobody serves here."""
        route = self._routes.get(incoming.method)
        if route is None:
            raise RemoteError("unimplemented", f"no such method: {incoming.method[:128]}")
        serve, request_type = route
        try:
            if request_type is None:
                result = await serve()
            else:
                result = await serve(self._codec.decode(incoming.payload, request_type))
            return encode_result(self._codec, result)
        except RejectedError as error:
            return encode_refusal(self._codec, error)
        except EdgelessError as error:
            return encode_refusal(self._codec, RejectedError(type(error).__name__, str(error)))
