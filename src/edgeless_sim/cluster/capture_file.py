"""A capture as a file: a header, then one frame per line, as JSON.

Written frame by frame, past all buffers of ours, so that what a killed process wrote can be read.
A line is written when the frame has ended: with its reply, its refusal, or why there is none.
Reading puts frames in the order in which they were sent. Not here: what frames say
(`api.decoding`), and how they are caught (`capture`).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from edgeless_sim.errors import SettingsError, UnknownComponentError
from edgeless_sim.model.names import clipped, shown_path

__all__ = [
    "CAPTURE_BYTES_MAX",
    "VERSION",
    "CaptureHeader",
    "CaptureReader",
    "CaptureWriter",
    "CapturedFrame",
    "Refused",
    "is_capture",
]

#: Largest capture. Frames beyond it are counted, not written.
CAPTURE_BYTES_MAX: Final = 1 << 30
VERSION: Final = 1
_HEADER_BYTES_MAX: Final = 4096
#: Longest line: request and reply of 16 MiB each, as base64.
_LINE_BYTES_MAX: Final = 64 << 20
_NOTES_MAX: Final = 8
_FILE_BITS: Final = 16
_FILES_MAX: Final = (1 << _FILE_BITS) - 1
_OFFSET_BITS: Final = 48
_OFFSET_MAX: Final = (1 << _OFFSET_BITS) - 1
#: What msgspec raises for bytes that are no such value.
_NO_JSON: Final = (msgspec.DecodeError, ValueError, RecursionError)


class CaptureHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    edgeless_sim_capture: int
    """Version of the format; `VERSION`."""
    world: str
    """``sim``, ``tcp``, ``grpc``; or ``relay``, between parts of a real deployment."""
    epoch_ns: int
    """Calendar time (ns since 1970) at 0 ns of the frames."""


class Refused(msgspec.Struct, frozen=True):
    """A refusal that came as a transport's error."""

    code: str
    message: str = ""


class CapturedFrame(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"source": "from", "target": "to"},
):
    """One frame and its end. A call ends with one of ``reply``, ``refusal`` and ``error``."""

    ns: int
    """When it was sent, counted from the begin of the run."""
    source: str
    """Who sent it: ``client``, ``con``, ``orc/DOMAIN``, ``node/DOMAIN/INDEX``, or an address."""
    target: str
    kind: Literal["call", "cast"]
    method: str
    wire: str
    """What the bytes are written in, see `edgeless_sim.api.decoding`."""
    request: bytes
    """The bytes that were sent; of a cast, the event's."""
    reply: bytes | None = None
    refusal: Refused | None = None
    error: str = ""
    """Why nothing was answered, or why a cast was not sent."""
    took_ns: int | None = None
    """From sending to the end; None for casts."""


class _Note(msgspec.Struct, frozen=True):
    """A line that says something about the capture itself."""

    note: str


class _When(msgspec.Struct, frozen=True):
    """As much of a frame as its place needs."""

    ns: int


class CaptureWriter:
    """Writes one file, at most *bytes_max* bytes. Opening raises OSError, writing never does.

    When the file is full, or the disk, frames are counted only and `fault` says why.
    """

    def __init__(
        self, path: Path, header: CaptureHeader, *, bytes_max: int = CAPTURE_BYTES_MAX
    ) -> None:
        self._file = path.open("wb", buffering=0)
        self._encode = msgspec.json.Encoder().encode
        self._bytes_max = bytes_max
        self.frames_total = 0
        self.bytes_total = 0
        #: Frames that are not in the file.
        self.omitted = 0
        #: Why frames are missing; empty = none is.
        self.fault = ""
        self._put(self._encode(header) + b"\n")

    def write(self, frame: CapturedFrame) -> None:
        """Write *frame*, if there is room."""
        self.write_line(self._encode(frame) + b"\n")

    def write_line(self, line: bytes) -> None:
        """Write a frame that is a line already."""
        if not self.fault and self.bytes_total + len(line) > self._bytes_max:
            self.fault = f"full: it has {self._bytes_max} bytes at most"
            self._put(self._encode(_Note(self.fault)) + b"\n")
        if self.fault or not self._put(line):
            self.omitted += 1
        else:
            self.frames_total += 1

    def note(self, text: str) -> None:
        """Write down that something is wrong with the capture."""
        self._put(self._encode(_Note(clipped(text))) + b"\n")

    def close(self) -> None:
        """Idempotent."""
        self._file.close()

    def _put(self, line: bytes) -> bool:
        try:
            written = self._file.write(line)
        except OSError as cause:
            self.fault = self.fault or f"cannot be written: {cause.strerror}"
            return False
        self.bytes_total += written
        if written != len(line):
            # Half a line: what comes next on a disk that is full is an error.
            self.fault = self.fault or "cannot be written: the disk took a part of a line"
            return False
        return True


