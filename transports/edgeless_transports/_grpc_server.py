"""The serving end of the gRPC transport: one handler at one address.

Peers need not be ours: a request without our mark is a call, unless its method is known for casts.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias

import anyio
import grpc
from grpc import aio

from edgeless_transports._grpc_terms import (
    CAST_KEY,
    Limits,
    announced_in,
    listener_options,
    method_of,
    status_of,
    status_text,
)
from edgeless_transports._tasks import HandlerTasks
from edgeless_transports.base import CastReceiver, Handler, Incoming, Scheduler, check_method
from edgeless_transports.errors import AddressError, RemoteError

__all__ = ["GrpcListener"]

_METHODS_KNOWN_MAX: Final = 1024

_log = logging.getLogger("edgeless_transports.grpc")

_Context: TypeAlias = "aio.ServicerContext[bytes, bytes]"
_Behaviour: TypeAlias = Callable[[bytes, Any], Coroutine[Any, Any, bytes]]


class _AllMethods(grpc.GenericRpcHandler):
    """Serves whatever is asked for: what exists is the handler's to say."""

    def __init__(self, behaviour: Callable[[str, str | None], _Behaviour]) -> None:
        self._behaviour = behaviour
        #: By path, for what is not marked; made once.
        self._known: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """See `grpc.GenericRpcHandler.service`; None = there is no such method."""
        path = details.method
        mark: str | None = None
        for key, value in details.invocation_metadata:
            if key == CAST_KEY:
                mark = str(value)
        handler = self._known.get(path) if mark is None else None
        if handler is not None:
            return handler
        method = method_of(path)
        try:
            check_method(method)
        except ValueError:
            return None
        handler = grpc.unary_unary_rpc_method_handler(self._behaviour(method, mark))
        if mark is None and len(self._known) < _METHODS_KNOWN_MAX:
            self._known[path] = handler
        return handler


class GrpcListener:
    """Serves one handler, from `start` until `stop`."""

    def __init__(
        self,
        scheduler: Scheduler,
        handler: Handler,
        on_cast: CastReceiver | None,
        limits: Limits,
        cast_methods: Collection[str] = (),
    ) -> None:
        self._scheduler = scheduler
        self._handler = handler
        self._on_cast = on_cast
        self._limits = limits
        self._cast_methods: Final = frozenset(cast_methods)
        self._tasks: HandlerTasks[asyncio.Future[bytes] | None] = HandlerTasks()
        self._server = aio.server(
            handlers=(_AllMethods(self._behaviour),),
            options=listener_options(limits),
            maximum_concurrent_rpcs=limits.frames_max,
        )

    async def start(self, target: str, credentials: grpc.ServerCredentials | None) -> int:
        """Listen; return the port. Raise `AddressError` if the address is taken."""
        try:
            if credentials is None:
                port = self._server.add_insecure_port(target)
            else:
                port = self._server.add_secure_port(target, credentials)
        except RuntimeError as error:
            raise AddressError(f"cannot listen at {target}: taken, or not ours") from error
        await self._server.start()
        return int(port)

    async def stop(self) -> None:
        """Stop listening; whoever is being served is told. Idempotent."""
        with anyio.CancelScope(shield=True):
            await self._server.stop(None)
            self._tasks.cancel()
            await self._tasks.ended()

    def _behaviour(self, method: str, mark: str | None) -> _Behaviour:
        if mark is None and method not in self._cast_methods:
            return partial(self._serve_call, method)
        return partial(self._serve_cast, method, announced_in(mark or ""))

    async def _serve_call(self, method: str, payload: bytes, context: _Context) -> bytes:
        remaining_s = context.time_remaining()
        deadline_ns = None
        if remaining_s is not None:
            deadline_ns = self._scheduler.now_ns() + round(remaining_s * 1e9)
        try:
            self._check_room()
            result = self._handler(Incoming(method, payload, context.peer(), deadline_ns))
            if isinstance(result, bytes):
                return result
            # A task of its own: the caller may give up, and still what was begun is finished.
            end: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._tasks.start(result, end, self._served)
            return await end
        except Exception as error:  # noqa: BLE001 - the boundary: a handler's failure is its caller's answer
            return await self._refuse(error, context)

    async def _serve_cast(self, method: str, peer: str, payload: bytes, context: _Context) -> bytes:
        incoming = Incoming(method, payload, peer, None)
        try:
            if len(payload) > self._limits.cast_bytes_max:
                most = self._limits.cast_bytes_max
                raise RemoteError("resource_exhausted", f"{len(payload)} bytes, at most {most}")
            if self._on_cast is None:
                self._cast_to_handler(incoming)
            else:
                self._on_cast(incoming)
        except RemoteError as error:
            return await self._refuse(error, context)
        except Exception as bug:  # noqa: BLE001 - passed on to the scheduler, which stops the run
            self._scheduler.call_soon(_escalate, bug)
            return await self._refuse(bug, context)
        return b""

    def _cast_to_handler(self, incoming: Incoming) -> None:
        """The sender waits until its cast is taken, not until it is done."""
        self._check_room()
        try:
            result = self._handler(incoming)
        except AssertionError:
            raise
        except Exception as error:
            raise RemoteError.of(error) from error
        if not isinstance(result, bytes):
            self._tasks.start(result, None, self._served)

    def _check_room(self) -> None:
        if len(self._tasks) >= self._limits.frames_max:
            raise RemoteError("resource_exhausted", f"{len(self._tasks)} requests are being served")

    def _served(self, task: "asyncio.Task[bytes]", end: "asyncio.Future[bytes] | None") -> None:
        """The task of a handler has ended; *end* is what its caller waits for, if it does."""
        waited_for = end is not None and not end.done()
        if task.cancelled():
            error: BaseException | None = RemoteError("cancelled", "the handler was cancelled")
        else:
            error = task.exception()
        if end is not None and waited_for:
            if error is None:
                end.set_result(task.result())
            else:
                end.set_exception(error)
        elif isinstance(error, AssertionError):
            self._scheduler.call_soon(_escalate, error)
        elif error is not None:
            _log.error("a handler failed when nobody waited for it", exc_info=error)

    async def _refuse(self, error: Exception, context: _Context) -> NoReturn:
        if isinstance(error, AssertionError):
            # A bug of ours: it stops the run.
            self._scheduler.call_soon(_escalate, error)
        remote = RemoteError.of(error)
        text, metadata = status_text(remote)
        await context.abort(status_of(remote.code), text, metadata)
        raise error


def _escalate(bug: BaseException) -> None:
    """Raise out of the scheduler, where a bug stops the run, and not into a task nobody watches."""
    raise bug
