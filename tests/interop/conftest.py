"""Deployments of our programs and the reference implementation's, mixed as a test wants.

The reference's programs are not kept in this repository: name the folder with `edgeless_cli`,
`edgeless_con_d`, `edgeless_orc_d` and `edgeless_node_d` in ``EDGELESS_REFERENCE_PROGRAMS``.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID, uuid5

import pytest
import tomli_w

from edgeless_sim.cluster.ports import LOOPBACK, free_ports

VARIABLE: Final = "EDGELESS_REFERENCE_PROGRAMS"
FUNCTIONS: Final = Path(__file__).resolve().parents[2] / "functions"
#: So long may anything take that happens within seconds; the machine may be loaded.
PATIENCE_S: Final = 20.0
#: The reference's default. Half of it is too little for its debug build on two busy cores.
REFRESH_S: Final = 2
CALL_TIMEOUT_S: Final = 4
_POLL_S: Final = 0.1
_SILENCE_S: Final = 1.0
_PORTS: Final = 24
_NODES: Final = UUID("5f0d5b6e-6c86-4d38-a9a7-d0bd0e6f2f66")

Side: TypeAlias = Literal["ours", "theirs"]
SIDES: Final[tuple[Side, ...]] = ("ours", "theirs")
_OUR_KINDS: Final = {"con": "controller", "orc": "orchestrator", "node": "node"}


async def until(condition: Callable[[], Any], what: str = "what was waited for") -> Any:
    """The first result of *condition* that is true; awaits it if it can be."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = condition()
                if hasattr(found, "__await__"):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        pytest.fail(f"not seen within {PATIENCE_S} s: {what}")


