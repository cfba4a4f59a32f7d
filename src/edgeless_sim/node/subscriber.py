"""Registers the node with its ε-ORC and refreshes the registration (spec 5.1).

A kernel timer and a callback, not a task: thousands of idle nodes refresh every second or two. The
encoded request is kept and sent again as it is while nothing has changed, which also lets the
ε-ORC recognise it without decoding.
"""

import logging
from collections.abc import Callable
from typing import Final

from edgeless_sim.api.messages import UpdateNodeRequest
from edgeless_sim.api.refresh import RefreshPort, read_answer
from edgeless_sim.api.services import UPDATE_NODE
from edgeless_sim.api.wire import Wire
from edgeless_sim.errors import RejectedError, UnreachableError
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.scheduler import Timer

__all__ = ["REFRESH_INTERVAL_S", "NodeSubscriber"]

#: Until the ε-ORC asks for another interval.
REFRESH_INTERVAL_S: Final = 2.0
_PROMPT_NS: Final = 50_000_000
#: Between attempts to register for the first time; doubled up to the interval. The order in which
#: components start is free, and nobody should wait for a whole interval because of it.
_FIRST_PAUSE_NS: Final = 100_000_000
_TIMEOUT_S: Final = 5.0
#: Refreshes without an answer yet. More than one: the loss of one must not delay the next by the
#: deadline of a call, in which the ε-ORC would give the node up.
_WAITING_MAX: Final = 8

_log = logging.getLogger(__name__)


class NodeSubscriber:
    """Tells the ε-ORC, again and again, who this node is and what it runs."""

    def __init__(
        self,
        context: ActorContext,
        wire: Wire,
        port: RefreshPort,
        describe: Callable[[float], UpdateNodeRequest],
        version: Callable[[], object],
        names: tuple[str, str] = ("", ""),
        *,
        interval_s: float = REFRESH_INTERVAL_S,
    ) -> None:
        """*describe* makes the request for a time to live in seconds; *version* changes with it.

        *interval_s* is how often the ε-ORC hears of this node until it asks for another interval.
        """
        self._context = context
        self._wire = wire
        self._port = port
        self._describe = describe
        self._version = version
        self._dice = context.entropy.stream(f"{context.name}/refresh")
        self._interval_s = interval_s
        self._timer: Timer | None = None
        self._next_ns = 0
        self._sent: tuple[object, float] | None = None
        self._payload = b""
        self._waiting = 0
        self._pause_ns = _FIRST_PAUSE_NS
        #: When the next refresh is due once the node is registered.
        self._due_ns = 0
        self._stopped = False
        self.registered = False
        self.refusal = ""
        #: For the log: what the node is called there, and where it registers.
        self._name, self._above = names

    def start(self) -> None:
        """Register now."""
        # In the foreground, so that a cluster is not settled before its nodes are registered.
        self._context.scheduler.foreground_soon(self._refresh)

    def unready_reason(self) -> str:
        """Why the ε-ORC does not count on this node; empty if it does."""
        if self.registered:
            return ""
        return self.refusal or f"not registered at {self._above} yet"

    def stop(self) -> None:
        """Refresh no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def prompt(self) -> None:
        """Something changed that the ε-ORC does not know from its own requests: tell it soon."""
        due_ns = self._context.scheduler.now_ns() + _PROMPT_NS
        if not self._stopped and self._timer is not None and self._next_ns > due_ns:
            self._set_timer(due_ns)

    def _refresh(self) -> None:
        if self._stopped:
            return
        self._timer = None
        jitter = 0.95 + 0.05 * self._dice.random()
        now_ns = self._context.scheduler.now_ns()
        interval_ns = round(self._interval_s * jitter * 1e9)
        self._due_ns = now_ns + interval_ns
        if self.registered:
            self._set_timer(self._due_ns)
        else:
            self._set_timer(now_ns + min(self._pause_ns, interval_ns))
            self._pause_ns *= 2
        if self._waiting >= _WAITING_MAX:
            return
        version = (self._version(), self._interval_s)
        if version != self._sent or not self._wire.repeatable:
            request = self._describe(2 * self._interval_s + 1)
            self._payload = self._wire.encode_request(UPDATE_NODE, request)
            self._sent = version
        self._waiting += 1
        self._port.call_nowait(UPDATE_NODE, self._payload, self._answered, timeout_s=_TIMEOUT_S)

    def _answered(self, answer: object) -> None:
        self._waiting -= 1
        if self._stopped:
            return
        try:
            reply = read_answer(self._wire, UPDATE_NODE, answer)
        except UnreachableError:
            return
        except RejectedError as error:
            self.registered = False
            self.refusal = str(error)
            self._sent = None
            # It was heard: saying it sooner than usual does not help.
            self._set_timer(self._due_ns)
            return
        if not self.registered:
            _log.info("this node '%s' registered to e-ORC '%s'", self._name, self._above)
            self._pause_ns = _FIRST_PAUSE_NS
            self._set_timer(self._due_ns)
        self.registered = True
        self.refusal = ""
        if reply.refresh_interval_s is not None and reply.refresh_interval_s != self._interval_s:
            self._interval_s = min(max(reply.refresh_interval_s, 0.05), 3600.0)
            self._set_timer(self._context.scheduler.now_ns() + round(self._interval_s * 1e9))

    def _set_timer(self, when_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next_ns = when_ns
        self._timer = self._context.scheduler.background_at(when_ns, self._refresh)
