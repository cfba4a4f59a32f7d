"""What a refresh needs of a connection: a call without a task."""

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["RefreshPort"]


class RefreshPort(Protocol):
    """The callback form of a call (see `edgeless_transports.Connection.call_nowait`)."""

    def call_nowait(
        self, method: str, payload: bytes, answer: Callable[[Any], None], *, timeout_s: float
    ) -> None:
        """Send; *answer* gets the reply's bytes, or the transport's error."""
        ...
