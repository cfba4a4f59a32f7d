"""What ``proxy_cli`` asks a Redis, ε-ORCs or an ε-CON (spec 7.5).

Not here: how it is shown (`mirror_answers`, `mirror_dumps`, `top_tables`).
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import typer

from edgeless_sim.api.clients import ControllerClient
from edgeless_sim.api.messages import MirrorPart, WorkflowStatus
from edgeless_sim.cli.answers import Answer, show
from edgeless_sim.cli.asking import workflow_named
from edgeless_sim.cli.mirror_answers import (
    capabilities_answer,
    functions_answer,
    health_answer,
    instances_answer,
    physical_answer,
    providers_answer,
    resources_answer,
    workflows_answer,
)
from edgeless_sim.cli.mirror_dumps import (
    CSV_HEADER,
    component_files,
    csv_line,
    measurements,
    series_files,
    write_files,
)
from edgeless_sim.cli.mirror_intents import meant_component, meant_node
from edgeless_sim.cli.mirror_words import NodeForm, NodeNames, node_name
from edgeless_sim.cli.problems import complain
from edgeless_sim.cli.proxy_top import Screen, harmless, keep_showing
from edgeless_sim.cli.top_tables import nodes_answer, workflow_answer
from edgeless_sim.cluster.deployment_client import open_controller
from edgeless_sim.cluster.mirror_client import MirrorReader, merged_mirrors, open_wire_mirror
from edgeless_sim.cluster.settings import load_tls
from edgeless_sim.errors import UnknownComponentError, UnreachableError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.ids import LogicalId, NodeId, WorkflowId, parse_uuid
from edgeless_sim.model.intent import Cordon, Intent, Migrate, Uncordon
from edgeless_sim.model.mirror import DomainMirror

__all__ = ["ProxyAsking"]

#: Health from before that is no longer shown by ``top``.
_HEALTH_S: Final = 600.0
#: Of these samples of a node the last one is shown that is not damaged.
_HEALTH_MAX: Final = 3
#: What ``top workflow`` looks at.
_WINDOW_S: Final = 60.0
_NODES: Final = (MirrorPart.NODES,)
_COMPONENTS: Final = (MirrorPart.COMPONENTS,)
_PLACES: Final = (MirrorPart.NODES, MirrorPart.COMPONENTS)
#: What ``show`` shows: what is asked for, and what is made of it.
_SHOWN: Final[
    dict[str, tuple[tuple[MirrorPart, ...], Callable[[DomainMirror, NodeNames], Answer]]]
] = {
    "functions": (_PLACES, functions_answer),
    "resources": (_PLACES, resources_answer),
    "logical-to-physical": (_COMPONENTS, lambda mirror, _: physical_answer(mirror)),
    "logical-to-workflow": (_COMPONENTS, lambda mirror, _: workflows_answer(mirror)),
    "capabilities": (_NODES, capabilities_answer),
    "resource-providers": (_NODES, providers_answer),
    "health": (_NODES, health_answer),
    "instances": (_PLACES, instances_answer),
}


def _warn(text: str) -> None:
    complain(f"warning: {text}")


@dataclass(frozen=True, slots=True)
class ProxyAsking:
    """One call of the program."""

    redis_url: str
    orchestrator_urls: tuple[str, ...]
    """If there are any, they are asked instead of the Redis."""
    controller_url: str
    node_form: NodeForm | None
    timeout_s: float
    form: str | None
    quiet: bool = False
    warn: Callable[[str], None] = _warn

    def show(self, what: str) -> None:
        """Print what ``proxy_cli show`` shows under that name."""
        parts, answer = _SHOWN[what]

        async def main() -> None:
            mirror = await self._look(parts)
            form = self.node_form
            if form is None and what == "functions":
                # As in EDGELESS, whose program does not ask which form is wanted here.
                form = NodeForm.UUID
            names = NodeNames(mirror, form or NodeForm.HOSTNAME)
            show(harmless(answer(mirror, names)), self.form or "plain", quiet=self.quiet)

        run(main, world="real")

    def dump_performance(self, folder: Path, last_s: float | None) -> None:
        """Write a file for each series."""

        async def main() -> None:
            mirror = await self._look((MirrorPart.SERIES,), last_s)
            self._write(series_files(mirror), folder)

        run(main, world="real")

    def dump_instances(self, folder: Path) -> None:
        """Write a file for each function and resource."""

        async def main() -> None:
            self._write(component_files(await self._look(_COMPONENTS)), folder)

        run(main, world="real")

    def dump_performance_csv(self, last_s: float | None) -> None:
        """Print all measurements of what belongs to a workflow."""

        async def main() -> None:
            mirror = await self._look((MirrorPart.COMPONENTS, MirrorPart.SERIES), last_s)
            async with self._controller() as controller:
                with self._told():
                    names = await _component_names(controller)
            rows = measurements(mirror, names)
            if self.quiet:
                for logical_id in dict.fromkeys(row.lid for row in rows):
                    typer.echo(logical_id)
            elif self.form == "json":
                typer.echo(msgspec.json.encode([row._asdict() for row in rows]))
            else:
                typer.echo(",".join(CSV_HEADER))
                for row in rows:
                    typer.echo(csv_line(row))

        run(main, world="real")

    def top_nodes(self, *, once: bool, interval_s: float) -> None:
        """Show how nodes fare, again and again."""

        async def main() -> None:
            async with self._readers() as readers:

                async def look() -> Answer:
                    mirror = await _merged(readers, _NODES, _since(_HEALTH_S))
                    return nodes_answer(mirror, self._names(mirror))

                await self._keep_showing(look, once=once, interval_s=interval_s)

        run(main, world="real")

    def top_workflow(self, which: str, *, once: bool, interval_s: float) -> None:
        """Show how fast the components of a workflow are, again and again."""

        async def main() -> None:
            async with self._readers() as readers, self._controller() as controller:
                with self._told():
                    workflow_id = await _workflow_id(controller, which)

                async def look() -> Answer:
                    with self._told():
                        status = (await controller.inspect(workflow_id)).status
                    mirror = await _merged(readers, tuple(MirrorPart), _since(_WINDOW_S))
                    return workflow_answer(status.mapping, mirror, self._names(mirror))

                await self._keep_showing(look, once=once, interval_s=interval_s)

        run(main, world="real")

    def migrate(self, component: str, node: str) -> None:
        """Ask for a component to be moved to a node."""

        def intent(mirror: DomainMirror) -> Migrate:
            return Migrate(meant_component(component, mirror), (meant_node(node, mirror),))

        self._submit(intent, _PLACES)

    def cordon(self, node: str) -> None:
        """Ask for nothing new to be given to a node."""
        self._submit(lambda mirror: Cordon(meant_node(node, mirror)), _NODES)

    def uncordon(self, node: str) -> None:
        """Ask for the end of `cordon`."""
        self._submit(lambda mirror: Uncordon(meant_node(node, mirror)), _NODES)

    def node_names(self) -> list[str]:
        """How nodes are printed, and their ids."""
        nodes = run(lambda: self._look(_NODES), world="real").nodes
        form = self.node_form or NodeForm.HOSTNAME
        return [*(node_name(node, form) for node in nodes), *(str(each.node_id) for each in nodes)]

    def logical_ids(self) -> list[str]:
        """The ids of all functions and resources."""
        components = run(lambda: self._look(_COMPONENTS), world="real").components
        return [str(each.logical_id) for each in components]

    def workflow_names(self) -> list[str]:
        """Names and ids of workflows."""

        async def main() -> list[str]:
            async with self._controller() as controller:
                listed = await controller.list_workflows()
            names = [each.name for each in listed if each.name]
            return names + [str(each.workflow_id) for each in listed]

        return run(main, world="real")

    # -- how ------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _readers(self) -> AsyncGenerator[list[MirrorReader]]:
        """The Redis, or each ε-ORC."""
        async with contextlib.AsyncExitStack() as stack:
            readers: list[MirrorReader] = []
            tls = load_tls(Path())
            for url in self.orchestrator_urls:
                one = open_wire_mirror(url, tls=tls, timeout_s=self.timeout_s)
                readers.append(await stack.enter_async_context(one))
            if not readers:
                # Loaded only where it is used: it is half of the time to start.
                from edgeless_sim.orchestrator.redis_mirror import open_redis_mirror

                only = open_redis_mirror(
                    self.redis_url, warn=self.warn, timeout_s=self.timeout_s, health_max=_HEALTH_MAX
                )
                readers.append(await stack.enter_async_context(only))
            yield readers

    async def _look(self, parts: Sequence[MirrorPart], last_s: float | None = None) -> DomainMirror:
        async with self._readers() as readers:
            return await _merged(readers, parts, _since(last_s))

    @contextlib.asynccontextmanager
    async def _controller(self) -> AsyncGenerator[ControllerClient]:
        url = self.controller_url
        async with open_controller(
            url, tls=load_tls(Path()), timeout_s=self.timeout_s
        ) as controller:
            yield controller

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        """Say which ε-CON does not answer."""
        try:
            yield
        except UnreachableError as error:
            raise UnreachableError(
                f"no ε-CON answers at {self.controller_url} (--controller-url): {error}"
            ) from None

    def _submit(self, make: Callable[[DomainMirror], Intent], parts: Sequence[MirrorPart]) -> None:
        async def main() -> None:
            async with self._readers() as readers:
                mirrors = [await reader.mirror(parts=parts) for reader in readers]
                intent = make(merged_mirrors(mirrors))
                await _whose(intent, readers, mirrors).submit(intent)

        run(main, world="real")

    def _names(self, mirror: DomainMirror) -> NodeNames:
        return NodeNames(mirror, self.node_form or NodeForm.HOSTNAME)

    def _write(self, files: Iterator[tuple[str, str]], folder: Path) -> None:
        plain = self.form != "json" and not self.quiet

        def tell(name: str) -> None:
            if plain:
                typer.echo(f"saving to {folder / name}")

        written = [str(folder / name) for name in write_files(files, folder, tell)]
        if not plain:
            show(
                Answer((), [{"file": each} for each in written], written), "json", quiet=self.quiet
            )

    async def _keep_showing(
        self, look: Callable[[], Awaitable[Answer]], *, once: bool, interval_s: float
    ) -> None:
        screen = Screen.of_this_terminal(self.form, quiet=self.quiet)
        await keep_showing(look, screen, LoopClock.running(), once=once, interval_s=interval_s)


async def _merged(
    readers: Sequence[MirrorReader], parts: Sequence[MirrorPart], since_s: float = 0.0
) -> DomainMirror:
    """What all *readers* show, as one."""
    return merged_mirrors([await each.mirror(since_s=since_s, parts=parts) for each in readers])


def _since(last_s: float | None) -> float:
    """The calendar time *last_s* ago; the beginning, if it is None."""
    return 0.0 if last_s is None else LoopClock.running().utc().timestamp() - last_s


def _whose(
    intent: Intent, readers: Sequence[MirrorReader], mirrors: Sequence[DomainMirror]
) -> MirrorReader:
    """Who is to be told of *intent*: where its component or node is."""
    wanted = intent.component if isinstance(intent, Migrate) else intent.node
    for reader, mirror in zip(readers, mirrors, strict=True):
        known: set[NodeId | LogicalId] = {node.node_id for node in mirror.nodes}
        if isinstance(intent, Migrate):
            known = {each.logical_id for each in mirror.components}
        if wanted in known:
            return reader
    if len(readers) > 1:
        raise UnknownComponentError(f"no ε-ORC shows {wanted}")
    # It may be too new to be shown; the ε-ORC knows.
    _warn(f"{wanted} is not shown at present; the ε-ORC drops what it does not know")
    return readers[0]


async def _workflow_id(controller: ControllerClient, which: str) -> WorkflowId:
    try:
        return WorkflowId(parse_uuid(which.strip()))
    except ValueError:
        return workflow_named(await controller.list_workflows(), which.strip()).workflow_id


async def _component_names(controller: ControllerClient) -> dict[LogicalId, str]:
    """The names of all components of all workflows."""
    found: list[WorkflowStatus] = []
    for each in await controller.list_workflows():
        try:
            # EDGELESS's own ε-CON lists ids alone.
            found.append(
                each if each.mapping else (await controller.inspect(each.workflow_id)).status
            )
        except UnknownComponentError:
            continue  # It was stopped meanwhile.
    return {mapping.logical_id: mapping.name for each in found for mapping in each.mapping}
