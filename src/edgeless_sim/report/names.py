"""The names behind the numbers of a journal."""

__all__ = ["Names"]


class Names:
    """Filled from ``def`` and ``start`` records; unknown numbers have empty names."""

    def __init__(self) -> None:
        self._nodes: dict[int, str] = {}
        self._workflow_ids: dict[int, str] = {}
        self._components: dict[int, tuple[str, str]] = {}
        self._titles: dict[str, str] = {}

    def define(self, number: int, what: str, name: str) -> None:
        """Take a ``def`` record."""
        if what == "node":
            self._nodes[number] = name
        elif what == "workflow":
            self._workflow_ids[number] = name
        elif what == "component":
            workflow, _, component = name.partition("/")
            self._components[number] = workflow, component

    def name_workflow(self, number: int, name: str) -> None:
        """The workflow with that number is called *name* by people."""
        self._titles[self._workflow_ids.get(number, "")] = name

    def placed(self, component: int, place: int, reason: str) -> None:
        """Take a ``place`` record: the ε-CON's say what people call the workflow.

        They come before anything runs, and so before `name_workflow`.
        """
        workflow, name = self._components.get(component, ("", ""))
        title, found, _ = reason.partition(f"/{name}: ")
        if found and workflow and place not in self._nodes:
            self._titles.setdefault(workflow, title)

    def node(self, number: int) -> str:
        """The name of a node."""
        return self._nodes.get(number, "")

    def component_of(self, number: int) -> str:
        """The name of a component within its workflow."""
        return self._components.get(number, ("", ""))[1]

    def workflow_of(self, number: int) -> str:
        """The name, or else the id, of a component's workflow."""
        workflow = self._components.get(number, ("", ""))[0]
        return self._titles.get(workflow, workflow)
