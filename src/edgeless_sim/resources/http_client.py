"""The HTTP client of the classes that ask others: one session, and no connection unchecked.

The resolver of the client checks every address that a name has, and connections are made to none
that it did not check. Not here: which addresses those are (`egress_policy`), and who asks.
"""

import socket
from collections.abc import Mapping
from typing import Final, NamedTuple

import aiohttp
import anyio
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from edgeless_sim.errors import ResourceError
from edgeless_sim.model.names import quoted
from edgeless_sim.resources.base import PAYLOAD_BYTES_MAX
from edgeless_sim.resources.egress_policy import EgressPolicy, literal_address
from edgeless_sim.resources.egress_rules import (
    REDIRECTS,
    SECRETS,
    Place,
    canonical_name,
    next_method,
)
from edgeless_sim.resources.http_routes import parse_host
from edgeless_sim.resources.tasks import ProviderTasks

__all__ = ["HttpClient", "Received"]

_IDLE_CONNECTIONS_MAX: Final = 256
_UNSET_HEADERS: Final = ("Accept-Encoding", "User-Agent")


class Received(NamedTuple):
    """A response, read to its end."""

    status: int
    headers: dict[str, str]
    """Names in lower case; those that are not ASCII are left out."""
    body: bytes


class _CheckedResolver(AbstractResolver):
    """Resolves as the system does, and refuses names of which one address is refused."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See `AbstractResolver.resolve`; raise `_DeniedError` for a refused address."""
        found = await self._system.resolve(host, port, family)
        for each in found:
            address = literal_address(each["host"].partition("%")[0])
            if address is None:
                raise _DeniedError(f"{quoted(each['host'])} is no address")
            fault = self._policy.fault(host, address, port)
            if fault is not None:
                raise _DeniedError(fault)
        return found

    async def close(self) -> None:
        """See `AbstractResolver.close`."""
        await self._system.close()


class _DeniedError(OSError):
    """An address that the policy refuses; an OSError, since that is what a client expects."""


class HttpClient:
    """Asks the web for one provider, with which it ends."""

    def __init__(
        self, tasks: ProviderTasks, policy: EgressPolicy | None, *, redirects_max: int
    ) -> None:
        """Without a *policy*, every address may be asked: what a node's owner has written.

        With no redirects to follow, a response that would send us elsewhere is a response.
        """
        self._tasks = tasks
        self._policy = policy
        self._redirects_max = redirects_max
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Begin; once, before anything is asked."""
        resolver = None if self._policy is None else _CheckedResolver(self._policy)
        session = self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_IDLE_CONNECTIONS_MAX,
                resolver=resolver or aiohttp.ThreadedResolver(),
                # A name is resolved and checked for each connection: it may lead elsewhere by then.
                use_dns_cache=False,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=_UNSET_HEADERS,
            auto_decompress=False,
            trust_env=False,
        )
        self._tasks.begin(lambda: _keep(session))

    async def exchange(
        self, place: Place, method: str, headers: Mapping[str, str], body: bytes
    ) -> Received:
        """The response to one request, redirects followed. It has no deadline of its own.

        Raise `ResourceError` if there is none, or none that is wanted.
        """
        try:
            return await self._exchange(_built(*place), method, dict(headers), body or None)
        except (aiohttp.ClientError, OSError, ValueError) as cause:
            # ValueError: what a server sent, or a redirect, that the client could not read.
            denied = _denial(cause)
            raise ResourceError(denied or f"{type(cause).__name__}: {cause}") from None

    async def _exchange(
        self, url: URL, method: str, headers: dict[str, str], body: bytes | None
    ) -> Received:
        for _ in range(self._redirects_max + 1):
            self._check_literal(url)
            assert self._session is not None, "used before it was opened"
            async with self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                target = response.headers.get("Location")
                if not self._redirects_max or response.status not in REDIRECTS or target is None:
                    return Received(response.status, _readable(response), await _body_of(response))
            following = _redirected(url, target)
            method, keeps_body = next_method(method, response.status)
            if not keeps_body:
                body = None
                headers.pop("content-type", None)
            if following.origin() != url.origin():
                for secret in SECRETS:
                    headers.pop(secret, None)
            url = following
        raise ResourceError(f"more than {self._redirects_max} redirects")

    def _check_literal(self, url: URL) -> None:
        """Refuse addresses, which the client connects to without asking its resolver."""
        if self._policy is None:
            return
        address = literal_address(url.host or "")
        if address is not None:
            fault = self._policy.fault(url.host or "", address, url.port or 0)
            if fault is not None:
                raise ResourceError(fault)


async def _keep(session: aiohttp.ClientSession) -> None:
    """Close *session*, which takes a few turns, when the provider's tasks are ended."""
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await session.close()


def _redirected(url: URL, target: str) -> URL:
    """Where the answer of *url* sends us; raise `ResourceError` if we do not go there."""
    following = url.join(URL(target))
    if following.scheme not in ("http", "https"):
        raise ResourceError(f"a redirect to {quoted(target)}, which is not HTTP")
    host = following.raw_host or ""
    parsed = parse_host(f"[{host}]" if ":" in host else host)
    if parsed is None or following.user or following.password:
        raise ResourceError(f"a redirect to {quoted(target)}, which is no usable URL")
    name = canonical_name(parsed.name)
    return _built(following.scheme, name, following.explicit_port, following.raw_path_qs)


def _built(scheme: str, name: str, port: int | None, path: str) -> URL:
    return URL(f"{scheme}://{name}{'' if port is None else f':{port}'}{path}", encoded=True)


def _readable(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in response.headers.items()
        if name.isascii() and value.isascii()
    }


async def _body_of(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > PAYLOAD_BYTES_MAX:
            raise ResourceError(f"the response has more than {PAYLOAD_BYTES_MAX} bytes")
    return bytes(body)


def _denial(error: BaseException) -> str | None:
    """What the policy said, if that is the cause of *error*."""
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return None
        if isinstance(cause, _DeniedError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return None
