"""Steps that concern the world of resources: requests to ingresses, how back-ends do.

Not here: when a step is performed (`runner`).
"""

from collections.abc import Awaitable, Callable

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import ExpectationError, RejectedError, UnreachableError
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.resources.simulated.backends import Backends, backend_address
from edgeless_sim.resources.simulated.http import HttpServer
from edgeless_sim.resources.simulated.http_ingress import IngressResponse
from edgeless_sim.scenario import steps as do
from edgeless_sim.scenario.http_tables import BackendTable
from edgeless_sim.scenario.units import duration_text
from edgeless_sim.scenario.web_client import WebClient

__all__ = ["WebSteps"]


class WebSteps:
    """Performs them on one cluster."""

    def __init__(
        self, cluster: Cluster, client: WebClient, tables: tuple[BackendTable, ...]
    ) -> None:
        """Back-ends do from now on as *tables* say."""
        self._cluster = cluster
        self._client = client
        self._latency_ns = {table.address: table.latency for table in tables}
        #: The last step about each address.
        self._last: dict[str, do.Backend] = {}
        if cluster.backends is not None:
            for table in tables:
                self._set(table.address, "up", 0)
                for reply in table.replies:
                    cluster.backends.of(HttpServer, table.address).add_rule(reply.rule())

    async def ask(self, step: do.HttpRequest) -> None:
        """Send a request; raise `UnreachableError` without a response, `ExpectationError` for
        another one than is expected."""
        await self._cluster.caught_up()
        answer = await self._client.ask(step.request(), step.node, step.timeout / 1e9)
        what = f"{step.method} {step.path}"
        if answer is None:
            raise UnreachableError(f"{what}: no response within {duration_text(step.timeout)}")
        if isinstance(answer, str):
            raise UnreachableError(f"{what}: the connection was {answer}")
        _compare(step, what, answer)

    async def change(
        self,
        step: do.Backend,
        done: Callable[[], object],
        until: Callable[[int], Awaitable[None]],
    ) -> None:
        """Let a back-end do as *step* says, until it heals."""
        address = backend_address(step.url)
        self._last[address] = step
        self._set(address, step.condition, step.delay or 0)
        self._cluster.journal.record("fault", f"back-end {step.condition}", address)
        done()
        if step.heal_after is None:
            return
        await until(step.at + step.heal_after)
        # What a later step said still holds.
        if self._last[address] is step:
            self._set(address, "up", 0)
            self._cluster.journal.record("fault", "back-end up", address)

    def reply(self, step: do.HttpReply) -> None:
        """Let a web server answer as *step* says; raise `ResourceError` for too many rules."""
        self._backends.of(HttpServer, backend_address(step.url)).add_rule(step.rule())

    def _set(self, address: str, condition: str, delay_ns: int) -> None:
        state = self._backends.state(address)
        state.down = condition == "down"
        state.wrong = condition == "wrong"
        state.delay_ns = delay_ns if condition == "slow" else self._latency_ns.get(address, 0)

    @property
    def _backends(self) -> Backends:
        backends = self._cluster.backends
        if backends is None:
            raise RejectedError(
                "back-ends are simulated in the world sim only", self._cluster.world
            )
        return backends


def _compare(step: do.HttpRequest, what: str, found: IngressResponse) -> None:
    text = found.body.decode(errors="replace")
    if step.status is not None and found.status != step.status:
        shown = clipped(f"{what}: the status {found.status}, expected {step.status}: {text}")
        raise ExpectationError(shown)
    if step.reply is not None and found.body != step.reply.encode():
        raise ExpectationError(f"{what} answered {quoted(text)}, expected {quoted(step.reply)}")
    if step.reply_contains is not None and step.reply_contains not in text:
        raise ExpectationError(
            f"{what} answered {quoted(text)}, without {quoted(step.reply_contains)}"
        )
