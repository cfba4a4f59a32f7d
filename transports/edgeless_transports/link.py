"""One established connection of ``tcp://``: frames in, frames out, until it is lost.

Both sides use it; what frames mean is its owner's. Frames of one turn of the loop leave together.
While the peer does not read, they wait here, up to a limit; a serving side then stops
reading too. A `Link` never comes back: connecting again makes a new one.

Housekeeping uses the loop's timers, not the `Scheduler`: nobody waits for a keep-alive, so it must
not count as pending work.
"""

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from edgeless_transports.errors import TransportError
from edgeless_transports.frame_reader import FrameReader, Receiver
from edgeless_transports.frame_writer import FrameWriter
from edgeless_transports.framing import (
    GOODBYE,
    HELLO,
    PAYLOAD_BYTES_MAX,
    PING,
    PONG,
    Hello,
    ProtocolError,
)

__all__ = ["Link", "LinkOwner", "TcpCounters", "TcpLimits", "check_payload"]

_WRITE_BUFFER_BYTES: Final = 256 << 10
#: A peer is alive if it completes a frame, or sends as much of one, within `TcpLimits.dead_s`.
_PROGRESS_BYTES: Final = 4096
_GOODBYE_CHARS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What one transport allows. Bytes, counts and seconds."""

    #: The longest payload that is sent or accepted.
    payload_bytes_max: int = PAYLOAD_BYTES_MAX
    #: Frames of one connection that wait for the peer to read, or for the connection.
    queue_bytes_max: int = 32 << 20
    #: Calls of one connection that wait, and handlers of one listener that run.
    calls_max: int = 100_000
    #: Accepted connections of one listener, and those among them from one address.
    connections_max: int = 4096
    connections_per_source_max: int = 64
    #: From the first packet to the peer's hello, for who connects and for who is connected to.
    connect_timeout_s: float = 5.0
    hello_timeout_s: float = 5.0
    #: A peer that was silent for so long is asked, and given up after `dead_s`.
    idle_s: float = 10.0
    dead_s: float = 30.0
    #: How long a closed connection may still send what waited.
    linger_s: float = 1.0
    #: The wait after a failed attempt; doubles with each, up to the maximum; the dice cut up to
    #: half of it.
    backoff_s: float = 0.05
    backoff_s_max: float = 2.0


@dataclass(slots=True)
class TcpCounters:
    """What happened to the connections and frames of one transport."""

    #: Connections that exchanged hellos: by listeners, by clients.
    accepted: int = 0
    connected: int = 0
    #: Attempts to connect that failed.
    attempts_failed: int = 0
    #: Answers that came after their caller had stopped waiting.
    late_answers: int = 0
    #: Answers for callers whose connection was lost.
    answers_lost: int = 0
    #: Casts whose handler failed (listeners without ``on_cast``).
    casts_failed: int = 0
    #: Casts that were not sent, by cause.
    casts_lost: dict[str, int] = field(default_factory=dict)
    #: Sockets that were accepted and turned away, and accepts that failed, by cause.
    refused: dict[str, int] = field(default_factory=dict)
    #: Connections that ended because of the peer, by `ProtocolError.reason`, or ``silent``,
    #: ``slow hello``, ``does not read``, ``cut off`` (in the middle of a frame).
    ended: dict[str, int] = field(default_factory=dict)


class LinkOwner(Protocol):
    """Who a `Link` belongs to. Nothing here may raise."""

    def greeted(self, link: "Link", hello: Hello) -> Receiver:
        """The peer's hello came; says who takes the frames that follow.

        Of what that raises only a `ProtocolError` is expected; it ends the link.
        """
        ...

    def lost(self, link: "Link", why: str) -> None:
        """The connection is of no more use; called once, if it was ever made."""
        ...


class Link(asyncio.Protocol):
    """See the module."""

    def __init__(
        self,
        owner: LinkOwner,
        announced: str,
        limits: TcpLimits,
        counters: TcpCounters,
        *,
        serves: bool,
    ) -> None:
        self.made = False
        #: The host and port at the other end, once made.
        self.remote = ""
        #: Set when the socket is closed.
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._hello = Hello(announced).encode()
        self._limits = limits
        self._counters = counters
        self._serves = serves
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader(self._greet, self._control, limits.payload_bytes_max)
        self._writer = FrameWriter(limits.queue_bytes_max, self._wake)
        #: Queue a frame for the write of this turn; False if the queue is full or the link lost.
        #: No methods of ours that call these: this is the event path.
        self.send: Final = self._writer.add
        self.cast: Final = self._writer.cast
        self._greeted = False
        self._flushing = False
        self._paused = False
        self._lost = False
        self._heard = 0.0
        self._dribbled = 0
        self._timer: asyncio.TimerHandle | None = None

    # What the owner does.

    def close(self, why: str) -> None:
        """Send what waits and a goodbye, then end; the owner's `lost` is not called."""
        if not self._lost:
            self._part(why)

    def abort(self) -> None:
        """End at once, silently; the owner's `lost` is not called."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def fail(self, reason: str, why: str) -> None:
        """End because of the peer, and count it by *reason*."""
        if not self._lost:
            self._count(reason)
            self._part(why)
            self._owner.lost(self, why)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected, and TLS is established if it is used: say hello."""
        # By its methods: uvloop's transports are none of asyncio's by inheritance.
        transport = cast(asyncio.Transport, transport)
        self.made = True
        self._transport = transport
        if self._lost:
            transport.abort()
            return
        peer = transport.get_extra_info("peername") or ("?", 0)
        self.remote = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
        # Explicitly: asyncio does it for some sockets only, and delayed answers cost 40 ms each.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(self._limits.hello_timeout_s, self._check)
        self.send(HELLO, payload=self._hello)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes came: give their frames to the owner, and send at once what it answers at once."""
        if self._lost:
            return
        reader = self._reader
        # What is answered at once leaves at the end of this.
        self._flushing, flushing = True, self._flushing
        progress = reader.feed(data)
        self._flushing = flushing
        self._dribbled += len(data)
        if progress or self._dribbled >= _PROGRESS_BYTES:
            self._dribbled = 0
            self._heard = self._loop.time()
        if reader.error is not None:
            self.fail(reader.error.reason, str(reader.error))
        elif self._writer.waiting and not self._paused:
            self._flush()

    def pause_writing(self) -> None:
        """The peer reads too slowly."""
        self._paused = True
        if self._serves and self._transport is not None and not self._lost:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer has read."""
        self._paused = False
        if self._serves and self._transport is not None and not self._lost:
            self._transport.resume_reading()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        self._stop_timer()
        if not self.closed.done():
            self.closed.set_result(None)
        if not self._lost:
            if self._reader.unfinished:
                self._count("cut off")
            self._end()
            self._owner.lost(self, "the connection was closed" if error is None else str(error))

    # The rest.

    def _greet(self, hello: Hello) -> Receiver:
        self._greeted = True
        return self._owner.greeted(self, hello)

    def _control(self, kind: int, call: int, payload: bytes) -> None:
        """Answer pings, take goodbyes."""
        if kind == PING:
            if not self.send(PONG, call):
                self.fail("does not read", "the peer does not read its answers")
        elif kind == GOODBYE:
            why = payload[:_GOODBYE_CHARS_MAX].decode("utf-8", "replace")
            self._leave(f"the peer said goodbye: {why}")
            raise ProtocolError("goodbye", "nothing follows a goodbye")

    def _count(self, reason: str) -> None:
        ended = self._counters.ended
        ended[reason] = ended.get(reason, 0) + 1

    def _leave(self, why: str) -> None:
        if not self._lost:
            self._end()
            assert self._transport is not None
            self._transport.abort()
            self._owner.lost(self, why)

    def _part(self, why: str) -> None:
        """Flush, say goodbye and close; whoever does not read it is cut off after the linger."""
        self.send(GOODBYE, payload=why[:_GOODBYE_CHARS_MAX].encode("utf-8", "replace"))
        if self._transport is not None:
            while packet := self._writer.take():
                self._transport.write(packet)
        self._end()
        if self._transport is not None:
            self._transport.close()
            self._timer = self._loop.call_later(self._limits.linger_s, self._transport.abort)

    def _end(self) -> None:
        self._lost = True
        self._writer.close()
        self._stop_timer()

    def _wake(self) -> None:
        """Something waits to be written."""
        if not self._flushing and not self._paused:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        writer = self._writer
        # The transport may say `pause_writing` in between.
        while writer.waiting and not self._paused and self._transport is not None:
            self._transport.write(writer.take())

    def _check(self) -> None:
        """The keep-alive: runs when the next thing may be due."""
        now, limits = self._loop.time(), self._limits
        silent_s = now - self._heard
        if not self._greeted:
            self.fail("slow hello", f"no hello came within {limits.hello_timeout_s:g} s")
            return
        if silent_s >= limits.dead_s:
            self.fail("silent", f"the peer was silent for {limits.dead_s:g} s")
            return
        if silent_s >= limits.idle_s:
            self.send(PING)
            due = min(self._heard + limits.dead_s, now + limits.idle_s)
        else:
            due = self._heard + limits.idle_s
        self._timer = self._loop.call_at(due, self._check)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def check_payload(payload: bytes, limits: TcpLimits) -> TransportError | None:
    """Why *payload* cannot be sent, if it cannot."""
    if len(payload) <= limits.payload_bytes_max:
        return None
    return TransportError(f"{len(payload)} bytes are more than the {limits.payload_bytes_max} sent")
