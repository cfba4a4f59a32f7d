"""All components of a folder of files in one process: one loop, one supervisor, one stop signal.

Each has a context, an endpoint and a journal of its own, as in a process of its own. Not here: what
a component does (`component`), and the folder's first files (`settings.inabox`).
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

import anyio

from edgeless_sim.cluster.component import OnStop, start_component
from edgeless_sim.cluster.component_files import FILES, load_component
from edgeless_sim.cluster.component_settings import (
    BalancerComponent,
    ComponentSettings,
    NodeComponent,
)
from edgeless_sim.cluster.lifeline import StopSignal
from edgeless_sim.cluster.services import naming_places, place_of, services_of
from edgeless_sim.cluster.settings.urls import Endpoint, endpoint_of
from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.journal import JournalReader
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.names import clipped
from edgeless_sim.model.toml_places import TomlPath

__all__ = ["COMPONENTS_MAX", "BoxedComponent", "find_components", "run_box"]

#: Most files that one process is started from.
COMPONENTS_MAX: Final = 128
#: For the stop hooks of all functions; what is not done by then is cut short.
_NODES_STOP_S: Final = 8.0
_FAULTS_SHOWN: Final = 5
_NODE_FILES: Final = "node*.toml"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BoxedComponent:
    """A component, and the file that it was read from."""

    path: Path
    settings: ComponentSettings

    @property
    def label(self) -> str:
        """What its log lines carry: ``controller``, ``node0``."""
        return self.path.stem

    @property
    def is_node(self) -> bool:
        """Whether it is a node, or two, as a balancer is."""
        return isinstance(self.settings, NodeComponent | BalancerComponent)


def find_components(folder: Path) -> list[BoxedComponent]:
    """Whatever has a file in *folder*: the ε-CON first, then the ε-ORC, the ε-BAL, nodes by
    number.

    Raise `SettingsError` if there is nothing, if a file is wrong, or if two of them want the same.
    """
    if not folder.is_dir():
        found = "it is no folder" if folder.exists() else "there is no such folder"
        raise SettingsError(clipped(f"{folder}: {found}"))
    kinds = [(kind, folder / FILES[kind]) for kind in ("con", "orc", "bal")]
    kinds = [(kind, path) for kind, path in kinds if path.exists()]
    kinds += [("node", path) for path in sorted(folder.glob(_NODE_FILES), key=_by_number)]
    if not kinds:
        raise SettingsError(
            f"{folder}: there is no controller.toml, orchestrator.toml, balancer.toml or "
            f"{_NODE_FILES}; edgeless_inabox -t writes them"
        )
    if len(kinds) > COMPONENTS_MAX:
        raise SettingsError(f"{folder}: {len(kinds)} files, at most {COMPONENTS_MAX}")
    components = [BoxedComponent(path, load_component(kind, path)) for kind, path in kinds]
    faults = list(islice(chain(_twins(components), _collisions(components)), _FAULTS_SHOWN))
    if faults:
        raise SettingsError("\n".join(clipped(fault) for fault in faults))
    return components


def run_box(
    components: Sequence[BoxedComponent],
    *,
    log_of: Callable[[BoxedComponent], logging.Logger],
    reader_of: Callable[[BoxedComponent], JournalReader],
    on_ready: Callable[[], None],
) -> None:
    """Run *components* until the process is told to stop: nodes first, the ε-CON last.

    *reader_of* gives the reader of a component's journal. Raise `EdgelessError` if one cannot
    begin, of which the message names file and key if its address is taken.
    """

    async def main() -> None:
        async with Supervisor.open() as supervisor:
            stop = StopSignal()
            nodes = _Nodes()

            async def start(each: BoxedComponent, on_stop: OnStop) -> None:
                with naming_places(each.settings, each.path):
                    await start_component(
                        each.settings,
                        supervisor.spawn,
                        on_stop,
                        log=log_of(each),
                        reader=reader_of(each),
                    )

            for each in (one for one in components if not one.is_node):
                await start(each, supervisor.on_stop)
            # Last registered, first stopped.
            supervisor.on_stop("nodes", nodes.stop)
            for each in (one for one in components if one.is_node):
                await start(each, nodes.next())
            on_ready()
            await stop.wait()

    run(main, world="real")


class _Nodes:
    """How to stop each node; all stop at the same time, for each waits for stop hooks."""

    def __init__(self) -> None:
        self._endings: list[list[Callable[[], Awaitable[None]]]] = []

    def next(self) -> OnStop:
        """What the next node tells how to end it; see `start_component`."""
        ending: list[Callable[[], Awaitable[None]]] = []
        self._endings.append(ending)
        return lambda _, stop: ending.append(stop)

    async def stop(self) -> None:
        """Stop all, within a time; the first error leaves when all have stopped."""
        results: Sequence[BaseException | None] = ()
        with anyio.move_on_after(_NODES_STOP_S) as scope:
            results = await asyncio.gather(
                *(_ended(ending) for ending in self._endings), return_exceptions=True
            )
        if scope.cancelled_caught:
            _log.error("stop hooks of functions took more than %g s, and were cut", _NODES_STOP_S)
        for error in results:
            if error is not None:
                raise error


async def _ended(stops: Sequence[Callable[[], Awaitable[None]]]) -> None:
    for stop in reversed(stops):
        await stop()


def _by_number(path: Path) -> tuple[int, str]:
    number = re.search(r"[0-9]{1,9}", path.stem)
    return (int(number[0]) if number else -1), path.name


def _collisions(components: Sequence[BoxedComponent]) -> Iterator[str]:
    """Addresses that two files want; within one file that has been found out already."""
    bound: list[tuple[BoxedComponent, TomlPath, Endpoint]] = []
    for each in components:
        for key, url in services_of(each.settings).items():
            endpoint = endpoint_of(url)
            for other, other_key, taken in bound:
                if other is not each and endpoint.collides(taken):
                    place = place_of(each.path, key)
                    yield f"{place}: {url} is taken by {place_of(other.path, other_key)}"
            bound.append((each, key, endpoint))


def _twins(components: Sequence[BoxedComponent]) -> Iterator[str]:
    """Two files of one name, or two nodes of one id."""
    known: dict[str, BoxedComponent] = {}
    for each in components:
        for what, key in _identities(each.settings):
            first = known.setdefault(what, each)
            if first is not each:
                yield f"{place_of(each.path, key)}: {what} is that of {first.path}, too"


def _identities(settings: ComponentSettings) -> Iterator[tuple[str, TomlPath]]:
    yield f"the name {settings.name!r}", ("edgeless_sim", "name")
    if isinstance(settings, NodeComponent):
        yield f"the id {settings.node_id}", ("general", "node_id")
    elif isinstance(settings, BalancerComponent):
        yield f"the id {settings.local.node_id}", ("local", "node_id")
        yield f"the id {settings.portal.node_id}", ("portal", "node_id")
