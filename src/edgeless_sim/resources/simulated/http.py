"""Web servers in simulation, and whoever asks them: one per address, made when first asked.

A server answers 200 with nothing, until it is told otherwise. Not here: which addresses there are
and how they do (`backends`), and the classes that ask (`http_egress`, ...).
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin, urlsplit

from edgeless_sim.errors import ResourceError, SettingsError
from edgeless_sim.kernel.scheduler import Scheduler, Timer
from edgeless_sim.model.names import quoted
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.egress_rules import (
    REDIRECTS,
    REDIRECTS_MAX,
    SECRETS,
    Place,
    canonical_name,
    next_method,
    place_fault,
)
from edgeless_sim.resources.http_routes import parse_host
from edgeless_sim.resources.simulated.backends import Backends, Reach, backend_address

__all__ = ["REQUESTS_KEPT", "HttpAnswer", "HttpRecord", "HttpRule", "HttpServer", "HttpVisit"]

#: Of each server; older ones are counted only.
REQUESTS_KEPT: Final = 10_000
RULES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class HttpRecord:
    """A request that arrived at a server."""

    at_ns: int
    method: str
    path: str
    """With the query."""
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answers."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpRule:
    """What is answered to some requests; empty *method* or *path* = all."""

    answer: HttpAnswer
    method: str = ""
    path: str = ""
    """Without the query."""

    def matches(self, record: HttpRecord) -> bool:
        """Whether it is about *record*."""
        path = record.path.partition("?")[0]
        return self.method in ("", record.method) and self.path in ("", path)


class HttpServer:
    """A web server; a kind for `Backends.of`."""

    def __init__(self) -> None:
        self.requests: deque[HttpRecord] = deque(maxlen=REQUESTS_KEPT)
        #: All that ever came, kept or not.
        self.requests_total = 0
        #: What is answered where no rule matches.
        self.otherwise: Callable[[HttpRecord], HttpAnswer] = _nothing
        self._rules: list[HttpRule] = []

    def add_rule(self, rule: HttpRule) -> None:
        """Answer by *rule* from now on; the newest one that matches counts."""
        same = [old for old in self._rules if (old.method, old.path) == (rule.method, rule.path)]
        for old in same:
            self._rules.remove(old)
        if len(self._rules) >= RULES_MAX:
            raise ResourceError(f"a simulated server has {RULES_MAX} rules, the most it can")
        self._rules.append(rule)

    def take(self, record: HttpRecord) -> HttpAnswer:
        """Keep *record*, and answer it."""
        self.requests.append(record)
        self.requests_total += 1
        for rule in reversed(self._rules):
            if rule.matches(record):
                return rule.answer
        return self.otherwise(record)


def _nothing(record: HttpRecord) -> HttpAnswer:
    del record
    return HttpAnswer()


class HttpVisit:
    """One request to the simulated web, redirects followed. *then* gets the answer, or why not."""

    def __init__(
        self,
        backends: Backends,
        scheduler: Scheduler,
        policy: EgressPolicy | None,
        then: Callable[[HttpAnswer | str], None],
        *,
        timeout_s: float,
        redirects_max: int = REDIRECTS_MAX,
    ) -> None:
        """Without a *policy*, every address may be asked. *timeout_s* is for everything.

        With no redirects to follow, an answer that would send us elsewhere is an answer.
        """
        self._backends = backends
        self._scheduler = scheduler
        self._policy = policy
        self._then = then
        self._timeout_s = timeout_s
        self._deadline_ns = scheduler.now_ns() + round(timeout_s * 1e9)
        self._redirects_max = redirects_max
        self._redirects = 0
        self._timer: Timer | None = None

    def begin(
        self, place: Place, method: str, headers: Mapping[str, str], body: bytes
    ) -> "HttpVisit":
        """Go to *place*; never answers at once. Returns itself."""
        fault = self._fault(place)
        if fault is not None:
            return self._fail_soon(fault)
        port = "" if place.port is None else f":{place.port}"
        url = f"{place.scheme}://{place.name}{port}"
        address = backend_address(url)

        def arrive(reach: Reach) -> None:
            self._arrived(reach, address, url, (place, method, headers, body))

        left_s = max(0.0, (self._deadline_ns - self._scheduler.now_ns()) / 1e9)
        try:
            self._backends.of(HttpServer, address)
            self._timer = self._backends.reach(address, arrive, timeout_s=left_s)
        except SettingsError as cause:
            # The world is full.
            return self._fail_soon(str(cause))
        return self

    def _fail_soon(self, fault: str) -> "HttpVisit":
        self._timer = self._scheduler.timer_at(self._scheduler.now_ns(), self._then, fault)
        return self

    def cancel(self) -> None:
        """Answer nobody."""
        if self._timer is not None:
            self._timer.cancel()

    def _arrived(
        self,
        reach: Reach,
        address: str,
        url: str,
        asked: tuple[Place, str, Mapping[str, str], bytes],
    ) -> None:
        if reach is Reach.REFUSED:
            self._then(f"cannot connect to {address}")
        elif reach is Reach.LATE:
            self._then(f"no response within {self._timeout_s:g} s")
        elif reach is Reach.WRONG:
            self._then("the server's answer is no HTTP")
        else:
            self._answered(url, asked)

    def _answered(self, url: str, asked: tuple[Place, str, Mapping[str, str], bytes]) -> None:
        place, method, headers, body = asked
        server = self._backends.of(HttpServer, backend_address(url))
        record = HttpRecord(self._scheduler.now_ns(), method, place.path, dict(headers), body)
        answer = server.take(record)
        target = {name.lower(): value for name, value in answer.headers.items()}.get("location")
        if not self._redirects_max or answer.status not in REDIRECTS or target is None:
            self._then(answer)
            return
        self._redirects += 1
        if self._redirects > self._redirects_max:
            self._then(f"more than {self._redirects_max} redirects")
            return
        try:
            following = _redirected(f"{url}{place.path}", target)
        except (ResourceError, ValueError) as error:
            self._then(str(error))
            return
        kept = dict(headers)
        method, keeps_body = next_method(method, answer.status)
        if not keeps_body:
            body = b""
            kept.pop("content-type", None)
        if following[:3] != place[:3]:
            kept = {name: value for name, value in kept.items() if name not in SECRETS}
        self.begin(following, method, kept, body)

    def _fault(self, place: Place) -> str | None:
        """What the policy says about *place*: in simulation, a name leads to no private address."""
        return None if self._policy is None else place_fault(self._policy, place)


def _redirected(url: str, target: str) -> Place:
    """Where the answer of *url* sends us; raise `ResourceError` if we do not go there."""
    parts = urlsplit(urljoin(url, target))
    if parts.scheme not in ("http", "https"):
        raise ResourceError(f"a redirect to {quoted(target)}, which is not HTTP")
    host = parse_host(parts.netloc)
    if host is None or parts.username is not None:
        raise ResourceError(f"a redirect to {quoted(target)}, which is no usable URL")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme, canonical_name(host.name), host.port, path)
