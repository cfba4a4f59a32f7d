"""How "no" travels: inside replies that have room for it, as a gRPC status elsewhere (spec 10.6).

The texts are EDGELESS's. Which of our kinds of refusal it was travels beside them, so that our own
clients raise the same error again. Not here: silence, which is the transport's.
"""

import re
from dataclasses import dataclass
from typing import Final

from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.errors import (
    NoFeasibleDomainError,
    NoFeasibleNodeError,
    RejectedError,
    UnknownComponentError,
)
from edgeless_sim.model.names import clipped
from edgeless_transports import RemoteError

__all__ = [
    "INTERNAL",
    "INVALID_ARGUMENT",
    "Carriage",
    "MalformedRequestError",
    "read_response_error",
    "rejection_of",
    "remote_error",
    "response_error",
]

#: Codes of a `RemoteError`; a gRPC transport makes statuses of them.
INVALID_ARGUMENT: Final = "invalid_argument"
INTERNAL: Final = "internal"

_KINDS: Final[dict[str, type[RejectedError]]] = {
    "no-feasible-domain": NoFeasibleDomainError,
    "no-feasible-node": NoFeasibleNodeError,
    "unknown-component": UnknownComponentError,
}
_KIND_OF: Final = {kind: name for name, kind in _KINDS.items()}
_TEXT: Final = re.compile(r"(.*?) \[detail: (.*)\]", re.DOTALL)


class MalformedRequestError(RejectedError):
    """A request that cannot be read. *unreadable*: its bytes are no such message at all."""

    def __init__(self, detail: str, *, unreadable: bool = False) -> None:
        self.unreadable = unreadable
        super().__init__("malformed message", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """How the refusals of one method travel."""

    malformed: str
    """The summary, or the text, for a request that cannot be read."""
    malformed_code: str = INVALID_ARGUMENT
    """The status of such a request; empty = it travels in the reply."""
    refused: str = ""
    """The text before other refusals; empty = they travel in the reply."""


def response_error(error: RejectedError) -> pb.ResponseError:
    """*error* as a part of a reply, with at most 1 KiB of each text."""
    return pb.ResponseError(
        summary=clipped(error.summary),
        detail=None if error.detail is None else clipped(error.detail),
        kind=_KIND_OF.get(type(error), ""),
    )


def read_response_error(message: pb.ResponseError) -> RejectedError:
    """The error that *message* tells of; an unknown kind is a plain refusal."""
    kind = _KINDS.get(message.kind, RejectedError)
    detail = clipped(message.detail) if message.HasField("detail") else None
    return kind(clipped(message.summary), detail)


def remote_error(code: str, text: str, error: RejectedError) -> RemoteError:
    """*error* as a status, its kind after the code."""
    kind = _KIND_OF.get(type(error))
    return RemoteError(f"{code}.{kind}" if kind else code, clipped(f"{text}: {error}"))


def rejection_of(carriage: Carriage, error: RemoteError) -> RejectedError:
    """The refusal that a status tells of."""
    code, _, kind = error.code.partition(".")
    if code not in (INTERNAL, INVALID_ARGUMENT):
        return RejectedError("the peer failed to serve the request", clipped(str(error)))
    text = clipped(error.message)
    for prefix in (carriage.refused, carriage.malformed):
        if prefix:
            text = text.removeprefix(f"{prefix}: ")
    found = _TEXT.fullmatch(text)
    summary, detail = (found[1], found[2]) if found else (text, None)
    return _KINDS.get(kind, RejectedError)(summary or code, detail)
