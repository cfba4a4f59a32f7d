"""Catches frames where they are sent, and gathers them in one file.

A `Recorder` wraps the connections of one process. A `Capture` is the file that people name;
processes of their own write parts, in a folder beside it, that become one when the capture ends.
Not here: the format (`capture_file`), and frames between others' programs (`frame_relay`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Literal

import msgspec

from edgeless_sim.api.decoding import wire_name
from edgeless_sim.cluster.capture_file import (
    CAPTURE_BYTES_MAX,
    VERSION,
    CapturedFrame,
    CaptureHeader,
    CaptureReader,
    CaptureWriter,
    Refused,
    is_capture,
)
from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.model.names import clipped
from edgeless_transports import Answer, Connection, RemoteError, TransportError

__all__ = ["Capture", "CapturePart", "Recorder", "RecordingConnection", "open_part"]

_NOT_SENT = "not sent: the queue is full or the connection is closed"
_GIVEN_UP = "its caller gave up"
_CUT = "the capture ended before the answer came"


class CapturePart(msgspec.Struct, frozen=True):
    """What a component in a process of its own is told of a capture."""

    file: str
    world: str
    bytes_max: int
    here: str
    """What the component is called in it."""
    names: dict[str, str]
    """What others are called, by the URL at which they listen."""


class _Waiting:
    """A call that has not ended."""

    __slots__ = ("method", "payload", "sent_ns", "source", "target", "wire")

    def __init__(
        self, source: str, target: str, wire: str, method: str, payload: bytes, sent_ns: int
    ) -> None:
        self.source = source
        self.target = target
        self.wire = wire
        self.method = method
        self.payload = payload
        self.sent_ns = sent_ns


class Recorder:
    """Writes down what the connections of one process carry."""

    def __init__(
        self,
        writer: CaptureWriter,
        now_ns: Callable[[], int],
        name_of: Callable[[str], str] = str,
    ) -> None:
        """*name_of* says what whoever listens at a URL is called."""
        self._writer = writer
        self._now_ns = now_ns
        self._name_of = name_of
        #: In the order of sending.
        self._waiting: dict[_Waiting, None] = {}
        self._open = True

    def wrapped(self, connection: Connection, here: str, url: str) -> "RecordingConnection":
        """*connection*, which leads from *here* to *url*, with a record of what goes through."""
        return RecordingConnection(connection, self, here, self._name_of(url), url)

    def begin(self, source: str, target: str, url: str, method: str, payload: bytes) -> _Waiting:
        """A call is sent."""
        wire = wire_name(url, method)
        waiting = _Waiting(source, target, wire, method, payload, self._now_ns())
        if self._open:
            self._waiting[waiting] = None
        return waiting

    def end(self, waiting: _Waiting, outcome: bytes | TransportError | None) -> None:
        """A call has ended; None = its caller does not wait any more."""
        if waiting not in self._waiting:
            return
        del self._waiting[waiting]
        if isinstance(outcome, bytes):
            self._write(waiting, "call", reply=outcome)
        elif isinstance(outcome, RemoteError):
            self._write(waiting, "call", refusal=Refused(outcome.code, outcome.message))
        else:
            text = _GIVEN_UP if outcome is None else str(outcome) or type(outcome).__name__
            self._write(waiting, "call", error=clipped(text))

    def cast(
        self, source: str, target: str, url: str, method: str, payload: bytes, error: str = ""
    ) -> None:
        """A cast was sent, or was not."""
        if self._open:
            wire = wire_name(url, method)
            frame = _Waiting(source, target, wire, method, payload, self._now_ns())
            self._write(frame, "cast", error=error)

    def close(self) -> None:
        """Write down what waits, and close the file. Idempotent."""
        self._open = False
        for waiting in self._waiting:
            self._write(waiting, "call", error=_CUT)
        self._waiting.clear()
        self._writer.close()

    def _write(
        self,
        frame: _Waiting,
        kind: Literal["call", "cast"],
        *,
        reply: bytes | None = None,
        refusal: Refused | None = None,
        error: str = "",
    ) -> None:
        self._writer.write(
            CapturedFrame(
                ns=frame.sent_ns,
                source=frame.source,
                target=frame.target,
                kind=kind,
                method=frame.method,
                wire=frame.wire,
                request=frame.payload,
                reply=reply,
                refusal=refusal,
                error=error,
                took_ns=self._now_ns() - frame.sent_ns if kind == "call" else None,
            )
        )


class RecordingConnection:
    """A connection with a record of what goes through. See `edgeless_transports.base.Connection`.

    It changes nothing: neither who is called when, nor what is raised.
    """

    def __init__(
        self, connection: Connection, recorder: Recorder, source: str, target: str, url: str
    ) -> None:
        self._connection = connection
        self._recorder = recorder
        self._way = (source, target, url)

    async def call(self, method: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `Connection.call`."""
        waiting = self._recorder.begin(*self._way, method, payload)
        outcome: bytes | TransportError | None = None
        try:
            outcome = await self._connection.call(method, payload, timeout_s=timeout_s)
            return outcome
        except TransportError as error:
            outcome = error
            raise
        finally:
            self._recorder.end(waiting, outcome)

    def call_nowait(self, method: str, payload: bytes, answer: Answer, *, timeout_s: float) -> None:
        """See `Connection.call_nowait`."""
        waiting = self._recorder.begin(*self._way, method, payload)

        def ended(outcome: bytes | TransportError) -> None:
            self._recorder.end(waiting, outcome)
            answer(outcome)

        self._connection.call_nowait(method, payload, ended, timeout_s=timeout_s)

    async def cast(self, method: str, payload: bytes) -> None:
        """See `Connection.cast`."""
        try:
            await self._connection.cast(method, payload)
        except TransportError as error:
            self._recorder.cast(*self._way, method, payload, clipped(f"not sent: {error}"))
            raise
        self._recorder.cast(*self._way, method, payload)

    def cast_nowait(self, method: str, payload: bytes) -> bool:
        """See `Connection.cast_nowait`."""
        taken = self._connection.cast_nowait(method, payload)
        self._recorder.cast(*self._way, method, payload, "" if taken else _NOT_SENT)
        return taken


