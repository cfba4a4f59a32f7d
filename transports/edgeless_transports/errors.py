"""Every error that a transport raises on purpose.

::

    TransportError          the frame, or its answer, did not arrive
    ├── ConnectError        nobody listens there
    ├── ConnectionLost      the peer, or the caller itself, went away before the answer came
    ├── CallTimeout         the deadline of the call passed first
    ├── RemoteError         the peer's handler refused or failed; the peer is alive
    └── AddressError        malformed address, unknown scheme, or address taken  (also ValueError)

A wrong argument, such as an empty method, is a plain ``ValueError``; a bug is an
``AssertionError``.
"""

from typing import Final

__all__ = [
    "AddressError",
    "CallTimeout",
    "ConnectError",
    "ConnectionLost",
    "RemoteError",
    "TransportError",
]

#: Longer messages of a remote error are cut: they travel in a frame.
_MESSAGE_CHARS_MAX: Final = 8192


class TransportError(Exception):
    """Root of all errors that transports raise on purpose. A full queue raises this one itself."""


class ConnectError(TransportError):
    """Nobody listens at the address."""


class ConnectionLost(TransportError):  # noqa: N818 - it says what happened, as trio and h11 do
    """The peer went away, or the connection was closed, before the answer came."""


class CallTimeout(TransportError):  # noqa: N818 - as above
    """The deadline of the call passed. Whether the peer served it is unknown."""


class RemoteError(TransportError):
    """The peer's handler refused the frame or failed; the peer is alive.

    ``code`` is short and machine-readable, ``message`` is for people. A handler raises it to choose
    both; any other exception of a handler arrives with the code ``internal``.
    """

    def __init__(self, code: str, message: str = "") -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}" if message else code)

    def encode(self) -> bytes:
        """The form in which it travels: code, a zero byte, message (cut at 8,192 characters)."""
        message = self.message[:_MESSAGE_CHARS_MAX]
        return f"{self.code}\0{message}".encode("utf-8", "replace")

    @classmethod
    def decode(cls, payload: bytes) -> "RemoteError":
        """Read what `encode` wrote. Never raises: a peer may send anything."""
        code, _, message = payload.decode("utf-8", "replace").partition("\0")
        return cls(code, message)

    @classmethod
    def of(cls, error: Exception) -> "RemoteError":
        """The remote error that tells a caller about *error* of a handler."""
        if isinstance(error, RemoteError):
            return error
        return cls("internal", f"{type(error).__name__}: {error}")


class AddressError(TransportError, ValueError):
    """The address is malformed, its scheme is unknown, or somebody listens there already."""
