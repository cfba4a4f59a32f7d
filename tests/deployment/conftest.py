"""What the tests of deployments share: processes that end with the test, and daemons with files."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.request import urlopen
from uuid import UUID, uuid5

import pytest

from edgeless_sim.cluster.ports import free_ports

Start: TypeAlias = Callable[[Sequence[str], Path], "subprocess.Popen[bytes]"]
STOP_S: Final = 15
PATIENCE_S: Final = 60
HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).parents[2]
_IDS: Final = UUID("fda6ce79-46df-4f96-a0d2-456f720f606c")


def until(condition: Callable[[], Any], told: Callable[[], str] = str) -> Any:
    """What *condition* returns as soon as that is true; fails after a minute with *told*."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > deadline_s:
            pytest.fail(f"it has not happened; {told()}")
        time.sleep(0.02)
    return found


class Deployment:
    """An ε-CON, ε-ORCs and nodes with a file each, and the processes that run them.

    Components are called ``con``, ``orc/DOMAIN`` and ``node/DOMAIN/NUMBER``.
    """

    def __init__(
        self,
        folder: Path,
        start: Start,
        *,
        scheme: str = "http",
        domains: Mapping[str, int],
        strategy: str = "RoundRobin",
    ) -> None:
        """*domains* says how many nodes each has."""
        self.folder = folder
        self.scheme = scheme
        self._start = start
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.nodes = [f"node/{name}/{i}" for name, count in domains.items() for i in range(count)]
        orchestrators = [f"orc/{name}" for name in domains]
        self.names = ["con", *orchestrators, *self.nodes]
        ports = iter(free_ports(2 * len(self.names) + len(self.nodes)))
        self._ports = {name: (next(ports), next(ports)) for name in self.names}
        events = {name: next(ports) for name in self.nodes}
        listed = ", ".join(
            f'{{domain_id = "{name}", orchestrator_url = "{self.url(f"orc/{name}")}"}}'
            for name in domains
        )
        self._write(
            "con",
            f'controller_url = "{self.url("con")}"\norchestrators = [{listed}]\n'
            f'[edgeless_sim]\nmetrics_url = "{self.status_url("con")}"\n',
        )
        for name in domains:
            self._write(
                f"orc/{name}",
                f'[general]\ndomain_id = "{name}"\norchestrator_url = '
                f'"{self.url(f"orc/{name}")}"\n[baseline]\norchestration_strategy = '
                f'"{strategy}"\n[edgeless_sim]\nmetrics_url = '
                f'"{self.status_url(f"orc/{name}")}"\n',
            )
        for node in self.nodes:
            domain = node.split("/")[1]
            self._write(
                node,
                f'[general]\nnode_id = "{self.node_id(node)}"\nagent_url = "{self.url(node)}"\n'
                f'invocation_url = "{scheme}://{HOST}:{events[node]}"\norchestrator_url = '
                f'"{self.url(f"orc/{domain}")}"\nmetrics_url = "{self.status_url(node)}"\n'
                "[wasm_runtime]\nenabled = true\n[resources]\n"
                f'file_log_provider = "{node.replace("/", "-")}-log"\n',
            )
        (folder / "cli.toml").write_text(f'controller_url = "{self.url("con")}"\n')

    def url(self, name: str) -> str:
        """Where a component is asked."""
        return f"{self.scheme}://{HOST}:{self._ports[name][0]}"

    def status_url(self, name: str) -> str:
        """Where it tells how it does."""
        return f"http://{HOST}:{self._ports[name][1]}"

    def node_id(self, node: str) -> UUID:
        """The id of a node."""
        return uuid5(_IDS, node)

    def place(self, name: str) -> Path:
        """The folder that a component is started in."""
        return self.folder / name.replace("/", "-")

    def start(self, *names: str, options: Sequence[str] = (), through: str = "") -> None:
        """Start components, all of them if none is named; by the command *through* if given."""
        for name in names or self.names:
            program = f"{through} edgeless_{name.partition('/')[0]}_d".lstrip()
            command = f'cd "$0" && RUST_LOG=info exec {program} "$@"'
            log = self.folder / f"{name.replace('/', '-')}.log"
            self.processes[name] = self._start(
                ("sh", "-c", command, str(self.place(name)), *options), log
            )

    def kill(self, *names: str) -> None:
        """SIGKILL, and nothing is left of their processes."""
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes[name].wait()

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a component."""
        self.processes[name].send_signal(number)

    def said(self, name: str) -> str:
        """The log of its last life."""
        return (self.folder / f"{name.replace('/', '-')}.log").read_text(encoding="utf-8")

    def ask(self, name: str, what: str) -> tuple[int, str]:
        """Status and body of what it tells of itself; (0, "") while nobody answers."""
        try:
            with urlopen(f"{self.status_url(name)}/{what}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, ConnectionError, TimeoutError):
            return 0, ""

    def answers(self, name: str, what: str = "health") -> bool:
        """Whether it says that it does well."""
        return self.ask(name, what)[0] == 200

    def functions_on(self, node: str) -> int:
        """How many function instances a node has; 0 while it does not answer."""
        counts = re.findall(r"^function_count\{.*\} (\d+)", self.ask(node, "metrics")[1], re.M)
        return sum(map(int, counts))

    def functions(self) -> list[int]:
        """The same for each node."""
        return [self.functions_on(node) for node in self.nodes]

    def cli(self, *words: str) -> str:
        """What ``edgeless_cli`` prints; it must succeed."""
        command = [str(Path(sys.executable).with_name("edgeless_cli")), *words]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _write(self, name: str, text: str) -> None:
        files = {"con": "controller.toml", "orc": "orchestrator.toml", "node": "node.toml"}
        self.place(name).mkdir(parents=True)
        (self.place(name) / files[name.partition("/")[0]]).write_text(text, encoding="utf-8")


@pytest.fixture
def make_deployment(tmp_path: Path, start: Start) -> Callable[..., Deployment]:
    """``make_deployment(domains={"d": 2})``; what it starts ends with the test."""

    def made(**settings: Any) -> Deployment:
        return Deployment(tmp_path, start, **settings)

    return made


@pytest.fixture
def deployment(make_deployment: Callable[..., Deployment]) -> Deployment:
    """One ε-CON, one ε-ORC, one node."""
    return make_deployment(domains={"d": 1})


@pytest.fixture(name="until")
def waiting() -> Callable[..., Any]:
    """``until(condition, told)``: what *condition* returns as soon as that is true."""
    return until


@pytest.fixture
def start() -> Generator[Start]:
    """``start(command, log)``: run it until the test ends; all of its group goes with it.

    This version's commands are on its path, and so is ``python``.
    """
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    with ExitStack() as stack:

        def started(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
            output = stack.enter_context(log.open("wb"))
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, start_new_session=True
            )
            stack.callback(_stop, process)
            return process

        yield started


@pytest.fixture
def first_port() -> int:
    """A port with nobody at it and at the 39 above; below those that clients are given."""
    begin = 11_000 + os.getpid() * 40 % 16_000
    for port in range(begin, begin + 4_000, 40):
        if all(_is_free(one) for one in range(port, port + 40)):
            return port
    raise AssertionError("no free ports")


class Person:
    """Somebody beside a program that stays up: types commands, waits, reads what it says."""

    def typed(
        self, program: str, *words: str, cwd: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """One of our programs, typed in *cwd*, to its end."""
        command = [str(Path(sys.executable).with_name(program)), *words]
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    until = staticmethod(until)

    def web_workflow(self, folder: Path) -> Path:
        """A workflow file with an http-ingress, whose function answers ``World`` to ``/hello``."""
        function = ROOT / "functions" / "http_processor" / "function.json"
        specification = json.loads(function.read_text())
        specification["code"] = str(function.with_name("http_processor.wasm"))
        workflow = {
            "functions": [
                {
                    "name": "processor",
                    "class_specification": specification,
                    "output_mapping": {},
                    "annotations": {},
                }
            ],
            "resources": [
                {
                    "name": "ingress",
                    "class_type": "http-ingress",
                    "output_mapping": {"new_request": "processor"},
                    "configurations": {"methods": "GET"},
                }
            ],
            "annotations": {},
        }
        path = folder / "web.json"
        path.write_text(json.dumps(workflow))
        return path

    def answer_of(self, url: str) -> str:
        """What is answered there; empty if nothing is."""
        try:
            with urlopen(url, timeout=PATIENCE_S) as response:
                return str(response.read().decode())
        except (URLError, OSError):
            return ""


@pytest.fixture
def person() -> Person:
    return Person()


def _is_free(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    # One that a test has frozen could not hear it.
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(STOP_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
