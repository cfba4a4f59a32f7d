"""A relay of bytes between two sockets, which delays, limits or blocks each direction.

It stands in the path between two processes on one machine, so that they meet a network that is
slow, lossy or cut, whatever they speak. It knows nothing of frames. TCP repairs what a network
loses: a lost chunk is late here by the time-outs of its retransmissions, and what a cut held back
flows on when it heals. Real time only; housekeeping uses the loop's timers.
"""

import asyncio
from collections import deque
from contextlib import suppress
from random import Random
from typing import Final, cast

from edgeless_transports._conditions import Conditions, Direction
from edgeless_transports.base import Address
from edgeless_transports.sockets import bind

__all__ = ["CONNECTIONS_MAX", "WAITING_BYTES_MAX", "Conditions", "Relay"]

#: Bytes of one direction of one connection that may wait; then the sender is not read any more.
WAITING_BYTES_MAX: Final = 1 << 20
#: Connections of one relay, those included that wait for it to be opened; more are turned away.
CONNECTIONS_MAX: Final = 1024
_CONNECT_TIMEOUT_S: Final = 5.0


class Relay:
    """Listens at one port, connects each who comes to *upstream*.

    Forward is from whoever connects to upstream, backward the other way. A connection that is made
    while either direction is blocked is made upstream when both are open again.
    """

    def __init__(self, upstream_host: str, upstream_port: int, dice: Random) -> None:
        self._upstream = (upstream_host, upstream_port)
        self.forward: Final = Direction(dice)
        self.backward: Final = Direction(dice)
        self._server: asyncio.Server | None = None
        self._connections: dict[_Connection, None] = {}
        #: Sockets that are not closed yet, attempts under way, and who waits for their end.
        self._sockets = 0
        self._attempts: dict[asyncio.Task[None], None] = {}
        self._closed: asyncio.Future[None] | None = None
        #: Connections so far, and those beyond `CONNECTIONS_MAX`.
        self.accepted = 0
        self.refused = 0

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def blocked(self) -> bool:
        """Whether either direction is."""
        return self.forward.conditions.blocked or self.backward.conditions.blocked

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; return the port that was bound. Raise `AddressError` if it is taken."""
        listening = await bind(Address("tcp", f"{host}:{port}"), host, port)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._welcome, sock=listening)
        return int(listening.getsockname()[1])

    def set(self, forward: Conditions, backward: Conditions) -> None:
        """Change what bytes meet, for open connections, too. Those on their way keep their order
        and, unless they are blocked, their time."""
        self.forward.change(forward)
        self.backward.change(backward)
        for connection in list(self._connections):
            connection.changed()

    async def close(self) -> None:
        """Listen no more, reset what is open, return when all sockets are closed. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        while self._sockets:
            self._closed = asyncio.get_running_loop().create_future()
            await self._closed
        await server.wait_closed()

    # What connections tell.

    def attempt(self, connection: "_Connection") -> "asyncio.Task[None]":
        """Start connecting upstream."""
        task = asyncio.get_running_loop().create_task(connection.connect())
        self._attempts[task] = None
        task.add_done_callback(lambda task: self._attempts.pop(task))
        return task

    def socket_opened(self) -> None:
        """One more."""
        self._sockets += 1

    def socket_closed(self) -> None:
        """One less."""
        self._sockets -= 1
        if not self._sockets and self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def forget(self, connection: "_Connection") -> None:
        """A connection has ended."""
        self._connections.pop(connection, None)

    def _welcome(self) -> "_End":
        connection = _Connection(self, self._upstream)
        if self._server is None or len(self._connections) >= CONNECTIONS_MAX:
            self.refused += 1
            connection.abort()
        else:
            self.accepted += 1
            self._connections[connection] = None
        return connection.client


