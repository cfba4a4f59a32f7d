"""Passes frames on between two parts of a real deployment, and records them.

A man in the middle at the level of frames: it listens at one URL, and sends whatever comes to
another, each frame once, in order, with its deadline. Replies, and codes and texts of refusals,
come back unchanged. Payloads are not looked at: URLs inside of them still lead past the relay.
Not here: relays of bytes, which delay and cut (`edgeless_transports.relay`).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio

from edgeless_sim.cluster.capture import Capture, Recorder
from edgeless_sim.cluster.endpoint import SCHEMES, Endpoint
from edgeless_sim.cluster.lifeline import StopSignal
from edgeless_sim.cluster.settings.tls import ComponentTls
from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.scheduler import Scheduler
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_transports import (
    Address,
    AddressError,
    CallTimeout,
    Connection,
    Incoming,
    RemoteError,
    TransportError,
)

__all__ = ["FrameRelay", "check_ends", "run_relay"]

#: Deadline of a call that has none: callers of EDGELESS's own set none.
_NO_DEADLINE_S: Final = 3600.0
#: Most senders that have a connection of their own; the one that was silent longest loses it.
#: Fewer than a listener takes from one host.
_SENDERS_MAX: Final = 48
#: After which a caller whose deadline has passed here has given up for sure.
_GRACE_S: Final = 1.0
_EDGELESS: Final = ("http", "https")


def check_ends(listen: str, to: str) -> None:
    """Raise `SettingsError` unless a relay can stand between the two URLs."""
    schemes = []
    for url in (listen, to):
        try:
            schemes.append(Address.parse(url).scheme)
        except AddressError as error:
            raise SettingsError(str(error)) from None
        if schemes[-1] not in SCHEMES:
            raise SettingsError(f"{url}: {schemes[-1]}:// is none of {', '.join(SCHEMES)}")
    if (schemes[0] in _EDGELESS) is not (schemes[1] in _EDGELESS):
        raise SettingsError(
            f"{listen} and {to} are written in different ways, and a relay does not translate; "
            "both are http or https, or both tcp or tls+tcp"
        )
    if listen == to:
        raise SettingsError(f"a relay from {to} to itself")


def run_relay(
    listen: str,
    to: str,
    capture: Capture,
    *,
    tls: ComponentTls | None = None,
    on_ready: Callable[[str], None],
) -> int:
    """Relay until SIGINT or SIGTERM; *on_ready* gets the URL that was bound.

    Returns how many casts are known to be lost behind the relay. Raises `SettingsError` for URLs
    that cannot be, and `ResourceError` if the address is taken.
    """
    check_ends(listen, to)

    async def main() -> int:
        async with Supervisor.open() as supervisor:
            clock = LoopClock.running()
            stop = StopSignal()
            recorder = capture.begin("relay", clock)
            relay = FrameRelay(clock.scheduler, supervisor.spawn, to, recorder, tls=tls)
            supervisor.on_stop("relay", relay.close)
            on_ready(await relay.listen(listen))
            await stop.wait()
            capture.close()
            return relay.casts_lost

    return run(main, world="real")


@dataclass(slots=True)
class _Sender:
    """The way on for the frames of one sender."""

    endpoint: Endpoint
    connection: Connection
    waiting: int = 0
    """Calls that have not ended."""


class FrameRelay:
    """Relays to one URL. Each sender that says where it can be reached has a connection of its
    own, on which the relay says the same: receivers of events answer there."""

    def __init__(
        self,
        scheduler: Scheduler,
        spawn: Spawn,
        to: str,
        recorder: Recorder,
        *,
        tls: ComponentTls | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._spawn = spawn
        self._to = to
        self._scheme = Address.parse(to).scheme
        self._recorder = recorder
        self._tls = tls
        self._listener = Endpoint(scheduler, spawn, tls=tls)
        #: By the URL that is announced; the one that was heard last is last.
        self._senders: OrderedDict[str, _Sender] = OrderedDict()
        #: Casts that were taken and did not arrive for sure.
        self.casts_lost = 0

    async def listen(self, url: str) -> str:
        """Relay what comes to *url*, with the port that was bound; see `Endpoint.listen`."""
        return await self._listener.listen(url, self._serve, self._take)

    async def close(self) -> None:
        """End all that is open."""
        endpoints = [self._listener, *(sender.endpoint for sender in self._senders.values())]
        for endpoint in endpoints:
            endpoint.crash()
        for endpoint in endpoints:
            await endpoint.ended()

    def _serve(self, incoming: Incoming) -> Awaitable[bytes]:
        """A call. Sent before this returns: a cast that follows must not overtake it."""
        sender = self._sender(incoming.peer)
        end: asyncio.Future[bytes | TransportError] = asyncio.get_running_loop().create_future()
        timeout_s = _NO_DEADLINE_S
        if incoming.deadline_ns is not None:
            timeout_s = (incoming.deadline_ns - self._scheduler.now_ns()) / 1e9
        sender.waiting += 1
        self._connection(sender, incoming).call_nowait(
            incoming.method, incoming.payload, partial(_ended, sender, end), timeout_s=timeout_s
        )
        return _answer(end)

    def _take(self, incoming: Incoming) -> None:
        """A cast."""
        try:
            sender = self._sender(incoming.peer)
        except RemoteError:
            taken = False
        else:
            connection = self._connection(sender, incoming)
            taken = connection.cast_nowait(incoming.method, incoming.payload)
        if not taken:
            self.casts_lost += 1
            if self._scheme in _EDGELESS:
                # There, casts are answered. Elsewhere nobody could be told.
                raise RemoteError("resource_exhausted", f"the relay's queue to {self._to} is full")

    def _connection(self, sender: _Sender, incoming: Incoming) -> Connection:
        return self._recorder.wrapped(sender.connection, incoming.peer or "unknown", self._to)

    def _sender(self, peer: str) -> _Sender:
        announced = _announceable(peer)
        sender = self._senders.get(announced)
        if sender is not None:
            self._senders.move_to_end(announced)
            return sender
        if len(self._senders) >= _SENDERS_MAX:
            self._forget_one()
        endpoint = Endpoint(
            self._scheduler,
            self._spawn,
            announced=announced,
            tls=self._tls,
            on_cast_lost=self._cast_lost,
        )
        sender = _Sender(endpoint, endpoint.connection(self._to))
        self._senders[announced] = sender
        return sender

    def _forget_one(self) -> None:
        for announced, sender in self._senders.items():
            if not sender.waiting:
                sender.endpoint.crash()
                del self._senders[announced]
                return
        raise RemoteError("overloaded", f"{_SENDERS_MAX} senders wait for {self._to}")

    def _cast_lost(self, method: str, payload: bytes, cause: str) -> None:  # noqa: ARG002 - the shape of a CastLost
        self.casts_lost += 1


def _announceable(peer: str) -> str:
    """The URL that a sender can be reached at; empty if *peer* is none, as of calls on gRPC."""
    try:
        Address.parse(peer)
    except AddressError:
        return ""
    return peer


def _ended(
    sender: _Sender,
    end: "asyncio.Future[bytes | TransportError]",
    outcome: bytes | TransportError,
) -> None:
    sender.waiting -= 1
    if not end.done():
        end.set_result(outcome)


async def _answer(end: "asyncio.Future[bytes | TransportError]") -> bytes:
    outcome = await end
    if isinstance(outcome, bytes):
        return outcome
    if isinstance(outcome, RemoteError):
        raise outcome
    code = "unavailable"
    if isinstance(outcome, CallTimeout):
        # The caller's own deadline tells it; what comes a hair earlier would be a refusal.
        code = "deadline_exceeded"
        await anyio.sleep(_GRACE_S)
    raise RemoteError(code, f"behind the relay: {outcome}")
