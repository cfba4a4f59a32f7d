"""A topology as files of a real deployment: a folder per host, a folder with a TOML file per
component in it, and a script that starts them.

The ε-CON is on the first host, each ε-ORC and each node on the next one in turn. Not here: the
network between hosts, which a deployment has by nature.
"""

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from shutil import copyfile
from typing import Final

from edgeless_sim.cluster.addresses import CONTROLLER, node_location, orchestrator_location
from edgeless_sim.cluster.component_files import FILES, KINDS, write_component
from edgeless_sim.cluster.component_settings import ComponentSettings, NodeComponent
from edgeless_sim.cluster.deployment_plan import (
    balancer_component,
    balancer_node_ids,
    controller_component,
    node_component,
    node_ids,
    nodes_of,
    orchestrator_component,
)
from edgeless_sim.cluster.settings.controller import PERSISTENCE_FILENAME
from edgeless_sim.cluster.topology import Topology
from edgeless_sim.errors import RejectedError, ResourceError, SettingsError
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.model.names import quoted
from edgeless_sim.resources.pushed_files import file_names

__all__ = ["FIRST_PORT", "START_SCRIPT", "export_topology"]

#: The guide's port of the ε-CON; on each host the components take it and those behind it.
FIRST_PORT: Final = 7001
START_SCRIPT: Final = "start.sh"
_PYTHON_FOLDER: Final = "python"
_PUSHED_FOLDER: Final = "file-pusher"
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,39}")
_PORT_MAX: Final = 65_535


def export_topology(
    topology: Topology,
    hosts: Sequence[str],
    folder: Path,
    *,
    scheme: str = "http",
    seed: int = 0,
    first_port: int = FIRST_PORT,
) -> list[Path]:
    """Write a deployment of *topology* on *hosts* into *folder*; return the start scripts.

    Raises `SettingsError` for a host that is none, `RejectedError` if the folder is there and
    not empty, `ResourceError` if it cannot be written. Node ids come from *seed*.
    """
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise SettingsError(f"{quoted(host)} is no name or address of a host")
    if not hosts:
        raise SettingsError("a deployment needs at least one host")
    urls, homes = _placed(topology, list(dict.fromkeys(hosts)), scheme, first_port)
    scripts: dict[str, list[str]] = defaultdict(list)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RejectedError("the folder is not empty", str(folder))
        for location, settings in _components(topology, urls, seed):
            place = location.replace("/", "-")
            home = folder / homes[location] / place
            home.mkdir(parents=True)
            if isinstance(settings, NodeComponent):
                settings = _with_files(topology, settings, home)
            write_component(settings, home)
            scripts[homes[location]].append(_start(place, KINDS[type(settings)]))
        return [_script(folder / host, lines) for host, lines in scripts.items()]
    except OSError as error:
        raise ResourceError(f"{error.filename or folder}: {error.strerror}") from None


def _placed(
    topology: Topology, hosts: list[str], scheme: str, first_port: int
) -> tuple[dict[str, str], dict[str, str]]:
    """URL and host of each location."""
    ports = dict.fromkeys(hosts, first_port)
    urls: dict[str, str] = {}
    homes: dict[str, str] = {}

    def place(location: str, host: str) -> None:
        port = ports[host]
        if port > _PORT_MAX:
            raise SettingsError(f"{host} has no port left above {first_port}")
        ports[host] = port + 1
        urls[location] = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        homes[location] = host

    place(CONTROLLER, hosts[0])
    for turn, domain in zip(cycle(hosts), topology.domains, strict=False):
        place(orchestrator_location(domain.name), turn)
    nodes = (name for domain in topology.domains for name, _ in nodes_of(domain))
    for turn, name in zip(cycle(hosts), nodes, strict=False):
        place(node_location(name), turn)
    for turn, balancer in zip(cycle(hosts), topology.balancers, strict=False):
        for name in (balancer.local_node, balancer.portal_node):
            place(node_location(name), turn)
        homes[balancer.name] = turn
    return urls, homes


def _components(
    topology: Topology, urls: dict[str, str], seed: int
) -> Iterator[tuple[str, ComponentSettings]]:
    """All components, those first that others wait for. Their dice are their own."""
    url_of = urls.__getitem__
    controller = controller_component(url_of, None)
    yield CONTROLLER, replace(controller, persistence_filename=PERSISTENCE_FILENAME)
    entropy = Entropy(seed)
    for domain in topology.domains:
        yield orchestrator_location(domain.name), orchestrator_component(domain, url_of, None)
        ids = node_ids(domain, entropy)
        for (name, group), node_id in zip(nodes_of(domain), ids, strict=False):
            settings = node_component(
                name,
                node_id,
                group,
                topology=replace(topology, module_cache=None),
                url_of=url_of,
                seed=None,
                folder=Path(),
            )
            folders = (Path(_PYTHON_FOLDER),) if settings.python_folders else ()
            yield node_location(name), replace(settings, python_folders=folders)
    for balancer in topology.balancers:
        both = balancer_node_ids(balancer, entropy)
        yield (
            balancer.name,
            balancer_component(balancer, both, topology=topology, url_of=url_of, seed=None),
        )


def _start(place: str, kind: str) -> str:
    command = f"exec python -m edgeless_sim component {kind} {FILES[kind]}"
    return f'(cd {shlex.quote(place)} && {command}) & pids="$pids $!"'


def _with_files(topology: Topology, settings: NodeComponent, home: Path) -> NodeComponent:
    """*settings* with what a node takes from its own disk in *home*."""
    if settings.python_folders:
        _copy_python(topology, home)
    pushed = settings.file_pusher_directory
    if pushed is None:
        return settings
    target = home / _PUSHED_FOLDER
    target.mkdir()
    for file in map(os.fsdecode, file_names(pushed)):
        copyfile(pushed / file, target / file)
    return replace(settings, file_pusher_directory=Path(_PUSHED_FOLDER))


def _copy_python(topology: Topology, home: Path) -> None:
    for folder in topology.python_folders:
        for source in sorted(folder.glob("*.py")):
            target = home / _PYTHON_FOLDER / source.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(source.read_bytes())


def _script(folder: Path, lines: Sequence[str]) -> Path:
    """A script that starts everything of one host, and stops it with itself."""
    script = folder / START_SCRIPT
    text = [
        "#!/bin/sh",
        "# Starts the components of this host; Ctrl-C, or a SIGTERM to this script, stops them.",
        'cd "$(dirname "$0")" || exit 1',
        "pids=",
        *lines,
        "trap 'kill $pids 2>/dev/null' INT TERM",
        "wait",
        "wait",
    ]
    script.write_text("\n".join(text) + "\n", encoding="utf-8")
    script.chmod(0o755)
    return script
