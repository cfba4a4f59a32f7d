"""Who is there in a run: nodes, workflows, components, instances, as `live` keeps them.

What is gone is forgotten, so that memory grows with what lives and not with time. Not here: reading
the journal.
"""

from collections.abc import Iterator
from typing import Final

from edgeless_sim.report.window import Counted

__all__ = [
    "DEGRADED",
    "ORPHAN",
    "PENDING",
    "RUNNING",
    "Component",
    "Instance",
    "Node",
    "Scene",
    "Workflow",
]

#: Instances that are gone and may still lose events.
_GONE_MAX: Final = 10_000
DEGRADED: Final = "degraded"
ORPHAN: Final = "orphan"
PENDING: Final = "pending"
RUNNING: Final = "running"


class Node(Counted):
    """A node and what it counts."""

    __slots__ = ("cordoned", "domain", "drops", "hosted", "name", "queue", "state")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.domain = name.rpartition("/")[0]
        self.state = "joining"
        self.cordoned = False
        self.queue = 0
        self.drops = 0
        #: The instances that live on it, by number.
        self.hosted: dict[int, Instance] = {}

    @property
    def shown_state(self) -> str:
        """Its state; a node that is alive and gets nothing new is ``cordoned``."""
        return "cordoned" if self.cordoned and self.state == "alive" else self.state


class Component(Counted):
    """A component of a workflow."""

    __slots__ = ("domain", "live", "name", "node", "number", "reason", "state", "workflow")

    def __init__(self, number: int, name: str, workflow: "Workflow") -> None:
        super().__init__()
        self.number = number
        self.name = name
        self.workflow = workflow
        #: Instances that live, by number.
        self.live: dict[int, Instance] = {}
        self.state = PENDING
        self.reason = ""
        #: Where it was, or is to be.
        self.node = ""
        self.domain = ""

    def is_now(self, state: str, reason: str = "") -> None:
        """It is in another state."""
        self.state, self.reason = state, reason

    def look(self) -> None:
        """It runs if an instance lives that has not failed."""
        working = [each for each in self.live.values() if not each.broken]
        if working:
            self.node = working[-1].node.name
            self.is_now(RUNNING)


class Workflow:
    """A workflow."""

    __slots__ = (
        "_given",
        "_given_ns",
        "components",
        "deployed",
        "ended",
        "identifier",
        "number",
        "orphan",
        "title",
    )

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier
        #: What people call it.
        self.title = identifier
        self.number: int | None = None
        self.components: dict[str, Component] = {}
        #: Why it has no domain; None if it has one.
        self.orphan: str | None = None
        self.ended = False
        #: The names of what belongs to it as it is deployed now; empty if that is not known.
        self.deployed: dict[str, None] = {}
        self._given: dict[str, None] = {}
        self._given_ns = -1

    @property
    def domain(self) -> str:
        """Where its components are; empty for an orphan."""
        if self.orphan is not None:
            return ""
        return ", ".join(sorted({each.domain for each in self.components.values()} - {""}))

    def give(self, component: str, now_ns: int) -> None:
        """The ε-CON gives a component to a domain; all components of one attempt at once."""
        if now_ns != self._given_ns:
            self._given, self._given_ns = {}, now_ns
        self._given[component] = None

    def deploy(self) -> None:
        """The last attempt was successful."""
        self.deployed = self._given

    def state(self) -> tuple[str, str]:
        """The worst state of its components, and why."""
        if self.orphan is not None:
            return ORPHAN, self.orphan
        for worst in (DEGRADED, PENDING):
            for each in self.components.values():
                if each.state == worst:
                    return worst, f"{each.name}: {each.reason}" if each.reason else each.name
        return RUNNING, ""


class Instance:
    """An instance of a component."""

    __slots__ = ("broken", "component", "node", "number")

    def __init__(self, number: int, component: Component, node: Node) -> None:
        self.number = number
        self.component = component
        self.node = node
        self.broken = False