def is_capture(path: Path) -> bool:
    """Whether the file at *path* begins as a capture does."""
    with path.open("rb") as file:
        return _header_of(file) is not None


class CaptureReader:
    """Reads captures, several as one.

    Raises `UnknownComponentError` if a file is not there and `SettingsError` if it is no capture.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        #: What is wrong with the files: complete when `lines` or `frames` has ended.
        self.notes: list[str] = []
        headers = [_checked_header(path) for path in paths]
        #: Of the first one.
        self.header = headers[0]

    def frames(self) -> Iterator[CapturedFrame]:
        """All frames, in the order of sending. A line that is none is a note."""
        decode = msgspec.json.Decoder(CapturedFrame).decode
        for line in self.lines():
            try:
                frame = decode(line)
            except _NO_JSON as cause:
                self._note(f"a line is no frame: {cause}")
            else:
                yield frame

    def lines(self) -> Iterator[bytes]:
        """The lines that are frames by their look, in the order of sending."""
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in self._paths]
            # Time, file and offset in one number each: the frames themselves do not fit in memory.
            places: list[int] = []
            for number, (path, file) in enumerate(zip(self._paths, files, strict=True)):
                for ns, at in self._places(path, file):
                    places.append((ns << _FILE_BITS | number) << _OFFSET_BITS | at)
            places.sort()
            for place in places:
                file = files[place >> _OFFSET_BITS & _FILES_MAX]
                file.seek(place & _OFFSET_MAX)
                yield file.readline()

    def _places(self, path: Path, file: BinaryIO) -> Iterator[tuple[int, int]]:
        """Time and offset of each frame in *file*."""
        decode_when = msgspec.json.Decoder(_When).decode
        file.readline(_LINE_BYTES_MAX)
        number, at = 1, file.tell()
        while line := file.readline(_LINE_BYTES_MAX):
            number += 1
            where = f"{shown_path(path.name)}, line {number}"
            if not line.endswith(b"\n"):
                reason = "is cut off" if len(line) < _LINE_BYTES_MAX else "is too long"
                self._note(f"{where}: it {reason}, and what follows is not read")
                return
            try:
                yield decode_when(line).ns, at
            except _NO_JSON as cause:
                self._note(_noted(line) or f"{where}: no frame: {cause}")
            at += len(line)

    def _note(self, text: str) -> None:
        if len(self.notes) < _NOTES_MAX:
            self.notes.append(clipped(text))
        elif len(self.notes) == _NOTES_MAX:
            self.notes.append("and more of that kind")


def _checked_header(path: Path) -> CaptureHeader:
    try:
        if not path.exists():
            raise UnknownComponentError("no such file", clipped(str(path)))
        if not path.is_file():
            raise SettingsError(clipped(f"{path}: not a regular file"))
        with path.open("rb") as file:
            header = _header_of(file)
    except OSError as cause:
        raise SettingsError(clipped(f"{path}: cannot be read: {cause.strerror}")) from None
    if header is None:
        raise SettingsError(
            clipped(
                f"{path}: no capture: line 1 is not what edgeless-sim wire --capture begins with"
            )
        )
    if header.edgeless_sim_capture != VERSION:
        found = header.edgeless_sim_capture
        raise SettingsError(
            clipped(f"{path}: a capture of version {found}, this program reads {VERSION}")
        )
    return header


def _header_of(file: BinaryIO) -> CaptureHeader | None:
    try:
        return msgspec.json.decode(file.readline(_HEADER_BYTES_MAX), type=CaptureHeader)
    except _NO_JSON:
        return None


def _noted(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_Note).note
    except _NO_JSON:
        return ""
