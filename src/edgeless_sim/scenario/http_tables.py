"""Tables about HTTP that steps, workloads and back-ends share: what is asked, what is replied.

Not here: who asks (`web_clients`), and the simulated servers (`edgeless_sim.resources.simulated`).
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field

from edgeless_sim.model.names import quoted
from edgeless_sim.model.toml_table import Few, Name, Table
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX
from edgeless_sim.resources.http_messages import FRAMING_HEADERS, header_fault
from edgeless_sim.resources.http_routes import parse_host
from edgeless_sim.resources.simulated.backends import backend_address
from edgeless_sim.resources.simulated.http import HttpAnswer, HttpRule
from edgeless_sim.resources.simulated.http_ingress import IngressRequest
from edgeless_sim.scenario.units import Duration

__all__ = ["INGRESS", "BackendTable", "BackendUrl", "HttpQuestion", "Reply", "Target"]

#: The class of those that are asked.
INGRESS: Final = "http-ingress"


def _target(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("a path begins with '/'")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError("a path is written in ASCII without blanks: write '%20' for one")
    return value


def _path(value: str) -> str:
    if "?" in value:
        raise ValueError("this path is compared without the query: remove what follows '?'")
    return _target(value) if value else value


def _host(value: str) -> str:
    if parse_host(value) is None:
        raise ValueError("this is no host: write a name or an address, with a port if it matters")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    fault = header_fault(value)
    if fault is not None:
        raise ValueError(fault)
    return value


def _asked_headers(value: dict[str, str]) -> dict[str, str]:
    for name in _headers(value):
        if name.lower() == "host":
            raise ValueError("write host = ... beside headers")
        if name.lower() in FRAMING_HEADERS:
            raise ValueError(f"the header {quoted(name)} is not allowed: it is the connection's")
    return value


def _url(value: str) -> str:
    # A SettingsError says the same, but is no ValueError.
    if "://" not in value:
        raise ValueError("write scheme://host:port")
    return value


Target: TypeAlias = Annotated[str, Field(max_length=8_000), AfterValidator(_target)]
BackendUrl: TypeAlias = Annotated[Name, AfterValidator(_url)]
Headers: TypeAlias = Annotated[dict[str, str], AfterValidator(_headers)]
_AskedHeaders: TypeAlias = Annotated[dict[str, str], AfterValidator(_asked_headers)]
_Body: TypeAlias = Annotated[str, Field(max_length=PAYLOAD_BYTES_MAX)]
_Method: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z]{1,32}$")]


class HttpQuestion(Table):
    """A request to an http-ingress."""

    method: _Method = "GET"
    path: Target = "/"
    """With the query."""
    host: Annotated[str, AfterValidator(_host)] | None = None
    """The ``Host``; None = the one at which the node listens."""
    headers: _AskedHeaders = Field(default_factory=dict)
    body: _Body = ""
    node: Name | None = None
    """Whose ingress; None = the first that has an instance for it."""
    timeout: Annotated[Duration, Field(gt=0)] = 30_000_000_000

    def request(self) -> IngressRequest:
        """The same for a client."""
        return IngressRequest(
            self.method, self.path, self.host or "", self.headers, self.body.encode()
        )


class Reply(Table):
    """What a simulated web server answers to requests for a path, or for all of them."""

    method: Literal["", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] = ""
    """Empty = every method."""
    path: Annotated[str, Field(max_length=8_000), AfterValidator(_path)] = ""
    """Without the query; empty = every path."""
    status: Annotated[int, Field(ge=200, le=999)] = 200
    headers: Headers = Field(default_factory=dict)
    body: _Body = ""

    def rule(self) -> HttpRule:
        """The same for the server."""
        answer = HttpAnswer(self.status, self.headers, self.body.encode())
        return HttpRule(answer, self.method, self.path)


class BackendTable(Table):
    """``[[backend]]``: how a simulated back-end does from the beginning."""

    url: BackendUrl
    latency: Duration = 0
    """Until it answers."""
    replies: Annotated[tuple[Reply, ...], Few] = ()

    @property
    def address(self) -> str:
        """See `backend_address`; raise `SettingsError` if there is none."""
        return backend_address(self.url)
