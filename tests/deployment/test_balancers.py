"""Three domains of daemons, two of them joined by balancers, as people use them (spec 6.13)."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from edgeless_sim.cluster.ports import free_ports

Start: TypeAlias = Callable[[Sequence[str], Path], "subprocess.Popen[bytes]"]
ROOT: Final = Path(__file__).parents[2]
STOP_S: Final = 10


class Domains:
    """A box with the ε-CON, the domain shop and its balancer; a box with the domain plant, whose
    balancer is a daemon of its own; and the ε-ORC of the hub."""

    def __init__(self, folder: Path, start: Start, person: Any) -> None:
        self.folder = folder
        self._start = start
        self._person = person
        self._ports = iter(free_ports(24))
        self.urls: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        shop, plant, hub, bridge = (folder / name for name in ("shop", "plant", "hub", "bridge"))
        for each in (shop, plant, hub, bridge):
            each.mkdir()
        (shop / "controller.toml").write_text(
            f'controller_url = "{self.url("con")}"\npersistence_filename = ""\n'
        )
        (folder / "cli.toml").write_text(f'controller_url = "{self.url("con")}"\n')
        for name, home in (("shop", shop), ("plant", plant), ("hub", hub)):
            (home / "orchestrator.toml").write_text(
                f'[general]\ndomain_id = "{name}"\norchestrator_url = "{self.url(name)}"\n'
                f'domain_register_url = "{self.url("con")}"\n'
            )
        self._node(shop, "shop", "")
        self._node(plant, "plant", 'file_log_provider = "plant-log"\n')
        self._balancer(shop, "shop")
        self._balancer(bridge, "plant")

    def url(self, name: str) -> str:
        """Where it listens."""
        if name not in self.urls:
            self.urls[name] = f"http://127.0.0.1:{next(self._ports)}"
        return self.urls[name]

    def _side(self, table: str, domain: str) -> str:
        fresh = self._person.typed("edgeless_bal_d", "-t", f"{domain}-{table}", cwd=self.folder)
        assert fresh.returncode == 0
        text = (self.folder / f"{domain}-{table}").read_text()
        node_id = text.split("node_id = ")[1].splitlines()[0]
        register = self.url("hub" if table == "portal" else domain)
        return (
            f'[{table}]\nnode_id = {node_id}\nagent_url = "{self.url(f"{domain} {table} agent")}"\n'
            f'invocation_url = "{self.url(f"{domain} {table} events")}"\n'
            f'orchestrator_url = "{register}"\n'
        )

    def _balancer(self, home: Path, domain: str) -> None:
        sides = self._side("local", domain) + self._side("portal", domain)
        (home / "balancer.toml").write_text(
            f'[general]\ndomain = "{domain}"\n{sides}[telemetry]\n'
            f'metrics_url = "{self.url(f"{domain} status")}"\n'
        )

    def _node(self, home: Path, domain: str, resources: str) -> None:
        (home / "node.toml").write_text(
            f'[general]\nnode_id = "{"12"[domain == "plant"] * 8}-0000-4000-8000-000000000000"\n'
            f'agent_url = "{self.url(f"{domain} node")}"\n'
            f'invocation_url = "{self.url(f"{domain} node events")}"\n'
            f'orchestrator_url = "{self.url(domain)}"\n[wasm_runtime]\nenabled = true\n'
            f'[user_node_capabilities]\nlabels = ["site={domain}"]\n[resources]\n{resources}'
        )

    def start(self, program: str, home: str) -> None:
        """Start a program in a folder."""
        command = Path(sys.executable).with_name(program)
        line = f'cd "$0" && EDGELESS_LOG=info exec {command}'
        place = self.folder / home
        self.processes[home] = self._start(["sh", "-c", line, str(place)], self.log(home))

    def log(self, home: str) -> Path:
        """What the program in a folder has said."""
        return self.folder / f"{home}.log"

    def cli(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """``edgeless_cli``."""
        done: subprocess.CompletedProcess[str] = self._person.typed(
            "edgeless_cli", *words, cwd=self.folder
        )
        return done


@pytest.fixture
def domains(tmp_path: Path, start: Start, person: Any) -> Iterator[Domains]:
    made = Domains(tmp_path, start, person)
    for program, home in (
        ("edgeless_inabox", "shop"),
        ("edgeless_orc_d", "hub"),
        ("edgeless_inabox", "plant"),
        ("edgeless_bal_d", "bridge"),
    ):
        made.start(program, home)
    # A node and half a balancer in each of the two, and the other halves in the hub.
    assert made.cli("--timeout", "40", "domain", "wait", "--nodes", "6").returncode == 0, "".join(
        made.log(home).read_text() for home in made.processes
    )
    yield made
    for home in made.processes:
        assert "Traceback" not in made.log(home).read_text()


def workflow(folder: Path) -> Path:
    """A function in the shop whose messages, one a second, go to a file in the plant."""
    text = (ROOT / "scenarios" / "file_log" / "workflow.json").read_text()
    specification: dict[str, Any] = json.loads(text)
    for function in specification["functions"]:
        code = function["class_specification"]["code"]
        function["class_specification"]["code"] = str(
            (ROOT / "scenarios" / "file_log" / code).resolve()
        )
        function["annotations"]["label_match_all"] = "site=shop"
    path = folder / "workflow.json"
    path.write_text(json.dumps(specification))
    return path


def test_events_of_daemons_cross_domains_and_balancers_come_and_go(
    domains: Domains, tmp_path: Path, person: Any
) -> None:
    begun = domains.cli("workflow", "start", str(workflow(tmp_path)))
    assert begun.returncode == 0, begun.stderr
    workflow_id = begun.stdout.strip()

    def lines() -> int:
        files = (tmp_path / "plant").glob("file-log/*")
        return sum(len(file.read_text().splitlines()) for file in files)

    person.until(lambda: lines() >= 2)
    shown = domains.cli("workflow", "inspect", workflow_id).stdout
    assert "CONF domain_name -> shop" in shown
    assert "-> hub [logical ID " in shown
    assert shown.count("* resource portal-") == 4

    # An orderly stop, and a sudden one.
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = domains.processes["bridge"]
        process.send_signal(number)
        assert process.wait(STOP_S) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        assert "Traceback" not in domains.log("bridge").read_text()
        domains.start("edgeless_bal_d", "bridge")
        person.until(lambda: "Registering this node" in domains.log("bridge").read_text())
        seen = lines()
        person.until(lambda seen=seen: lines() >= seen + 2)

    status = domains.urls["plant status"]
    person.until(lambda: person.answer_of(f"{status}/ready"))
    text = person.answer_of(f"{status}/metrics")
    assert text.count('edgeless_resource_count{class_type="portal"') == 2
    assert text.count("# TYPE edgeless_resource_count gauge") == 1
    assert domains.cli("workflow", "stop", workflow_id).returncode == 0


@pytest.mark.slow
def test_a_component_moves_by_the_client_and_refusals_are_in_edgeless_words(
    domains: Domains, tmp_path: Path
) -> None:
    path = workflow(tmp_path)
    specification = json.loads(path.read_text())
    for function in specification["functions"]:
        del function["annotations"]["label_match_all"]
    path.write_text(json.dumps(specification))
    workflow_id = domains.cli("workflow", "start", str(path)).stdout.strip()
    [function] = [each["name"] for each in specification["functions"]]

    def migrate(*words: str) -> tuple[int, str]:
        done = domains.cli("workflow", "migrate-component", workflow_id, *words)
        return done.returncode, (done.stdout + done.stderr).strip()

    code, said = migrate("plant", function)
    assert code == 1
    assert f"migration of {workflow_id} to plant failed: Ignoring request to migrate" in said
    assert migrate("shop", "nobody")[0] == 4
    code, said = migrate("moon", function)
    assert (code, "Migration request cannot be satified" in said) == (1, True)
    assert migrate("shop", function) == (0, f"migration of {workflow_id} to shop successful")
    shown = domains.cli("workflow", "inspect", workflow_id).stdout
    assert f"MAP {function} -> shop [" in shown
    assert migrate("plant", function) == (0, f"migration of {workflow_id} to plant successful")
    shown = domains.cli("workflow", "inspect", workflow_id).stdout
    assert f"MAP {function} -> plant [" in shown
    assert "portal" not in shown