class Scene:
    """All of them, by their numbers in the journal."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.workflows: dict[str, Workflow] = {}
        self.node_numbers: dict[int, Node] = {}
        self.domain_numbers: dict[int, str] = {}
        self.workflow_numbers: dict[int, str] = {}
        self.components: dict[int, Component] = {}
        #: Those that live, and some that are gone.
        self.instances: dict[int, Instance] = {}
        self._gone: dict[int, None] = {}

    def define(self, number: int, what: str, name: str) -> None:
        """Take a ``def`` record."""
        if what == "node":
            self.node_numbers[number] = self.node(name)
        elif what == "domain":
            self.domain_numbers[number] = name
        elif what == "workflow":
            self.workflow_numbers[number] = name
            self.workflow(name).number = number
        elif what == "component":
            identifier, _, component = name.partition("/")
            workflow = self.workflow(identifier)
            made = Component(number, component, workflow)
            self.components[number] = workflow.components[component] = made

    def node(self, name: str) -> Node:
        """The node of that name, which is new perhaps."""
        found = self.nodes.get(name)
        if found is None:
            found = self.nodes[name] = Node(name)
        return found

    def workflow(self, identifier: str) -> Workflow:
        """The workflow with that id, which is new perhaps; until it has a name, the id is one."""
        found = self.workflows.get(identifier)
        if found is None:
            found = self.workflows[identifier] = Workflow(identifier)
        return found

    def started(self, number: int, component_number: int, node_number: int) -> None:
        """An instance lives."""
        component = self.components.get(component_number)
        node = self.node_numbers.get(node_number)
        if component is None or node is None:
            return
        instance = Instance(number, component, node)
        self.instances[number] = component.live[number] = node.hosted[number] = instance
        self._gone.pop(number, None)
        component.look()

    def stopped(self, number: int) -> None:
        """An instance is gone, because somebody wanted it to."""
        instance = self.instances.get(number)
        if instance is not None:
            self._bury(instance)
            instance.component.look()
            self._forget_if_replaced(instance.component)
            self._forget_if_over(instance.component.workflow)

    def broke(self, number: int, reason: str) -> None:
        """An instance has failed; perhaps it is to be restarted."""
        instance = self.instances.get(number)
        if instance is not None:
            instance.broken = True
            instance.component.is_now(DEGRADED, reason)
            instance.component.look()

    def mended(self, number: int) -> None:
        """An instance that had failed runs again."""
        instance = self.instances.get(number)
        if instance is not None:
            instance.broken = False
            instance.component.look()

    def died(self, node: Node, state: str) -> None:
        """A node is down, and all of its instances with it."""
        node.state = state
        for instance in list(node.hosted.values()):
            self._bury(instance)
            component = instance.component
            component.is_now(DEGRADED, f"{node.name} {state}")
            component.look()
            self._forget_if_over(component.workflow)

    def deployed(self, workflow: Workflow) -> None:
        """All components have a domain. What joins domains has other names than last time."""
        workflow.deploy()
        for component in list(workflow.components.values()):
            self._forget_if_replaced(component)

    def ended(self, identifier: str) -> None:
        """A workflow was stopped or refused; it is forgotten when nothing of it runs any more."""
        workflow = self.workflows.get(identifier)
        if workflow is not None:
            workflow.ended = True
            self._forget_if_over(workflow)

    def present(self) -> Iterator[Workflow]:
        """The workflows that somebody wants to run."""
        return (each for each in self.workflows.values() if not each.ended)

    def _bury(self, instance: Instance) -> None:
        number = instance.number
        instance.node.hosted.pop(number, None)
        instance.component.live.pop(number, None)
        self._gone[number] = None
        if len(self._gone) > _GONE_MAX:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            self.instances.pop(oldest, None)

    def _forget_if_replaced(self, component: Component) -> None:
        """Its name is not among those of its workflow as it is deployed now."""
        workflow = component.workflow
        if workflow.deployed and component.name not in workflow.deployed and not component.live:
            workflow.components.pop(component.name, None)
            self.components.pop(component.number, None)

    def _forget_if_over(self, workflow: Workflow) -> None:
        if not workflow.ended or any(each.live for each in workflow.components.values()):
            return
        self.workflows.pop(workflow.identifier, None)
        if workflow.number is not None:
            self.workflow_numbers.pop(workflow.number, None)
        for each in workflow.components.values():
            self.components.pop(each.number, None)
