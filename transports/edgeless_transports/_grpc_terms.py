"""What both ends of the gRPC transport agree on: limits, paths, statuses, metadata.

Not here: who sends and who serves.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

# The core's own lines on stderr repeat what our exceptions say. It reads this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from grpc import aio

from edgeless_transports.base import Address
from edgeless_transports.errors import (
    AddressError,
    CallTimeout,
    ConnectionLost,
    RemoteError,
    TransportError,
)

__all__ = [
    "CAST_KEY",
    "CAST_UNNAMED",
    "CODE_KEY",
    "Limits",
    "Option",
    "announced_in",
    "channel_options",
    "failure_of",
    "listener_options",
    "method_of",
    "path_of",
    "status_of",
    "status_text",
    "target_of",
]

#: Set by the sender of a cast, so that the listener knows it for one. The value is the address at
#: which the sender can be reached, or `CAST_UNNAMED`.
CAST_KEY: Final = "x-frame-cast"
CAST_UNNAMED: Final = "-"
#: The code of a `RemoteError`, where a status alone would lose it.
CODE_KEY: Final = "x-frame-code"

Option: TypeAlias = tuple[str, int | str]

_LOCATION: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})/?")
_PORT_MAX: Final = 65_535
#: Statuses travel in headers, for which the usual limit is 8 KiB, with up to three bytes a byte.
_TEXT_BYTES_MAX: Final = 1024
_CODE: Final = re.compile(r"[!-~]{1,128}")
_STATUSES: Final = {status.name.lower(): status for status in grpc.StatusCode}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one transport."""

    message_bytes_max: int = 16 << 20
    """Largest request or reply."""
    cast_bytes_max: int = 4 << 20
    """Largest cast."""
    frames_max: int = 10_000
    """Frames of one connection that wait, and requests that one listener serves."""
    queued_bytes_max: int = 64 << 20
    """Payloads of one connection that wait to be sent."""
    connect_timeout_s: float = 5.0
    cast_timeout_s: float = 5.0
    """How long a cast may take to be taken, until it counts as lost."""
    hello_timeout_s: float = 5.0
    """From a listener's accepting a socket to the first HTTP/2 frame on it."""
    idle_s: float = 10.0
    """A peer of a listener that was silent for so long is asked, and given up after `dead_s`."""
    dead_s: float = 30.0


def channel_options(limits: Limits) -> Sequence[Option]:
    """Options of both ends."""
    return (
        ("grpc.max_receive_message_length", limits.message_bytes_max),
        ("grpc.max_send_message_length", limits.message_bytes_max),
        # A listener's address is its own: without this, two could share it.
        ("grpc.so_reuseport", 0),
        # Without these, a thousand requests at once are too many, and are dropped at random.
        ("grpc.server.max_pending_requests", limits.frames_max),
        ("grpc.server.max_pending_requests_hard_limit", limits.frames_max),
        # Only identity: a compressed message is refused before anybody unpacks it.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # Each connection is one of its own, and goes where its address says.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    )


def listener_options(limits: Limits) -> Sequence[Option]:
    """Options of the serving end: when a socket that says nothing is closed."""
    answer_ms = round(max(1, limits.dead_s - limits.idle_s) * 1000)
    return (
        *channel_options(limits),
        ("grpc.server_handshake_timeout_ms", round(limits.hello_timeout_s * 1000)),
        ("grpc.keepalive_time_ms", round(limits.idle_s * 1000)),
        # Both: the first is for peers that send something else, the second for silent ones.
        ("grpc.keepalive_timeout_ms", answer_ms),
        ("grpc.http2.ping_timeout_ms", answer_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )


def target_of(address: Address) -> tuple[str, int]:
    """Host and port in *address*; raise `AddressError` for a location that is anything else.

    Without this, a location such as ``unix:...`` or ``dns://...`` would reach grpcio's resolvers.
    """
    found = _LOCATION.fullmatch(address.location)
    if address.scheme not in ("http", "https") or found is None or int(found[2]) > _PORT_MAX:
        raise AddressError(f"{address} is not http://HOST:PORT or https://HOST:PORT")
    return found[1], int(found[2])


@lru_cache(maxsize=4096)
def announced_in(mark: str) -> str:
    """The address that the sender of a cast can be reached at, "" if it tells none."""
    try:
        target_of(Address.parse(mark))
    except AddressError:
        return ""
    return mark


def path_of(method: str) -> str:
    """The path of *method*: itself if it is one, otherwise marked by two slashes."""
    if method.startswith("/") and not method.startswith("//"):
        return method
    return "//" + method


def method_of(path: str) -> str:
    """The method whose path is *path*."""
    return path.removeprefix("//")


def status_of(code: str) -> grpc.StatusCode:
    """The status for a `RemoteError`: the one that its code, up to the first dot, names."""
    status = _STATUSES.get(code.partition(".")[0].replace("-", "_"), grpc.StatusCode.UNKNOWN)
    return grpc.StatusCode.UNKNOWN if status is grpc.StatusCode.OK else status


def status_text(error: RemoteError) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The text of a status, cut, and its metadata."""
    text = error.message.encode("utf-8", "replace")[:_TEXT_BYTES_MAX].decode(errors="ignore")
    code = error.code if _CODE.fullmatch(error.code) else "unknown"
    return text, ((CODE_KEY, code),)


def failure_of(error: aio.AioRpcError, peer: str, method: str) -> TransportError:
    """What a failed request means to its caller."""
    status, text = error.code(), error.details() or ""
    for key, value in error.trailing_metadata():
        if key == CODE_KEY:
            return RemoteError(value.decode() if isinstance(value, bytes) else value, text)
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CallTimeout(f"{peer} did not answer {method} in time")
    if status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return ConnectionLost(f"{peer} went away before it answered {method}: {text[:256]}")
    return RemoteError(status.name.lower(), text)
