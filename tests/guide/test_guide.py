"""Whoever types what the guide says sees what the guide says: four real processes.

The words after the language of a fenced block say what it is for: ``shell=NAME`` in which shell,
``stays`` that its last command goes on, ``needs=TOOL`` that it wants a tool, ``file=PATH`` which
file it shows. Ports are of this run; with ``EDGELESS_GUIDE_PORTS=1`` (``nox -s guide``) they are
the guide's. The client is ours and, where it is at hand, EDGELESS's own.
"""

import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from edgeless_sim.cluster.ports import free_ports
from edgeless_sim.errors import RejectedError
from edgeless_sim.toolchain import tools

OpenShell: TypeAlias = Callable[[str, Path], Any]
ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
#: What EDGELESS's own guide types, in its order.
COMMANDS: Final = """
./edgeless_con_d -t controller.toml
RUST_LOG=info ./edgeless_con_d
./edgeless_orc_d -t orchestrator.toml
RUST_LOG=info ./edgeless_orc_d
./edgeless_node_d -t node.toml
RUST_LOG=info ./edgeless_node_d
./edgeless_cli function build ../../functions/noop/function.json
./edgeless_cli -t cli.toml
UUID=$(./edgeless_cli workflow start ../../examples/noop/workflow.json)
echo $UUID
./edgeless_cli workflow list
./edgeless_cli workflow stop $UUID
"""


