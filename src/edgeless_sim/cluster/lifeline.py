"""A component's own end of its supervision: see `edgeless_sim.cluster.supervision`.

Without supervision, as in a deployment, there is no journal and nobody to obey but signals.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO, Final

import msgspec

from edgeless_sim.cluster.supervision import READY, Charter, Order
from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.merge import MARK
from edgeless_sim.kernel.scheduler import Scheduler

__all__ = ["STOP_S_MAX", "Lifeline", "StopSignal", "read_charter", "take_output"]

#: How often the journal is sent. What a killed process has not sent is lost.
_FLUSH_NS: Final = 20_000_000
_LINE_BYTES_MAX: Final = 1 << 20
#: Most time for an orderly stop, in s: T_stop of the guests, and the farewells to peers.
STOP_S_MAX: Final = 10
_ASKING: Final = (signal.SIGTERM, signal.SIGINT)


def read_charter() -> Charter:
    """The first line of standard input; raise `SettingsError` if it is none."""
    line = b""
    # Byte by byte: what is behind it is read by the loop, from the same descriptor.
    while not line.endswith(b"\n") and len(line) < _LINE_BYTES_MAX:
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    try:
        return msgspec.json.decode(line, type=Charter)
    except msgspec.DecodeError as error:
        raise SettingsError(f"no charter on standard input: {error}") from None


def take_output() -> BinaryIO:
    """Standard output, for the journal alone: whatever else is printed goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return sink


class StopSignal:
    """SIGTERM and Ctrl-C: the first one asks for an orderly stop, the second one ends at once.

    Python's own handlers, not the loop's: a guest that never gives the loop back must not keep the
    process. An orderly stop that takes longer than `STOP_S_MAX` ends the process, too.
    """

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        #: The signal that asked; 0 = none yet.
        self.number = 0
        for number in _ASKING:
            signal.signal(number, self._take)

    async def wait(self) -> None:
        """Return when the first one has come."""
        await self._asked.wait()

    def _take(self, number: int, frame: object) -> None:
        del frame
        if self.number:
            os._exit(128 + number)
        self.number = number
        signal.signal(signal.SIGALRM, _too_late)
        signal.alarm(STOP_S_MAX)
        self._loop.call_soon_threadsafe(self._asked.set)


def _too_late(number: int, frame: object) -> None:
    del number, frame
    os.write(2, f"error: it did not stop within {STOP_S_MAX} s\n".encode())
    os._exit(1)


class Lifeline:
    """The pipes to the cluster: the journal goes up, requests come down."""

    def __init__(
        self,
        scheduler: Scheduler,
        journal: Journal,
        sink: BinaryIO,
        obey: Callable[[Order], None],
    ) -> None:
        self._scheduler = scheduler
        self._journal = journal
        self._sink = sink
        self._obey = obey
        self._rest = b""
        self._closed = False

    async def open(self) -> None:
        """Send the journal from now on, and obey."""
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: _Lines(self._take), sys.stdin)
        self._journal.record(READY)
        self._send()

    async def close(self) -> None:
        """Send the rest of the journal."""
        self._closed = True
        self._journal.close()
        self._sink.flush()

    def _send(self) -> None:
        if self._closed:
            return
        self._journal.record(MARK)
        self._journal.flush()
        self._sink.flush()
        self._scheduler.background_at(self._scheduler.now_ns() + _FLUSH_NS, self._send)

    def _take(self, line: bytes) -> None:
        self._obey(msgspec.json.decode(line, type=Order))


class _Lines(asyncio.Protocol):
    """Lines of standard input. Its end is the end of the cluster, and ours with it."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)

    def eof_received(self) -> None:
        """See asyncio. At once: nobody is left who would read what we say."""
        os._exit(1)
