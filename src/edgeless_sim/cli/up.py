"""``edgeless-sim up``: a cluster that stays up, and where everything of it is."""

import fcntl
import shlex
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits
from typing import Final

import typer

from edgeless_sim.cli.problems import complain
from edgeless_sim.cli.run import require_code
from edgeless_sim.cluster.addresses import CONTROLLER, orchestrator_location
from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.cluster.deployment_plan import nodes_of
from edgeless_sim.cluster.disk import FILES_FOLDER
from edgeless_sim.cluster.settings import CliSettingsFile, render_cli_settings
from edgeless_sim.cluster.site import Site, claim_site, node_folder
from edgeless_sim.cluster.topology import DomainTopology, NodeGroup, Topology
from edgeless_sim.errors import ListenError, RejectedError, ResourceError
from edgeless_sim.report.logs import LogReader, log_line
from edgeless_sim.report.tables import aligned
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.runner import check_world
from edgeless_sim.scenario.shipped import find_scenario
from edgeless_sim.scenario.standing import Standing, run_standing

__all__ = ["UpOptions", "up_command"]

CLI_FILE: Final = "cli.toml"
_MARK: Final = "# Written by edgeless-sim up, which replaces it.\n"
_MARK_BYTES_MAX: Final = 200
_LOCK_FILE: Final = "lock"
_WORKFLOWS_SHOWN: Final = 5
_DOMAINS_WATCHED: Final = 5
_SEED_BITS: Final = 62
#: Without a scenario. No PYTHON: there is no folder that its code could come from.
_DEFAULT: Final = Topology(
    domains=(
        DomainTopology(
            "domain-1",
            nodes=(
                NodeGroup(
                    count=2,
                    runtimes=("RUST_WASM", "MODELLED"),
                    providers=("file-log", "http-ingress", "http-egress", "redis"),
                ),
            ),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What was typed."""

    scenario: str | None
    steps: bool
    wire: str
    port: int
    state: Path
    seed: int | None
    """None = another one each time."""
    processes: bool
    quiet: bool


def up_command(options: UpOptions) -> None:
    """Bring it up, say where it is, and keep it until it is told to stop.

    Raise `RejectedError` if the state folder is somebody else's, `ResourceError` if a port is taken
    or a file cannot be written, and what a scenario's file and a cluster's start raise.
    """
    scenario = _scenario(options)
    topology = _DEFAULT if scenario is None else scenario.topology()
    with _state(options.state) as folder:
        try:
            topology, site = claim_site(topology, folder, options.port)
        except ListenError as error:
            raise ResourceError(f"{error}; --port takes another one") from None
        with closing(site):
            report = _Report(options, scenario, topology, site)
            standing = Standing(
                topology,
                options.wire,
                randbits(_SEED_BITS) if options.seed is None else options.seed,
                site,
                processes=options.processes,
                steps_of=scenario if options.steps else None,
            )
            logs = LogReader(lambda entry: typer.echo(log_line(entry)))
            run_standing(
                standing,
                readers=() if options.quiet else (logs.read,),
                on_ready=report.show,
                on_trouble=lambda text: complain(f"warning: {text}"),
            )


def _scenario(options: UpOptions) -> Scenario | None:
    if options.scenario is None:
        if options.steps:
            raise typer.BadParameter("--steps needs a scenario")
        return None
    scenario = load_scenario(find_scenario(options.scenario), label=options.scenario)
    if options.steps:
        check_world(scenario, options.wire)
    for warning in require_code(scenario):
        # Those of the scenario itself are about what its run would show.
        if warning not in scenario.warnings:
            complain(f"warning: {warning}")
    return scenario


@contextmanager
def _state(folder: Path) -> Generator[Path]:
    """The state folder, for this cluster alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _LOCK_FILE).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RejectedError(
                    "another cluster is up with these files", f"{folder}; --state takes others"
                ) from None
            _check_ours(folder / CLI_FILE)
            yield folder
    except FileExistsError:
        raise RejectedError("the state folder is a file", str(folder)) from None


def _check_ours(path: Path) -> None:
    try:
        with path.open("rb") as file:
            beginning = file.read(_MARK_BYTES_MAX)
    except FileNotFoundError:
        return
    if not beginning.startswith(_MARK.encode()):
        raise RejectedError(
            "the file is not of edgeless-sim up, and stays",
            f"{path}; --state takes another folder",
        )


class _Report:
    """What people are told once the cluster is up."""

    def __init__(
        self, options: UpOptions, scenario: Scenario | None, topology: Topology, site: Site
    ) -> None:
        self._options = options
        self._scenario = scenario
        self._topology = topology
        self._site = site

    def show(self, cluster: Cluster) -> None:
        """Write the client's file, and say where everything is and what to type."""
        url = cluster.network.url(CONTROLLER)
        file = self._site.folder / CLI_FILE
        text = _MARK + render_cli_settings(CliSettingsFile(controller_url=url))
        file.write_text(text, encoding="utf-8")
        if self._options.quiet:
            typer.echo(url)
            return
        head = ("component", "listens at", "http-ingress", "files")
        lines = aligned(head, [("ε-CON", url, "", ""), *self._rows(cluster)])
        commands = [*self._commands(file), self._watching(cluster, file)]
        typer.echo("\n".join([*lines, "", *commands, "", self._end(cluster)]))

    def _rows(self, cluster: Cluster) -> Iterator[tuple[str, str, str, str]]:
        for domain in self._topology.domains:
            url = cluster.network.url(orchestrator_location(domain.name))
            yield f"domain {domain.name}", url, "", ""
            for name, group in nodes_of(domain):
                ingress = group.http_ingress_url if "http-ingress" in group.providers else ""
                disk = str(node_folder(self._site.folder, name) / FILES_FOLDER)
                files = disk if "file-log" in group.providers else ""
                yield f"node {name}", cluster.nodes[name].url, ingress, files

        for balancer in self._topology.balancers:
            for name in (balancer.local_node, balancer.portal_node):
                yield f"balancer {name}", cluster.nodes[name].url, "", ""

    def _commands(self, file: Path) -> Iterator[str]:
        client = f"edgeless_cli -c {shlex.quote(str(file))}"
        yield f"{client} domain list"
        scenario = self._scenario
        if scenario is None or not scenario.workflows:
            yield f"{client} workflow start workflow.json"
            return
        for name in list(scenario.workflows)[:_WORKFLOWS_SHOWN]:
            yield f"{client} workflow start {shlex.quote(str(scenario.folder / name))}"

    def _watching(self, cluster: Cluster, file: Path) -> str:
        names = [domain.name for domain in self._topology.domains[:_DOMAINS_WATCHED]]
        urls = [cluster.network.url(orchestrator_location(name)) for name in names]
        named = "".join(f" --orchestrator-url {url}" for url in urls)
        return f"edgeless-sim top -c {shlex.quote(str(file))}{named}"

    def _end(self, cluster: Cluster) -> str:
        steps = self._scenario is not None and self._scenario.steps and not self._options.steps
        why = "; the scenario's steps are not performed (--steps)" if steps else ""
        return f"seed {cluster.seed}; Ctrl-C stops it{why}"
