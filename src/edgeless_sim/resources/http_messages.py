"""HTTP requests and responses as EDGELESS's functions see them: JSON (spec 6.2).

Pure. The body is a list of numbers, so a payload of 1 MiB carries some 300 KiB of it. Not here:
sockets.
"""

import re
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.names import clipped, quoted

__all__ = [
    "FRAMING_HEADERS",
    "METHODS",
    "HttpRequest",
    "HttpResponse",
    "decode_request",
    "decode_response",
    "encode_payload",
    "header_fault",
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
