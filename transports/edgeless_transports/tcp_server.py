"""The serving side of ``tcp://``: accepts, counts, refuses; serves a handler on each connection.

It accepts by itself, not through ``create_server``, so that its limits hold before a TLS handshake
and running out of files pauses it instead of flooding a log. A caller that went away is not noticed
by its handler: the answer is counted and dropped.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio

from edgeless_transports._tasks import HandlerTasks
from edgeless_transports.base import CastReceiver, Handler, Incoming, Scheduler
from edgeless_transports.errors import RemoteError
from edgeless_transports.framing import REFUSAL, REPLY, Hello, ProtocolError
from edgeless_transports.link import Link, TcpCounters, TcpLimits, check_payload

__all__ = ["TcpListener"]

_ACCEPT_PAUSE_S: Final = 0.1

_log = logging.getLogger("edgeless_transports.tcp")


class TcpListener:
    """Serves one handler at one socket, from its making until `close` or `crash`."""

    def __init__(
        self,
        scheduler: Scheduler,
        listening: socket.socket,
        handler: Handler,
        on_cast: CastReceiver | None,
        *,
        scheme: str,
        announced: str,
        limits: TcpLimits,
        counters: TcpCounters,
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        self.scheduler: Final = scheduler
        self.handler: Final = handler
        self.on_cast: Final = self._cast_to_handler if on_cast is None else on_cast
        self.limits: Final = limits
        self._listening = listening
        self._scheme = scheme
        self._announced = announced
        self._counters = counters
        self._context = context
        self._open = True
        self._loop = asyncio.get_running_loop()
        #: Accepted sockets by where they come from, those included that have said no hello.
        self._sources: dict[str, int] = {}
        self._sockets = 0
        self.handlers: Final[HandlerTasks[tuple[Link | None, int]]] = HandlerTasks()
        #: The life of each accepted socket.
        self._welcomes: dict[asyncio.Task[None], Link] = {}
        self._accepting = self._loop.create_task(self._accept())

    def close(self) -> None:
        """Stop listening and tell all callers. Idempotent."""
        self._end(lambda link: link.close("the listener was closed"))

    def crash(self) -> None:
        """Stop listening; sockets close as when a process dies. Idempotent."""
        self._end(Link.abort)

    def _end(self, end_link: Callable[[Link], None]) -> None:
        if self._open:
            self._open = False
            self._accepting.cancel()
            for task, link in self._welcomes.items():
                end_link(link)
                if not link.made:
                    task.cancel()
            self.handlers.cancel()

    async def ended(self) -> None:
        """Return when nothing runs any more and all sockets are closed."""
        with anyio.CancelScope(shield=True):
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._listening.close()
            await asyncio.gather(*self._welcomes, return_exceptions=True)
        await self.handlers.ended()

    # Accepting.

    async def _accept(self) -> None:
        while True:
            try:
                accepted, remote = await self._loop.sock_accept(self._listening)
            except OSError as error:
                # Out of files, or the caller left in the queue: others may be luckier later.
                self._refuse_socket(errno.errorcode.get(error.errno or 0, "unknown"))
                await anyio.sleep(_ACCEPT_PAUSE_S)
                continue
            source = str(remote[0])
            if self._sockets >= self.limits.connections_max:
                self._refuse_socket("too many connections")
                accepted.close()
            elif self._sources.get(source, 0) >= self.limits.connections_per_source_max:
                self._refuse_socket("too many connections of one source")
                accepted.close()
            else:
                self._sockets += 1
                self._sources[source] = self._sources.get(source, 0) + 1
                link = Link(self, self._announced, self.limits, self._counters, serves=True)
                task = self._loop.create_task(self._welcome(accepted, link))
                self._welcomes[task] = link
                task.add_done_callback(partial(self._gone, source, accepted))

    async def _welcome(self, accepted: socket.socket, link: Link) -> None:
        """One socket's life."""
        try:
            await self._greet(accepted, link)
        except OSError:
            # A peer that distrusts us may say so or just leave: one cause for all of it.
            self._refuse_socket("TLS handshake")
        finally:
            if link.made:
                await link.closed

    def _gone(self, source: str, accepted: socket.socket, task: "asyncio.Task[None]") -> None:
        # In a callback: a task that is cancelled before its first step runs no line of its own.
        if not self._welcomes.pop(task).made:
            accepted.close()
        self._sockets -= 1
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    async def _greet(self, accepted: socket.socket, link: Link) -> None:
        context = self._context()
        if context is None:
            await self._loop.connect_accepted_socket(lambda: link, accepted)
        else:
            await self._loop.connect_accepted_socket(
                lambda: link,
                accepted,
                ssl=context,
                ssl_handshake_timeout=self.limits.hello_timeout_s,
                ssl_shutdown_timeout=self.limits.linger_s,
            )

    def _refuse_socket(self, cause: str) -> None:
        refused = self._counters.refused
        refused[cause] = refused.get(cause, 0) + 1

    # The owner of links.

    def greeted(self, link: Link, hello: Hello) -> "_Served":
        """See `LinkOwner.greeted`."""
        self._counters.accepted += 1
        peer = hello.announced or f"{self._scheme}://{link.remote}"
        return _Served(self, link, peer)

    def lost(self, link: Link, why: str) -> None:
        """See `LinkOwner.lost`: the welcome of its socket does what is to be done."""

    # Serving.

    def overload(self, link: Link, number: int) -> None:
        """Refuse one request because too many are being served."""
        text = f"{self.limits.calls_max} requests are being served"
        self.refuse(link, number, RemoteError("overloaded", text))

    def answer(self, link: Link, number: int, result: bytes | Awaitable[bytes]) -> None:
        """Answer one request with what its handler returned, now or later."""
        if isinstance(result, bytes):
            self._reply(link, number, result)
        else:
            self.handlers.start(result, (link, number), self._served)

    def refuse(self, link: Link, number: int, error: Exception) -> None:
        """Answer one request with an error."""
        self._answer(link, REFUSAL, number, RemoteError.of(error).encode())

    def _cast_to_handler(self, incoming: Incoming) -> None:
        if len(self.handlers.running) >= self.limits.calls_max:
            lost = self._counters.casts_lost
            lost["overloaded"] = lost.get("overloaded", 0) + 1
            return
        try:
            result = self.handler(incoming)
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary, as in _serve
            self._cast_failed(error)
            return
        if not isinstance(result, bytes):
            self.handlers.start(result, (None, 0), self._served)

    def _served(self, task: "asyncio.Task[bytes]", served: tuple[Link | None, int]) -> None:
        """The task of a handler has ended."""
        link, number = served
        error = (
            RemoteError("cancelled", "the handler was cancelled")
            if task.cancelled()
            else task.exception()
        )
        if isinstance(error, AssertionError):
            self.scheduler.call_soon(_escalate, error)
        elif isinstance(error, Exception):
            if link is None:
                self._cast_failed(error)
            else:
                self.refuse(link, number, error)
        elif error is None and link is not None:
            self._reply(link, number, task.result())

    def _reply(self, link: Link, number: int, payload: bytes) -> None:
        too_large = check_payload(payload, self.limits)
        if too_large is None:
            self._answer(link, REPLY, number, payload)
        else:
            self.refuse(link, number, RemoteError("too-large", str(too_large)))

    def _answer(self, link: Link, kind: int, number: int, payload: bytes) -> None:
        if link.send(kind, number, "", 0, payload):
            return
        self._counters.answers_lost += 1
        link.fail("does not read", "the peer does not read its answers")

    def _cast_failed(self, error: Exception) -> None:
        self._counters.casts_failed += 1
        _log.error("a handler failed for a cast", exc_info=error)


