"""Who is meant by a name: workflows, and their components as ``WORKFLOW/COMPONENT``."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final, TypeVar

from edgeless_sim.api.clients import ControllerClient
from edgeless_sim.api.messages import ComponentMapping, ComponentState
from edgeless_sim.cluster.handles import NodeHandle
from edgeless_sim.errors import UnknownComponentError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.model.ids import WorkflowId

__all__ = ["Directory", "named"]

T = TypeVar("T")

_POLL_S: Final = 0.05
#: Long enough for two refreshes of a domain.
_PLACED_POLLS: Final = 100


class Directory:
    """What an ε-CON knows by name. Methods raise `UnknownComponentError` for a typo."""

    def __init__(
        self, controller: ControllerClient, nodes: Mapping[str, NodeHandle], clock: LoopClock
    ) -> None:
        self._controller = controller
        self._nodes = nodes
        self._clock = clock

    async def workflow_id(self, name: str) -> WorkflowId:
        """The id of the workflow of that name or id."""
        workflows = await self._controller.list_workflows()
        for status in workflows:
            if name in (status.name, str(status.workflow_id)):
                return status.workflow_id
        raise UnknownComponentError("unknown workflow", _hint(name, [w.name for w in workflows]))

    async def component(self, component: str) -> ComponentMapping:
        """A component, with the workflow's name before it where the name alone is ambiguous."""
        workflow, _, name = component.rpartition("/")
        candidates = [
            (f"{status.name or status.workflow_id}/{mapping.name}", mapping)
            for status in await self._controller.list_workflows()
            if workflow in ("", status.name, str(status.workflow_id))
            for mapping in status.mapping
        ]
        matching = [(full, mapping) for full, mapping in candidates if mapping.name == name]
        if len(matching) > 1:
            names = ", ".join(full for full, _ in matching[:5])
            raise UnknownComponentError("ambiguous component", f"{component} may be {names}")
        if not matching:
            hint = _hint(component, [full for full, _ in candidates])
            raise UnknownComponentError("unknown component", hint)
        return matching[0][1]

    async def placed(self, component: str) -> ComponentMapping:
        """A component that has an instance on a node of ours.

        What the ε-CON knows of instances is as old as the last refresh of the domain: a component
        that runs and has no instance yet is waited for.
        """
        for _ in range(_PLACED_POLLS):
            found = await self.component(component)
            if found.instance is not None and found.node in self._nodes:
                return found
            if found.state is not ComponentState.RUNNING:
                break
            await self._clock.sleep(_POLL_S)
        detail = f"{component} is {found.state}: {found.reason}" if found.reason else component
        raise UnknownComponentError("the component has no instance", detail)


def named(name: str, known: dict[str, T], what: str) -> T:
    """What *known* has by that name; raise `UnknownComponentError` with the nearest."""
    found = known.get(name)
    if found is None:
        raise UnknownComponentError(f"unknown {what}", _hint(name, list(known)))
    return found


def _hint(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    nearest = f"; did you mean {close[0]!r}?" if close else ""
    return f"{name!r}{nearest} (there are: {', '.join(known[:10]) or 'none'})"