class _Connection:
    """One connection on both sides of a relay."""

    def __init__(self, relay: Relay, upstream: tuple[str, int]) -> None:
        self.relay = relay
        self._address = upstream
        self.client = _End(self)
        self.upstream = _End(self)
        self._forward = _Way(relay.forward, self.client, self.upstream)
        self._backward = _Way(relay.backward, self.upstream, self.client)
        self._attempt: asyncio.Task[None] | None = None
        self._ended = False

    # What an end tells.

    def made(self, end: "_End") -> None:
        """A socket is there."""
        if self._ended:
            end.transport.abort()
        elif end is self.client:
            end.transport.pause_reading()
            self.changed()

    def received(self, end: "_End", data: bytes | None) -> None:
        """Bytes came; None = no more will."""
        self._way_from(end).take(data)

    def lost(self, end: "_End", error: Exception | None) -> None:
        """A socket has closed. What it sent before is still passed on, and its end after it."""
        self._way_to(end).drop()
        if self.upstream.state is None:
            self.abort()
            return
        self._way_from(end).take(None if error is None else _RESET)
        self._way_from(end).pump()
        self.check_ended()

    def writable(self, end: "_End", writable: bool) -> None:
        """The socket of *end* takes more, or not."""
        self._way_to(end).hold(not writable)

    # What happens to both.

    def changed(self) -> None:
        """The conditions have changed, or the connection is new."""
        if self.upstream.state is None:
            if not self.relay.blocked and self._attempt is None and not self._ended:
                self._attempt = self.relay.attempt(self)
            return
        self._forward.pump()
        self._backward.pump()

    def abort(self) -> None:
        """End both sides at once."""
        self._ended = True
        self.relay.forget(self)
        if self._attempt is not None:
            self._attempt.cancel()
        for way in (self._forward, self._backward):
            way.drop()
        for end in (self.client, self.upstream):
            if end.state is not None:
                end.state.abort()

    def check_ended(self) -> None:
        """Forget the connection when both of its sockets have closed."""
        if self.client.closed and self.upstream.closed:
            self.abort()

    async def connect(self) -> None:
        """Connect upstream and let the client speak; never raises."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: self.upstream, *self._address)
        except (OSError, TimeoutError):
            self.abort()
            return
        finally:
            self._attempt = None
        if not self._ended and not self.client.closed:
            self.client.transport.resume_reading()
            # A loop that read before it heard of the pause left something.
            self._forward.pump()

    def _way_from(self, end: "_End") -> "_Way":
        return self._forward if end is self.client else self._backward

    def _way_to(self, end: "_End") -> "_Way":
        return self._backward if end is self.client else self._forward


class _End(asyncio.Protocol):
    """One socket."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.state: asyncio.Transport | None = None
        self.closed = False
        #: Whether the peer has ended its direction, and we have ended ours.
        self._heard = False
        self._told = False

    @property
    def transport(self) -> asyncio.Transport:
        """The socket; it must have been made."""
        assert self.state is not None, "no socket yet"
        return self.state

    def end(self) -> None:
        """Say that nothing more will come; close when nothing more will come from there, too."""
        self._told = True
        if self._heard:
            self.transport.close()
            return
        # The peer may have reset it, and the loop will find that out later.
        with suppress(OSError):
            self.transport.write_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.state = cast(asyncio.Transport, transport)
        self._connection.relay.socket_opened()
        self._connection.made(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._connection.received(self, data)

    def eof_received(self) -> bool:
        """See asyncio. The other direction goes on, unless it has ended before."""
        self._heard = True
        self._connection.received(self, None)
        return not self._told

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.closed = True
        self._connection.lost(self, exc)
        self._connection.relay.socket_closed()

    def pause_writing(self) -> None:
        """See asyncio."""
        self._connection.writable(self, writable=False)

    def resume_writing(self) -> None:
        """See asyncio."""
        self._connection.writable(self, writable=True)


class _Reset:
    """In a way: the sender's socket was reset."""


_RESET: Final = _Reset()
_Item = bytes | _Reset | None


class _Way:
    """One direction of one connection: what waits, in the order in which it came."""

    def __init__(self, direction: Direction, source: _End, sink: _End) -> None:
        self._direction = direction
        self._source = source
        self._sink = sink
        #: (loop time at which it may go on, bytes, None for the end, or a reset)
        self._waiting: deque[tuple[float, _Item]] = deque()
        self._waiting_bytes = 0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._held = False
        self._paused = False
        self._ended = False

    def take(self, item: _Item) -> None:
        """Something came from the source."""
        if self._ended:
            return
        now_s = asyncio.get_running_loop().time()
        if isinstance(item, bytes):
            for piece in self._direction.pieces(item):
                self._queue(self._direction.due_s(len(piece), now_s), piece)
            self._waiting_bytes += len(item)
        else:
            self._ended = True
            self._queue(self._direction.due_s(0, now_s), item)
        if self._waiting_bytes > WAITING_BYTES_MAX and not self._paused:
            self._paused = True
            if not self._source.closed:
                self._source.transport.pause_reading()
        self.pump()

    def hold(self, held: bool) -> None:
        """The sink takes nothing for now, or again."""
        self._held = held
        self.pump()

    def drop(self) -> None:
        """Pass nothing on any more."""
        self._ended = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._stop_timer()

    def pump(self) -> None:
        """Pass on what is due."""
        self._stop_timer()
        loop = asyncio.get_running_loop()
        blocked = self._direction.conditions.blocked
        if self._sink.state is None:
            return
        while self._waiting and not (self._held or blocked):
            due_s, item = self._waiting[0]
            if due_s > loop.time():
                self._timer = loop.call_at(due_s, self.pump)
                break
            self._waiting.popleft()
            self._pass_on(item)
        if not self._waiting and self._source.closed and not blocked and not self._sink.closed:
            # Nobody reads any more what the sink sends.
            self._sink.transport.close()
        if self._paused and self._waiting_bytes <= WAITING_BYTES_MAX // 2:
            self._paused = False
            if not self._source.closed:
                self._source.transport.resume_reading()

    def _queue(self, due_s: float, item: _Item) -> None:
        # Never before what came earlier, whatever has become of the conditions since.
        self._due_s = max(self._due_s, due_s)
        self._waiting.append((self._due_s, item))

    def _pass_on(self, item: _Item) -> None:
        if isinstance(item, bytes):
            self._waiting_bytes -= len(item)
            self._direction.bytes_passed += len(item)
        if self._sink.closed:
            return
        if isinstance(item, bytes):
            self._sink.transport.write(item)
        elif item is None:
            self._sink.end()
        else:
            self._sink.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
