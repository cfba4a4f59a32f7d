"""``edgeless_inabox``: a whole deployment in one process, or its files (spec 8.7, 9.1)."""

import logging
import socket
from pathlib import Path
from secrets import randbits
from uuid import UUID

import psutil
import typer

from edgeless_sim.cli.logs import console_reader
from edgeless_sim.cli.problems import complain
from edgeless_sim.cluster.box import BoxedComponent, find_components, run_box
from edgeless_sim.cluster.component_settings import ControllerComponent
from edgeless_sim.cluster.settings.inabox import BoxAddress, inabox_templates, initial_port_max
from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.kernel.journal import JournalReader
from edgeless_sim.model.ids import NodeId
from edgeless_sim.model.names import clipped
from edgeless_sim.node.capabilities import detected_capabilities

__all__ = ["run_inabox", "write_templates"]


def write_templates(folder: Path, nodes: int, initial_port: int, *, everywhere: bool) -> None:
    """Write the files of a deployment into *folder*; those that are there stay, with a warning.

    Raise `BadParameter` if there are not enough ports, `SettingsError` if *folder* is a file,
    `RejectedError` if others are to reach this machine and it has no address, `OSError` if a file
    cannot be written.
    """
    port_max = initial_port_max(nodes)
    if initial_port > port_max:
        raise typer.BadParameter(
            f"{nodes} nodes need {65_536 - port_max} ports: --initial-port is {port_max} at most"
        )
    if folder.exists() and not folder.is_dir():
        raise SettingsError(clipped(f"{folder}: it is no folder"))
    address = BoxAddress()
    if everywhere:
        address = BoxAddress("0.0.0.0", _own_address())  # noqa: S104 - it was asked for
    texts = inabox_templates(
        [NodeId(UUID(int=randbits(128), version=4)) for _ in range(nodes)],
        detected_capabilities(),
        hostname=socket.gethostname(),
        initial_port=initial_port,
        address=address,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        try:
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            complain(f"warning: {folder / name} is there already, and stays as it is")
    others = sorted(path.name for path in folder.glob("node*.toml") if path.name not in texts)
    if others:
        complain(
            f"warning: {folder} has other nodes, too, which would be started: {', '.join(others)}"
        )


def run_inabox(folder: Path) -> None:
    """Run whatever has a file in *folder* until told to stop; raise as `find_components` and
    `run_box`."""
    components = find_components(folder)
    root = logging.getLogger("edgeless_sim")

    def log_of(component: BoxedComponent) -> logging.Logger:
        return root.getChild(component.label)

    def reader_of(component: BoxedComponent) -> JournalReader:
        return console_reader(log_of(component), component.settings.said_level)

    run_box(
        components,
        log_of=log_of,
        reader_of=reader_of,
        on_ready=lambda: typer.echo(_summary(components)),
    )


def _summary(components: list[BoxedComponent]) -> str:
    names = ", ".join(component.label for component in components)
    urls = [x.settings.url for x in components if isinstance(x.settings, ControllerComponent)]
    where = f"; workflows are started at {urls[0]}" if urls else ""
    return f"ready: {names}{where}; Ctrl-C stops"


def _own_address() -> str:
    """The first IPv4 address of this machine by which others can reach it."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if name in up and each.family is socket.AF_INET and not _stays_here(each.address):
                return str(each.address)
    raise RejectedError("this machine has no IPv4 address but loopback; leave -b out")


def _stays_here(address: str) -> bool:
    return address.startswith(("127.", "169.254."))
