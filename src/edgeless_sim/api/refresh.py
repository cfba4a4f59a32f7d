"""A refresh: the callback form of a call, without a task."""

from collections.abc import Callable
from typing import Any, Protocol

from edgeless_sim.api.wire import Wire
from edgeless_sim.errors import UnreachableError
from edgeless_transports import RemoteError

__all__ = ["RefreshPort", "read_answer"]


class RefreshPort(Protocol):
    """The callback form of a call (see `edgeless_transports.Connection.call_nowait`)."""

    def call_nowait(
        self, method: str, payload: bytes, answer: Callable[[Any], None], *, timeout_s: float
    ) -> None:
        """Send; *answer* gets the reply's bytes, or the transport's error."""
        ...


def read_answer(wire: Wire, path: str, answer: object) -> Any:
    """The result in what `RefreshPort.call_nowait` answered to the method *path*.

    Raise `RejectedError` if the peer said no, `UnreachableError` if it did not answer.
    """
    if isinstance(answer, bytes):
        return wire.decode_reply(path, answer)
    if isinstance(answer, RemoteError):
        raise wire.decode_refusal(path, answer)
    raise UnreachableError(f"{path}: {answer}")