def _is_open(url: str) -> bool:
    try:
        socket.create_connection((LOOPBACK, int(url.rpartition(":")[2])), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Program:
    """A component as a process, which can be killed and started again."""

    side: Side
    kind: str
    home: Path
    url: str
    command: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    details: dict[str, str] = field(default_factory=dict)

    async def start(self) -> Program:
        """Start it and wait until it listens."""
        self._spawn()
        await until(self._listens, f"{self.kind} of {self.side} listening")
        return self

    def _spawn(self) -> None:
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "RUST_LOG": "info", "RUST_BACKTRACE": "0"},
            )

    def kill(self) -> None:
        """End it without a warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def log(self) -> str:
        """All that it said."""
        return (self.home / "log").read_text("utf-8", errors="replace")

    def _listens(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"{self.kind} of {self.side} ended: {self.log[-2000:]}")
        return _is_open(self.url)


class Deployment:
    """Components of both sides on free ports below one folder; see `deployment`."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self.folder = folder
        self.functions = FUNCTIONS
        self._started: list[Program] = []
        self._urls: dict[str, str] = {}
        # At once, so that they differ.
        self._ports = list(free_ports(_PORTS))
        self.redis_url = ""
        """Where ε-ORCs mirror what they know; empty = nowhere."""

    def url(self, name: str) -> str:
        """The URL of that name; the same one each time."""
        if name not in self._urls:
            self._urls[name] = f"http://{LOOPBACK}:{self._ports.pop()}"
        return self._urls[name]

    async def controller(self, side: Side) -> Program:
        """An ε-CON."""
        table: dict[str, Any] = {
            "controller_url": self.url("con"),
            "domain_register_url": self.url("con/domains"),
        }
        if side == "theirs":
            table["persistence_filename"] = "controller.save"
        return await self._run(side, "con", "con", table, self.url("con"))

    async def orchestrator(self, side: Side, domain: str = "domain") -> Program:
        """The ε-ORC of a domain."""
        url = self.url(domain)
        table: dict[str, Any] = {
            "general": {
                "domain_register_url": self.url("con/domains"),
                "domain_id": domain,
                "orchestrator_url": url,
                "orchestrator_url_announced": url,
                "node_register_url": self.url(f"{domain}/nodes"),
            },
            "baseline": {"orchestration_strategy": "RoundRobin"},
        }
        if side == "theirs":
            table["general"]["subscription_refresh_interval_sec"] = REFRESH_S
        else:
            table["edgeless_sim"] = {"keep_alive_secs": REFRESH_S}
        if self.redis_url or side == "theirs":
            table["proxy"] = {
                "proxy_type": "Redis" if self.redis_url else "None",
                "proxy_gc_period_seconds": 360,
                "redis_url": self.redis_url,
                "dataset_settings": {
                    "dataset_path": "",
                    "append": True,
                    "additional_fields": "",
                    "additional_header": "",
                },
            }
        return await self._run(side, "orc", f"orc-{domain}", table, url)

    async def node(
        self,
        side: Side,
        name: str = "",
        domain: str = "domain",
        *,
        samples: bool = False,
        resources: Mapping[str, str] | None = None,
    ) -> Program:
        """A node, labelled with its name and its side; it can run compiled functions and log.

        *resources* are further keys of that table.
        """
        name = name or f"node-{side}"
        agent, invocation = self.url(f"{name}/agent"), self.url(f"{name}/events")
        table: dict[str, Any] = {
            "general": {
                "node_id": str(uuid5(_NODES, name)),
                "agent_url": agent,
                "agent_url_announced": agent,
                "invocation_url": invocation,
                "invocation_url_announced": invocation,
                "node_register_url": self.url(f"{domain}/nodes"),
            },
            "telemetry": {"metrics_url": "", "performance_samples": samples},
            "wasm_runtime": {"enabled": True},
            "resources": {"file_log_provider": f"file-log-{name}", **(resources or {})},
            "user_node_capabilities": {
                "num_cpus": 2,
                "num_cores": 2,
                "clock_freq_cpu": 2000.0,
                "mem_size": 1000,
                "labels": [name, side],
            },
        }
        if side == "theirs":
            table["general"]["subscription_refresh_interval_sec"] = REFRESH_S
            table["resources"]["prepend_hostname"] = False
        else:
            table["edgeless_sim"] = {"call_timeout_secs": CALL_TIMEOUT_S}
        program = await self._run(side, "node", name, table, agent)
        program.details = {"id": table["general"]["node_id"], "name": name}
        return program

    async def domain(self, side: Side, *nodes: Side, domain: str = "domain") -> list[Program]:
        """An ε-ORC with a node of each of *nodes*, all registered."""
        started = [await self.orchestrator(side, domain)]
        for node in nodes:
            started.append(await self.node(node, f"{domain}-{node}", domain))
        await self.registered(domain, len(nodes))
        return started

    async def registered(self, domain: str, nodes: int) -> None:
        """Return when the ε-CON knows so many nodes of a domain."""
        wanted = f"domain {domain} ({nodes} nodes)"

        async def seen() -> bool:
            return wanted in (await self.cli("domain", "list")).splitlines()

        await until(seen, wanted)

    async def cli(self, *words: str) -> str:
        """What the reference's `edgeless_cli` prints, both streams."""
        folder = self.folder / "cli"
        if not folder.exists():
            folder.mkdir()
            (folder / "cli.toml").write_bytes(
                tomli_w.dumps({"controller_url": self.url("con")}).encode()
            )
        process = await asyncio.create_subprocess_exec(
            self._programs / "edgeless_cli",
            *words,
            cwd=folder,
            env={**os.environ, "RUST_BACKTRACE": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                printed, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            pytest.fail(f"edgeless_cli {' '.join(words)} does not end")
        return printed.decode()

    async def start_workflow(
        self, functions: Mapping[str, dict[str, Any]], resources: Mapping[str, dict[str, Any]]
    ) -> str:
        """Start a workflow with the reference's `edgeless_cli`; return what it printed.

        A function is its ``kind`` in our library, its ``outputs``, and ``annotations``; a resource
        its ``class_type``, ``outputs`` and ``configurations``.
        """
        file = self.folder / f"workflow-{len(list(self.folder.glob('workflow-*')))}.json"
        file.write_text(json.dumps(workflow_document(functions, resources)), "utf-8")
        return (await self.cli("workflow", "start", str(file))).strip()

    async def until(self, condition: Callable[[], Any], what: str = "the condition") -> Any:
        """The first result of *condition* that is true; awaits it if it can be."""
        return await until(condition, what)

    async def silence(self, count: Callable[[], int]) -> None:
        """Return when *count* stays the same for a second."""

        async def silent() -> bool:
            before = count()
            await asyncio.sleep(_SILENCE_S)
            return count() == before

        await until(silent, "silence")

    async def close(self) -> None:
        """End everything."""
        for program in reversed(self._started):
            if program.process is not None and program.process.poll() is None:
                program.process.terminate()
        for program in reversed(self._started):
            if program.process is not None:
                try:
                    await asyncio.to_thread(program.process.wait, 5)
                except subprocess.TimeoutExpired:
                    program.kill()

    async def _run(
        self, side: Side, kind: str, place: str, table: dict[str, Any], url: str
    ) -> Program:
        home = self.folder / place
        home.mkdir()
        file = home / f"{_OUR_KINDS[kind]}.toml"
        file.write_bytes(tomli_w.dumps(table).encode())
        command = (
            (sys.executable, "-m", "edgeless_sim", "component", kind, str(file))
            if side == "ours"
            else (str(self._programs / f"edgeless_{kind}_d"), "-c", str(file))
        )
        program = Program(side, kind, home, url, command)
        self._started.append(program)
        return await program.start()


def workflow_document(
    functions: Mapping[str, dict[str, Any]], resources: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """A workflow file; see `Deployment.start_workflow`."""
    return {
        "functions": [
            {
                "name": name,
                "class_specification": {
                    "id": found.get("kind", "relay"),
                    "function_type": found.get("function_type", "RUST_WASM"),
                    "version": "0.1",
                    "code": str(
                        found.get("code") or FUNCTIONS / found["kind"] / f"{found['kind']}.wasm"
                    ),
                    "outputs": list(found.get("outputs", {})),
                },
                "output_mapping": found.get("outputs", {}),
                "annotations": found.get("annotations", {}),
            }
            for name, found in functions.items()
        ],
        "resources": [
            {
                "name": name,
                "class_type": found["class_type"],
                "output_mapping": found.get("outputs", {}),
                "configurations": found.get("configurations", {}),
            }
            for name, found in resources.items()
        ],
        "annotations": {},
    }


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of the reference's programs."""
    named = os.environ.get(VARIABLE)
    if named is None:
        pytest.skip(f"{VARIABLE} names no folder")
    folder = Path(named)
    missing = [
        name
        for name in ("edgeless_cli", "edgeless_con_d", "edgeless_orc_d", "edgeless_node_d")
        if not (folder / name).is_file()
    ]
    if missing:
        pytest.fail(f"{VARIABLE}: {folder} has no {', '.join(missing)}")
    return folder


@asynccontextmanager
async def _opened(programs: Path, folder: Path) -> AsyncGenerator[Deployment]:
    deployment = Deployment(programs, folder)
    try:
        yield deployment
    finally:
        await deployment.close()


@pytest.fixture
async def deployment(programs: Path, tmp_path: Path) -> AsyncGenerator[Deployment]:
    """Nothing yet; what a test starts in it ends with it."""
    async with _opened(programs, tmp_path) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def open_deployment(programs: Path) -> Callable[[Path], AbstractAsyncContextManager[Deployment]]:
    """As `deployment`, for fixtures of a wider scope: give it a folder."""
    return partial(_opened, programs)
