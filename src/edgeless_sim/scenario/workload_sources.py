"""Sends what arrives, and counts what becomes of it: a timer per arrival, no task.

Open loops: nothing waits for an answer before the next one is sent, up to a bound. Not here: when
something arrives (`arrivals`), and whole workflows (`workload_workflows`).
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.kernel.scheduler import Scheduler, Timer
from edgeless_sim.model.event import CallReturn, CallReturnKind
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.scenario.arrivals import Arrival
from edgeless_sim.scenario.observer import Observer
from edgeless_sim.scenario.web_client import WebAnswer, WebClient
from edgeless_sim.scenario.workload_counts import OVERLOAD, TIMEOUT, WorkloadCounts
from edgeless_sim.scenario.workloads import EventWorkload, HttpWorkload, WorkloadTable

__all__ = ["EventSource", "HttpSource", "WorkloadSource"]

#: So long a place is believed in without a look at the journal.
_LOOK_NS: Final = 100_000_000
NO_INSTANCE: Final = "no instance"
SENT: Final = "sent"
_ENDS: Final = {
    CallReturnKind.REPLY: "reply",
    CallReturnKind.NO_REPLY: "no reply",
    CallReturnKind.ERR: "error",
}


class _Request:
    """One that was sent and waits."""

    __slots__ = ("counted", "planned_ns")

    def __init__(self, planned_ns: int, *, counted: bool) -> None:
        self.planned_ns = planned_ns
        self.counted = counted
        """Whether it came after the warm-up."""


class WorkloadSource(ABC):
    """One workload."""

    def __init__(
        self,
        table: WorkloadTable,
        arrivals: Iterator[Arrival],
        counts: WorkloadCounts,
        scheduler: Scheduler,
        begun_ns: int,
    ) -> None:
        """*begun_ns* is the cluster's time from which those of the scenario count."""
        self.counts = counts
        self.scheduler = scheduler
        self._arrivals = arrivals
        self._begun_ns = begun_ns + table.start
        self._counted_from_ns = self._begun_ns + table.warmup
        self._waiting_max = table.waiting_max
        self._earliest_ns = 0
        self._timer: Timer | None = None
        self._alarm: Timer | None = None
        self._number = 0
        self._open: dict[int, _Request] = {}
        #: The deadlines of those that wait, and of some that do not any more.
        self._deadlines: deque[tuple[int, int]] = deque()

    def begin(self) -> None:
        """Let things arrive from now on."""
        self._earliest_ns = self.scheduler.now_ns()
        self._next()

    def stop(self) -> None:
        """Let nothing more arrive, and wait for nothing."""
        for timer in (self._timer, self._alarm):
            if timer is not None:
                timer.cancel()
        self._timer = self._alarm = None
        self._open.clear()

    @abstractmethod
    def issue(self, number: int, arrival: Arrival) -> None:
        """Send one, and call `settle` when it is known what became of it."""

    def settle(self, number: int, answer: str, *, has_answer: bool = True) -> None:
        """Count what became of *number*, unless it was given up."""
        request = self._open.pop(number, None)
        if request is not None and request.counted:
            if has_answer:
                took_ns = self.scheduler.now_ns() - request.planned_ns
                self.counts.answered(answer, took_ns)
            else:
                self.counts.failed(answer)

    def give_up_at(self, deadline_ns: int, number: int) -> None:
        """Wait for *number* until then. Deadlines must not go back."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self._open:
            deadlines.popleft()
        deadlines.append((deadline_ns, number))
        if self._alarm is None:
            self._alarm = self.scheduler.timer_at(deadlines[0][0], self._ring)

    def given_up(self, number: int) -> None:  # noqa: B027 - there may be nothing to give back
        """*number* is not waited for any more."""

    def _next(self) -> None:
        arrival = next(self._arrivals, None)
        self._timer = None
        if arrival is not None:
            when_ns = self._begun_ns + arrival.at_ns
            self._timer = self.scheduler.timer_at(when_ns, self._arrive, arrival)

    def _arrive(self, arrival: Arrival) -> None:
        number = self._number
        self._number += 1
        planned_ns = self._begun_ns + arrival.at_ns
        counted = planned_ns >= self._counted_from_ns
        self.counts.requested += counted
        if len(self._open) < self._waiting_max:
            planned_ns = max(planned_ns, self._earliest_ns)
            self._open[number] = _Request(planned_ns, counted=counted)
            self.issue(number, arrival)
        elif counted:
            self.counts.failed(OVERLOAD)
        self._next()

    def _ring(self) -> None:
        self._alarm = None
        now_ns = self.scheduler.now_ns()
        deadlines = self._deadlines
        while deadlines:
            deadline_ns, number = deadlines[0]
            if number in self._open:
                if deadline_ns > now_ns:
                    self._alarm = self.scheduler.timer_at(deadline_ns, self._ring)
                    return
                self.settle(number, TIMEOUT, has_answer=False)
                self.given_up(number)
            deadlines.popleft()


class HttpSource(WorkloadSource):
    """Requests to an ingress."""

    def __init__(
        self,
        table: HttpWorkload,
        arrivals: Iterator[Arrival],
        counts: WorkloadCounts,
        scheduler: Scheduler,
        begun_ns: int,
        *,
        client: WebClient,
    ) -> None:
        super().__init__(table, arrivals, counts, scheduler, begun_ns)
        self._timeout_ns = table.timeout
        self._way = client.way(table.request(), table.node)

    def issue(self, number: int, arrival: Arrival) -> None:  # noqa: ARG002 - all are alike
        """See `WorkloadSource.issue`."""
        self.give_up_at(self.scheduler.now_ns() + self._timeout_ns, number)
        self._way.ask_soon(partial(self._answered, number), self._timeout_ns / 1e9)

    def _answered(self, number: int, answer: WebAnswer) -> None:
        if isinstance(answer, str):
            self.settle(number, answer, has_answer=False)
        else:
            self.settle(number, str(answer.status))


class EventSource(WorkloadSource):
    """Events to a component, wherever the journal says that it is."""

    def __init__(
        self,
        table: EventWorkload,
        arrivals: Iterator[Arrival],
        counts: WorkloadCounts,
        cluster: Cluster,
        begun_ns: int,
        *,
        observer: Observer,
    ) -> None:
        super().__init__(table, arrivals, counts, cluster.scheduler, begun_ns)
        self._table = table
        self._cluster = cluster
        self._observer = observer
        self._component = tuple(table.to.split("/", 1))
        self._target: tuple[InstanceId, str] | None = None
        self._looked_ns = -_LOOK_NS
        self._streams: dict[int, int] = {}

    def issue(self, number: int, arrival: Arrival) -> None:  # noqa: ARG002 - all are alike
        """See `WorkloadSource.issue`."""
        target = self._located()
        client, payload = self._cluster.client, self._table.payload
        if target is None:
            self.settle(number, NO_INSTANCE, has_answer=False)
            return
        client.found(self._component, *target)
        if not self._table.call:
            client.cast(*target, payload)
            self.settle(number, SENT, has_answer=False)
        else:
            self.give_up_at(self.scheduler.now_ns() + self._table.timeout, number)
            answer: Callable[[CallReturn], None] = partial(self._ended, number)
            self._streams[number] = client.call_nowait(*target, payload, answer)

    def given_up(self, number: int) -> None:
        """See `WorkloadSource.given_up`."""
        self._cluster.client.abort(self._streams.pop(number, 0))

    def _ended(self, number: int, result: CallReturn) -> None:
        self._streams.pop(number, None)
        failed = result.kind is CallReturnKind.ERR
        if failed:
            # It may have moved.
            self._target = None
        self.settle(number, _ENDS[result.kind], has_answer=not failed)

    def _located(self) -> tuple[InstanceId, str] | None:
        """The instance and the URL of its node.

        The journal is flushed before the observer is asked: whoever else flushes it, and when, must
        not matter.
        """
        now_ns = self.scheduler.now_ns()
        if self._target is None or now_ns - self._looked_ns >= _LOOK_NS:
            self._looked_ns = now_ns
            self._cluster.journal.flush()
            found = self._observer.instance(*self._component)
            self._target = None if found is None else (found[0], self._cluster.nodes[found[1]].url)
        return self._target