class Capture:
    """The capture of one run. Use as a context, around the loop that `begin` needs.

    Entering raises `RejectedError` if the file is there already, unless it is an earlier capture
    and *force*; and `ResourceError` if it cannot be written. What was captured stays, whatever
    ends the run.
    """

    def __init__(
        self, path: Path, *, force: bool = False, bytes_max: int = CAPTURE_BYTES_MAX
    ) -> None:
        self.path = path
        #: What is missing from it, for people; complete when the context has been left.
        self.warnings: list[str] = []
        self.frames_total = 0
        self.bytes_total = 0
        self._force = force
        self._bytes_max = bytes_max
        self._world = ""
        self._header: CaptureHeader | None = None
        self._writer: CaptureWriter | None = None
        self._recorder: Recorder | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self._parts: list[Path] = []
        self._made = False

    def __enter__(self) -> "Capture":
        try:
            self._check_free()
            self._made = not self.path.exists()
            # Now rather than when the cluster is up: a path that is wrong should be said at once.
            self.path.open("ab").close()
        except OSError as cause:
            raise self._unwritable(cause) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        failed_at_once = error is not None and not self._parts and not self._captured()
        if self._writer is None or (self._made and failed_at_once):
            self._drop()
            return
        self._writer.close()
        try:
            if self._parts:
                self._merge()
        except OSError as cause:
            raise self._unwritable(cause) from error
        finally:
            if self._folder is not None:
                self._folder.cleanup()
        writer = self._writer
        self.frames_total, self.bytes_total = writer.frames_total, writer.bytes_total
        if writer.fault:
            self.warnings.append(
                f"{self.path}: {writer.fault}; {writer.omitted} frames are not in it"
            )

    def begin(self, world: str, clock: LoopClock, name_of: Callable[[str], str] = str) -> Recorder:
        """Write the header and record what this process sends. Once."""
        assert self._writer is None, "a capture begins once"
        self._header = CaptureHeader(
            edgeless_sim_capture=VERSION, world=world, epoch_ns=clock.epoch_ns
        )
        self._writer = CaptureWriter(self.path, self._header, bytes_max=self._bytes_max)
        self._recorder = Recorder(self._writer, clock.now_ns, name_of)
        return self._recorder

    def part(self, here: str, names: Mapping[str, str]) -> CapturePart:
        """A file for one life of the component called *here*, which merges with this one."""
        assert self._header is not None, "a capture has begun"
        if self._folder is None:
            parent, name = self.path.absolute().parent, self.path.name
            self._folder = TemporaryDirectory(prefix=f"{name}.parts-", dir=parent)
        name = f"{len(self._parts):04}-{here.replace('/', '-')}"
        self._parts.append(Path(self._folder.name) / name)
        return CapturePart(
            str(self._parts[-1]), self._header.world, self._bytes_max, here, dict(names)
        )

    @property
    def begun(self) -> bool:
        """Whether there is anything in it."""
        return self._writer is not None

    def close(self) -> None:
        """Record nothing more in this process. Idempotent."""
        if self._recorder is not None:
            self._recorder.close()

    def _captured(self) -> bool:
        return self._writer is not None and self._writer.frames_total > 0

    def _drop(self) -> None:
        """Leave nothing behind where nothing was caught."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._made:
            self.path.unlink(missing_ok=True)

    def _merge(self) -> None:
        assert self._header is not None
        # A component that never came up has written nothing.
        parts = [path for path in self._parts if path.exists() and is_capture(path)]
        reader = CaptureReader(self.path, *parts)
        merged = self.path.with_name(f"{self.path.name}.merging")
        writer = CaptureWriter(merged, self._header, bytes_max=self._bytes_max)
        try:
            for line in reader.lines():
                writer.write_line(line)
            for note in reader.notes:
                writer.note(note)
        finally:
            writer.close()
        merged.replace(self.path)
        self.warnings += reader.notes
        self._writer = writer

    def _check_free(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_file():
            raise RejectedError("a capture is a file, and this is none", clipped(str(self.path)))
        if not is_capture(self.path):
            raise RejectedError("the file is no capture and is not replaced", str(self.path))
        if not self._force:
            raise RejectedError(
                "the file holds an earlier capture", f"{self.path}; --force replaces it"
            )

    def _unwritable(self, cause: OSError) -> ResourceError:
        return ResourceError(clipped(f"{self.path}: cannot be written: {cause.strerror}"))


def open_part(part: CapturePart, clock: LoopClock) -> Recorder:
    """What records in a component with a process of its own; raise `ResourceError`."""
    header = CaptureHeader(edgeless_sim_capture=VERSION, world=part.world, epoch_ns=clock.epoch_ns)
    try:
        writer = CaptureWriter(Path(part.file), header, bytes_max=part.bytes_max)
    except OSError as cause:
        raise ResourceError(f"{part.file}: cannot be written: {cause.strerror}") from None
    names = part.names
    return Recorder(writer, clock.now_ns, lambda url: names.get(url, url))