class _Served:
    """Takes what the peer of one link sends. See `framing.Receiver`."""

    __slots__ = (
        "_calls_max",
        "_handler",
        "_link",
        "_listener",
        "_payload_max",
        "_running",
        "_scheduler",
        "cast",
        "peer",
    )

    def __init__(self, listener: TcpListener, link: Link, peer: str) -> None:
        self._listener = listener
        self._link = link
        self._scheduler = listener.scheduler
        self._handler = listener.handler
        self._running = listener.handlers.running
        self._calls_max = listener.limits.calls_max
        self._payload_max = listener.limits.payload_bytes_max
        self.peer = peer
        #: No method of ours that calls it: this is the event path.
        self.cast = listener.on_cast

    def cast_failed(self, error: Exception) -> None:
        """See `framing.Receiver`."""
        # Not raised here: asyncio would swallow it with the connection.
        self._scheduler.call_soon(_escalate, error)

    def request(self, call: int, method: str, timeout_ms: int, payload: bytes) -> None:
        """See `framing.Receiver`."""
        listener, link = self._listener, self._link
        if len(self._running) >= self._calls_max:
            listener.overload(link, call)
            return
        deadline_ns = self._scheduler.now_ns() + timeout_ms * 1_000_000
        try:
            result = self._handler(Incoming(method, payload, self.peer, deadline_ns))
        except AssertionError as bug:
            # Not raised here: asyncio would swallow it with the connection.
            self._scheduler.call_soon(_escalate, bug)
        except Exception as error:  # noqa: BLE001 - the boundary: a handler's failure is its caller's answer
            listener.refuse(link, call, error)
        else:
            # The shortest way first: this is the event path.
            if (
                not isinstance(result, bytes)
                or len(result) > self._payload_max
                or not link.send(REPLY, call, "", 0, result)
            ):
                listener.answer(link, call, result)

    def answer(self, kind: int, call: int, payload: bytes) -> None:  # noqa: ARG002 - as `Receiver` says
        """See `framing.Receiver`."""
        raise ProtocolError("kind", f"a request cannot be of kind {kind}")


def _escalate(bug: Exception) -> None:
    """Raise out of the scheduler, where a bug stops the run."""
    raise bug
