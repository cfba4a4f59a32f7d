"""HTTP requests and responses as EDGELESS's functions see them: JSON (spec 6.2).

Pure. The body is a list of numbers, so a payload of 1 MiB carries some 300 KiB of it. Not here:
sockets.
"""

import re
from http import HTTPStatus
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.names import clipped, quoted

__all__ = [
    "FRAMING_HEADERS",
    "METHODS",
    "SERVER",
    "HttpRequest",
    "HttpResponse",
    "RefusedError",
    "decode_request",
    "decode_response",
    "encode_payload",
    "header_fault",
    "plain_headers",
    "render_response",
    "too_large",
]

_Byte: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=255)]

#: Method of HTTP -> its name in EDGELESS.
METHODS: Final = {
    "GET": "Get",
    "HEAD": "Head",
    "POST": "Post",
    "PUT": "Put",
    "DELETE": "Delete",
    "PATCH": "Patch",
}
#: Headers that say where a message ends and what becomes of the connection: never a function's.
FRAMING_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
SERVER: Final = "edgeless-sim"
_HEADERS_MAX: Final = 128
_HEADER_BYTES_MAX: Final = 8190
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
# What may stand in a value on the wire: no control characters but the tab, nothing beyond Latin-1.
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class HttpRequest(msgspec.Struct, frozen=True):
    """A request: http-ingress to a function, or a function to http-egress."""

    method: Literal["Get", "Head", "Post", "Put", "Delete", "Patch"]
    protocol: Literal["Unknown", "HTTP", "HTTPS"]
    host: str
    path: str
    headers: dict[str, str]
    body: list[_Byte] | None = None


class HttpResponse(msgspec.Struct, frozen=True):
    """A response: the other way."""

    status: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    headers: dict[str, str]
    body: list[_Byte] | None = None


_ENCODER: Final = msgspec.json.Encoder()
_REQUESTS: Final = msgspec.json.Decoder(HttpRequest)
_RESPONSES: Final = msgspec.json.Decoder(HttpResponse)


def encode_payload(message: HttpRequest | HttpResponse) -> str:
    """The payload of an event that carries *message*."""
    return _ENCODER.encode(message).decode()


def decode_request(payload: str) -> HttpRequest:
    """The request in *payload*; raise `ResourceError` if there is none."""
    try:
        return _REQUESTS.decode(payload)
    except msgspec.DecodeError as cause:
        raise ResourceError(clipped(f"this is no HTTP request: {cause}")) from None


def decode_response(payload: str) -> HttpResponse:
    """The response in *payload*; raise `ResourceError` if there is none that can be sent.

    Headers that frame the message are left out: whoever sends it writes them.
    """
    try:
        response = _RESPONSES.decode(payload)
    except msgspec.DecodeError as cause:
        raise ResourceError(clipped(f"this is no HTTP response: {cause}")) from None
    if not 200 <= response.status <= 999:
        raise ResourceError(f"the status {response.status} is not between 200 and 999")
    fault = header_fault(response.headers)
    if fault is not None:
        raise ResourceError(fault)
    return response


def header_fault(headers: dict[str, str]) -> str | None:
    """Why *headers* cannot be sent, or None: a line break in one would begin another message."""
    if len(headers) > _HEADERS_MAX:
        return f"{len(headers)} headers, at most {_HEADERS_MAX}"
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None:
            return f"the header {quoted(name)} is not allowed: it is no name"
        if len(value) > _HEADER_BYTES_MAX:
            return f"the header {quoted(name)} has more than {_HEADER_BYTES_MAX} bytes"
        if _VALUE.fullmatch(value) is None:
            return f"the header {quoted(name)} has a character that no header can have"
    return None


class RefusedError(Exception):
    """A request that gets *status* and *text*; the connection ends if *closes*."""

    def __init__(self, status: int, text: str, *, closes: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.closes = closes


def too_large(bytes_max: int) -> RefusedError:
    """The refusal of a request of which an event would have more than *bytes_max*."""
    return RefusedError(
        413,
        f"as an event, the request has more than {bytes_max} bytes: a byte of a body takes 2 to 4 "
        "of them, as EDGELESS writes bodies as lists of numbers",
        closes=True,
    )


def plain_headers(status: int) -> dict[str, str]:
    """The headers of an answer of our own, which is text."""
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if status == 405:
        headers["Allow"] = ", ".join(METHODS)
    elif status == 503:
        headers["Retry-After"] = "1"
    return headers


def render_response(
    status: int,
    headers: dict[str, str],
    body: bytes,
    *,
    date: str,
    is_head: bool = False,
    closes: bool = False,
    is_old: bool = False,
) -> bytes:
    """A response as it is sent. *headers* are good (`header_fault`); those that frame it are ours.

    *is_old*: the client speaks HTTP/1.0, which closes unless told otherwise.
    """
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}"]
    is_dated = is_signed = is_typed = False
    for name, value in headers.items():
        lower = name.lower()
        if lower in FRAMING_HEADERS:
            continue
        is_dated = is_dated or lower == "date"
        is_signed = is_signed or lower == "server"
        is_typed = is_typed or lower == "content-type"
        lines.append(f"{name}: {value}")
    if status in (204, 304):
        body = b""
    else:
        lines.append(f"Content-Length: {len(body)}")
        if body and not is_typed:
            lines.append("Content-Type: application/octet-stream")
    if not is_dated:
        lines.append(f"Date: {date}")
    if not is_signed:
        lines.append(f"Server: {SERVER}")
    if closes:
        lines.append("Connection: close")
    elif is_old:
        lines.append("Connection: keep-alive")
    lines.append("\r\n")
    head = "\r\n".join(lines).encode()
    return head if is_head or not body else head + body
