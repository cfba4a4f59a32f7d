"""Between a cluster and a component in a process of its own: what goes through its pipes.

Down, through standard input, go lines of JSON: a `Charter` first, an `Order` now and then. When it
ends, so does the component: nothing survives the cluster. Up, through standard output, goes the
component's journal; a record ``ready`` says that it listens, ``mark`` how far it is.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from edgeless_sim.cluster.capture import CapturePart
from edgeless_sim.errors import UnreachableError
from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.kernel.merge import JournalSource, MergedJournal
from edgeless_sim.model.ids import LogicalId, NodeId
from edgeless_sim.model.names import clipped

__all__ = ["READY", "Charter", "ComponentProcess", "Cordon", "Move", "Order"]

#: Kind of the record that says that a component listens.
READY: Final = "ready"
_PIPE_BYTES: Final = 1 << 20
_STOP_TIMEOUT_S: Final = 10.0
_ERROR_BYTES_MAX: Final = 4096


class Charter(msgspec.Struct, frozen=True):
    """What a component is told that is no setting of a deployment."""

    started_ns: int
    """The machine's monotonic clock when the run began."""
    serials_after: int
    """Its events are numbered behind that."""
    life: int
    """Grows with each start of the same component."""
    routes: dict[str, str] = {}
    """Where somebody at a URL is really to be found: the relays of the cluster's network."""
    capture: CapturePart | None = None
    """Where to write what it sends; None = nowhere."""


class Cordon(msgspec.Struct, frozen=True, tag=True):
    """Place nothing new on a node, or end that; for an ε-ORC."""

    node: NodeId
    cordoned: bool


class Move(msgspec.Struct, frozen=True, tag=True):
    """Move a component to a node; for an ε-ORC."""

    component: LogicalId
    node: NodeId


Order: TypeAlias = Cordon | Move


class ComponentProcess:
    """One life of one component: from its start to its end."""

    def __init__(self, name: str, kind: str, file: Path, journal: MergedJournal) -> None:
        """*kind* is ``con``, ``orc``, ``node`` or ``bal``; *file* are its settings."""
        self.name = name
        self.ready = False
        self._command = [sys.executable, "-m", "edgeless_sim", "component", kind, str(file)]
        self._errors = file.with_suffix(".err")
        self._folder = file.parent
        self._source: JournalSource = journal.source()
        self._process: asyncio.subprocess.Process | None = None
        self._rest = b""
        self._decode = msgspec.json.Decoder(list[Any]).decode

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self, charter: Charter, spawn: Spawn) -> None:
        """Start it; `ready` says when it listens."""
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                "--supervised",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=self._folder,
                # Ctrl-C is the cluster's: it stops its components in its own order.
                start_new_session=True,
                limit=_PIPE_BYTES,
            )
        self.tell(charter)
        spawn(self._read(self._process), f"journal of {self.name}")

    def tell(self, message: Charter | Order) -> None:
        """Send it a line; nothing happens if it has gone."""
        if self._process is not None and self._process.stdin is not None and self.alive:
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")

    def check(self) -> None:
        """Raise `EdgelessError` if it ended before it was ready."""
        if not self.ready and not self.alive:
            raise UnreachableError(f"{self.name} did not start: {self._last_words()}")

    def kill(self) -> None:
        """End it at once."""
        if self.alive and self._process is not None:
            self._process.kill()

    def terminate(self) -> None:
        """Ask it to stop."""
        if self.alive and self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    async def ended(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Return when it has ended; kill it after *timeout_s*."""
        if self._process is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            while chunk := await process.stdout.read(_PIPE_BYTES):
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                self._take([self._decode(line) for line in lines])
        finally:
            self._source.end()

    def _take(self, records: list[list[Any]]) -> None:
        if any(record[1] == READY for record in records):
            self.ready = True
            records = [record for record in records if record[1] != READY]
        self._source.feed(records)

    def _last_words(self) -> str:
        try:
            text = self._errors.read_bytes()[-_ERROR_BYTES_MAX:].decode(errors="replace")
        except OSError:
            text = ""
        lines = text.strip().splitlines()
        return clipped(lines[-1].removeprefix("error: ")) if lines else "it said nothing"