#: The shell of blocks that name none.
CLIENT: Final = "client"
_BLOCK: Final = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_MACHINE: Final = re.compile(r"\d+ [^,]*? CPU\(s\) at \d+ BogoMIPS, \d+ core\(s\), \d+ MB memory")
#: What a template finds out about the machine.
_DETECTED: Final = ("num_cpus", "model_name_cpu", "clock_freq_cpu", "num_cores", "mem_size")
_PORT: Final = re.compile(r"(?<=127\.0\.0\.1:)\d+")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    shell: str = CLIENT
    file: str = ""
    needs: str = ""
    stays: bool = False

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def blocks_of(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for match in _BLOCK.finditer(page):
        words: dict[str, Any] = {}
        for word in match[2].split():
            key, equals, value = word.partition("=")
            words[key] = value if equals else True
        yield Block(match[1], match[3], **words)


class Ports:
    """Other ports than those of the page, where *free* ones are given."""

    def __init__(self, page: str, free: tuple[int, ...]) -> None:
        found = list(dict.fromkeys(_PORT.findall(page)))
        self._others = dict(zip(found, map(str, free), strict=True)) if free else {}

    @staticmethod
    def count(page: str) -> int:
        """How many ports the page has."""
        return len(set(_PORT.findall(page)))

    def in_text(self, text: str) -> str:
        """*text* with the ports that are really used."""
        return _PORT.sub(lambda match: self._others.get(match[0], match[0]), text)


class Reading:
    """Lines of the page found in what a program said; the same id is the same all over the page."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def find(self, line: str, said: str) -> int:
        """Where *line* ends in *said*, -1 if it is not there; ids that are new become known."""
        new: list[str] = []

        def of_id(match: "re.Match[str]") -> str:
            uuid = match[0]
            if uuid in self._ids:
                return re.escape(self._ids[uuid])
            if uuid in new:
                return rf"(?P=id{new.index(uuid)})"
            new.append(uuid)
            return f"(?P<id{len(new) - 1}>{_UUID})"

        pieces = re.split(f"({_UUID}|{_MACHINE.pattern})", line)
        pattern = "".join(self._piece(piece, of_id) for piece in pieces)
        found = re.search(pattern, said)
        if found is None:
            return -1
        for number, uuid in enumerate(new):
            self._ids[uuid] = found[f"id{number}"]
        return found.end()

    @staticmethod
    def _piece(piece: str, of_id: Any) -> str:
        if re.fullmatch(_UUID, piece):
            return re.sub(_UUID, of_id, piece)
        if _MACHINE.fullmatch(piece):
            return _MACHINE.pattern
        return re.escape(piece)


def same_settings(shown: str, there: str) -> bool:
    """Whether two TOML files agree but for the machine's values and the id of the node."""
    return _general(tomllib.loads(shown)) == _general(tomllib.loads(there))


def _general(settings: dict[str, Any]) -> dict[str, Any]:
    general, machine = settings.get("general", {}), settings.get("user_node_capabilities", {})
    if "node_id" in general:
        general["node_id"] = bool(re.fullmatch(_UUID, general["node_id"]))
    for key in _DETECTED:
        if key in machine:
            machine[key] = type(machine[key])
    return settings


def _has_rust() -> bool:
    try:
        tools.rust_tools()
    except RejectedError:
        return False
    return True


class Follower:
    """Somebody with the page in one hand."""

    def __init__(self, folder: Path, ports: Ports, open_shell: OpenShell) -> None:
        self._folder = folder
        self._ports = ports
        self._open = open_shell
        self._reading = Reading()
        self._answer = ""
        #: EDGELESS's own client, typed in place of ours once there is a cli.toml.
        self.other_client: Path | None = None
        self.shells: dict[str, Any] = {}

    def do(self, block: Block) -> None:
        """Type what is to be typed, look for what is to be seen."""
        if block.language == "sh":
            self._type(block)
        elif block.file:
            self._compare(block)
        else:
            self._see(block)

    def _shell(self, name: str) -> Any:
        if name not in self.shells:
            self.shells[name] = self._open(name, self._folder)
        return self.shells[name]

    def _type(self, block: Block) -> None:
        shell = self._shell(block.shell)
        if block.needs == "rust" and not _has_rust():
            # The module that is built is the one that is shipped (tests/functions).
            source = ROOT / "functions" / "noop" / "noop.wasm"
            shutil.copy(source, self._folder / "../../functions/noop/noop.wasm")
            return
        for command in block.lines:
            if block.stays:
                shell.type(command)
                continue
            self._answer = shell.run(command)
            if command.startswith("cd "):
                self._folder /= command.removeprefix("cd ")

    def _compare(self, block: Block) -> None:
        path = self._folder / block.file
        there = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            assert same_settings(block.text, there), there
            path.write_text(self._ports.in_text(there), encoding="utf-8")
            if path.name == "cli.toml" and self.other_client is not None:
                (self._folder / "edgeless_cli").unlink()
                (self._folder / "edgeless_cli").symlink_to(self.other_client)
        else:
            assert block.text == there

    def _see(self, block: Block) -> None:
        for line in block.lines:
            expected = self._ports.in_text(line)
            if block.shell == CLIENT:
                assert self._reading.find(f"{expected}\n", self._answer) >= 0, self._answer
            else:
                find = partial(self._reading.find, expected)
                self._shell(block.shell).expect(find, expected)


@pytest.fixture
def follower(tmp_path: Path, open_shell: OpenShell) -> Follower:
    own = os.environ.get("EDGELESS_GUIDE_PORTS") != "1"
    ports = Ports(PAGE, free_ports(Ports.count(PAGE)) if own else ())
    return Follower(tmp_path, ports, open_shell)


def test_the_page_types_what_edgelesss_own_guide_types() -> None:
    typed = [line for block in blocks_of(PAGE) if block.language == "sh" for line in block.lines]
    begin = ["edgeless-sim new guide guide", "cd guide/target/debug"]
    assert typed == begin + COMMANDS.split("\n")[1:-1]


@pytest.mark.parametrize("client", ["ours", "theirs"])
def test_the_guide_works_word_for_word(client: str, follower: Follower) -> None:
    if client == "theirs":
        folder = os.environ.get("EDGELESS_REFERENCE_PROGRAMS")
        if not folder:
            pytest.skip("EDGELESS_REFERENCE_PROGRAMS names no folder")
        follower.other_client = Path(folder).absolute() / "edgeless_cli"
    for block in blocks_of(PAGE):
        follower.do(block)
    daemons = [shell for name, shell in follower.shells.items() if name != CLIENT]
    assert len(daemons) == 3
    for shell in daemons:
        shell.interrupt()
        assert "Traceback" not in shell.said()
        assert " ERROR " not in shell.said()
