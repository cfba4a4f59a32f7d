"""Does an expectation hold now? Asks the observer of the journal, or the cluster.

The answer always says what was found. An expectation that cannot be judged does not hold.
"""

from collections.abc import Mapping

from pydantic import BaseModel

from edgeless_sim.api.messages import ComponentState
from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import EdgelessError
from edgeless_sim.model.names import clipped
from edgeless_sim.scenario import expectations as expect
from edgeless_sim.scenario.observer import ComponentTrace, Observer
from edgeless_sim.scenario.outcome import Judgement
from edgeless_sim.scenario.units import duration_text
from edgeless_sim.scenario.workload_counts import WorkloadCounts
from edgeless_sim.scenario.world_judge import WORLDLY, WorldJudge, is_expected

__all__ = ["Judge", "one_line"]

_DURATION_KEYS = frozenset(
    {
        "after",
        "at",
        "delay",
        "every",
        "heal_after",
        "jitter",
        "latency",
        "p95_max",
        "restart_after",
        "timeout",
        "within",
    }
)
_SHOWN_MAX = 5


def one_line(table: BaseModel) -> str:
    """A step or an expectation as it stands in the file, on one line."""
    dump = table.model_dump(by_alias=True, exclude_defaults=True)
    head = dump.pop("what", None) or dump.pop("do", "")
    pairs = [
        f"{key}={duration_text(value) if key in _DURATION_KEYS else value!r}"
        for key, value in dump.items()
        if key != "at"
    ]
    return clipped(f"{head}({', '.join(pairs)})")


class Judge:
    """Judges expectations in one run."""

    def __init__(
        self,
        cluster: Cluster,
        observer: Observer,
        workloads: Mapping[str, WorkloadCounts],
        begun_ns: int = 0,
    ) -> None:
        """*begun_ns* is the cluster's time from which those of the scenario count."""
        self._begun_ns = begun_ns
        self._cluster = cluster
        self._observer = observer
        self._world = WorldJudge(cluster, observer, workloads)

    async def judge(self, expectation: expect.Expectation) -> Judgement:
        """Whether *expectation* holds now."""
        at_ns = self._cluster.clock.now_ns()
        await self._cluster.caught_up()
        try:
            holds, found = await self._answer(expectation)
        except EdgelessError as error:
            holds, found = False, str(error)
        return Judgement(one_line(expectation), holds, clipped(found), at_ns)

    async def _answer(self, expectation: expect.Expectation) -> tuple[bool, str]:
        match expectation:
            case expect.WorkflowRunning():
                return await self._workflow_running(expectation.workflow)
            case expect.WorkflowStopped():
                return await self._workflow_stopped(expectation.workflow)
            case expect.ComponentOn():
                return self._component_on(expectation)
            case expect.Moved():
                trace = self._observer.component(expectation.workflow, expectation.component)
                return len(trace.visited) > 1, f"ran on {' -> '.join(trace.visited) or 'no node'}"
            case expect.NoDuplicates():
                twice = self._observer.duplicates()
                return not twice, "; ".join(twice[:_SHOWN_MAX]) or "one instance each"
            case expect.AllComponentsRunning():
                return self._all_running(expectation)
            case _ if isinstance(expectation, WORLDLY):
                return self._world.answer(expectation)
            case _:
                return self._counted(expectation)

    def _counted(self, expectation: expect.Expectation) -> tuple[bool, str]:
        match expectation:
            case expect.EventsHandled():
                return self._events_handled(expectation)
            case expect.EventsWithin():
                return self._events_within(expectation)
            case expect.NoLosses():
                return self._losses(0, None)
            case expect.LossesMax():
                return self._losses(expectation.count, expectation.cause)
            case expect.LossesExplained():
                before_ns = self._cluster.clock.now_ns() - expectation.within
                count = self._observer.unexplained(before_ns)
                return count == 0, f"{count} events unaccounted for"
            case expect.FileContains():
                return self._file_contains(expectation)
            case _:
                raise AssertionError(expectation)

    async def _workflow_running(self, workflow: str) -> tuple[bool, str]:
        info = await self._cluster.inspect(workflow)
        bad = []
        for component in info.status.mapping:
            node = self._cluster.nodes.get(component.node)
            if component.state is not ComponentState.RUNNING:
                why = f" ({component.reason})" if component.reason else ""
                bad.append(f"{component.name} is {component.state.value}{why}")
            elif node is None or not node.alive:
                bad.append(f"{component.name} is on {component.node or 'no node'}, which is down")
        if not info.status.mapping:
            bad.append("no component is deployed")
        running = ", ".join(f"{x.name} on {x.node}" for x in info.status.mapping[:_SHOWN_MAX])
        return not bad, "; ".join(bad[:_SHOWN_MAX]) or running

    async def _workflow_stopped(self, workflow: str) -> tuple[bool, str]:
        left = [x.name for x in self._observer.components(workflow).values() if x.instances]
        for status in await self._cluster.controller.list_workflows():
            if status.name == workflow:
                return False, "the controller lists it"
        if left:
            return False, f"still there: {', '.join(left[:_SHOWN_MAX])}"
        return True, "gone"

    def _component_on(self, expectation: expect.ComponentOn) -> tuple[bool, str]:
        trace = self._observer.component(expectation.workflow, expectation.component)
        node = trace.node
        found = f"it runs on {node}" if node else "it runs nowhere"
        if not node or not self._observer.runs(trace):
            return False, found
        if expectation.not_node is not None:
            return node != expectation.not_node, found
        if expectation.domain is not None:
            return node.rpartition("/")[0] == expectation.domain, found
        return node == expectation.node, found

    def _events_handled(self, expectation: expect.EventsHandled) -> tuple[bool, str]:
        traces = self._observer.components(expectation.workflow)
        if expectation.component is None:
            count = sum(trace.handled for trace in traces.values())
        else:
            one = self._observer.component(expectation.workflow, expectation.component)
            count = one.handled
        return is_expected(count, expectation), f"{count} events"

    def _events_within(self, expectation: expect.EventsWithin) -> tuple[bool, str]:
        trace = self._observer.component(expectation.workflow, expectation.component)
        if not trace.handled:
            return False, "no event was handled"
        share = 1 - trace.slow[expectation.within] / trace.handled
        limit = duration_text(expectation.within)
        return share >= expectation.share, (
            f"{share:.2%} of {trace.handled} events took at most {limit}"
        )

    def _losses(self, count_max: int, cause: str | None) -> tuple[bool, str]:
        losses = self._observer.losses
        count = sum(losses.values()) if cause is None else losses[cause]
        causes = ", ".join(f"{key}: {n}" for key, n in losses.most_common(_SHOWN_MAX))
        return count <= count_max, f"{count} lost" + (f" ({causes})" if causes else "")

    def _file_contains(self, expectation: expect.FileContains) -> tuple[bool, str]:
        contents = [
            content
            for name, content in self._cluster.files().items()
            if _is_file(name, expectation)
        ]
        if not contents:
            return False, "there is no such file"
        lines = sum(content.count(b"\n") for content in contents)
        found = f"{lines} lines in {len(contents)} {'file' if len(contents) == 1 else 'files'}"
        if expectation.lines_min is not None and lines < expectation.lines_min:
            return False, found
        text = (expectation.text or "").encode()
        if not any(text in content for content in contents):
            return False, f"{found}, without the text"
        return True, found

    def _all_running(self, expectation: expect.AllComponentsRunning) -> tuple[bool, str]:
        missing, latest = [], 0
        for workflow, traces in self._observer.workflows(expectation.workflow):
            for name, trace in traces.items():
                if not self._observer.runs(trace):
                    missing.append(f"{workflow}/{name}{_last_seen(trace)}")
                latest = max(latest, trace.started_ns)
        if missing:
            return False, f"not running: {', '.join(missing[:_SHOWN_MAX])}"
        took = duration_text(max(0, latest - self._begun_ns - expectation.after))
        return True, f"the last one was started {took} after {duration_text(expectation.after)}"


def _last_seen(trace: ComponentTrace) -> str:
    return f" (last on {trace.visited[-1]})" if trace.visited else " (never started)"


def _is_file(name: str, expectation: expect.FileContains) -> bool:
    # Names of nodes have one slash, those of files may have more.
    domain, _, rest = name.partition("/")
    index, _, path = rest.partition("/")
    return path == expectation.file and expectation.node in (None, f"{domain}/{index}")
