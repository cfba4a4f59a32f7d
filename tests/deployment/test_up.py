"""``edgeless-sim up``: a cluster that stays up, is used with what it says, and ends in order."""

import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

Start: TypeAlias = Callable[[Sequence[str], Path], "subprocess.Popen[bytes]"]
ROOT: Final = Path(__file__).parents[2]
STOP_S: Final = 10.0
SMALL: Final = """\
name = "small"
duration = "1s"

[[domain]]
name = "edge"
nodes = [{providers = ["file-log"]}]
"""


class Up:
    """A cluster that is up, and what it said."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, folder: Path) -> None:
        self.process = process
        self.log = log
        self.folder = folder

    @property
    def text(self) -> str:
        return self.log.read_text()

    def row(self, component: str) -> list[str]:
        """The cells behind *component* in the table."""
        (line,) = (line for line in self.text.splitlines() if line.startswith(component))
        return line.removeprefix(component).split()

    def command(self, person: Any, *replacing: str) -> "subprocess.CompletedProcess[str]":
        """Type a line that it said, its last words replaced."""
        line = next(x for x in self.text.splitlines() if x.startswith("edgeless_cli "))
        program, *words = shlex.split(line)
        done: subprocess.CompletedProcess[str] = person.typed(
            program, *words[:2], *replacing, cwd=self.folder
        )
        return done

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)


@pytest.fixture
def up(start: Start, person: Any, tmp_path: Path, first_port: int) -> Callable[..., Up]:
    """``up(OPTIONS)``: bring one up in the test's folder, at a port of the test's."""

    def begun(*options: str) -> Up:
        program = Path(sys.executable).with_name("edgeless-sim")
        log = tmp_path / "log"
        words = shlex.join([str(program), "up", "--port", str(first_port), *options])
        process = start(["sh", "-c", f'cd "$0" && exec {words}', str(tmp_path)], log)
        person.until(
            lambda: "Ctrl-C stops it" in log.read_text() or process.poll() is not None,
            log.read_text,
        )
        assert process.poll() is None, log.read_text()
        return Up(process, log, tmp_path)

    return begun


def test_a_person_starts_a_workflow_and_asks_it_over_http(
    up: Callable[..., Up], person: Any, tmp_path: Path, first_port: int
) -> None:
    cluster = up()
    assert cluster.row("ε-CON") == [f"http://127.0.0.1:{first_port}"]
    assert cluster.row("domain domain-1") == [f"http://127.0.0.1:{first_port + 1}"]
    listed = cluster.command(person, "domain", "list")
    assert listed.stdout == "domain domain-1 (2 nodes)\n", listed.stderr
    workflow = str(person.web_workflow(tmp_path))
    begun = cluster.command(person, "workflow", "start", workflow)
    assert begun.returncode == 0, begun.stderr
    ingresses = [cluster.row(f"node domain-1/{index}")[1] for index in range(2)]
    person.until(
        lambda: "World" in [person.answer_of(f"{url}/hello") for url in ingresses],
        lambda: cluster.text,
    )
    # What functions say is shown while it goes on.
    person.until(lambda: "/processor INFO " in cluster.text, lambda: cluster.text)
    assert cluster.stop() == 0
    assert "Traceback" not in cluster.text


@pytest.mark.parametrize("options", [("--wire", "tcp"), ("--processes",)], ids=["tcp", "processes"])
def test_a_scenario_gives_its_cluster_and_nodes_write_real_files(
    up: Callable[..., Up], person: Any, tmp_path: Path, options: tuple[str, ...]
) -> None:
    cluster = up("chain", *options)
    assert cluster.command(person, "domain", "list").stdout == "domain edge (3 nodes)\n"
    # Nothing of the scenario has been started: people do, by the line that is shown.
    assert cluster.command(person, "workflow", "list").stdout == ""
    line = next(x for x in cluster.text.splitlines() if " workflow start " in x)
    program, *words = shlex.split(line)
    assert person.typed(program, *words, cwd=tmp_path).returncode == 0, cluster.text
    folders = [tmp_path / cluster.row(f"node edge/{index}")[-1] for index in range(3)]
    written = person.until(
        lambda: [x for folder in folders for x in folder.glob("chain.log") if x.read_text()],
        lambda: cluster.text,
    )
    assert written[0].read_text().splitlines()[0] == "4"
    assert cluster.stop() == 0
    assert "Traceback" not in cluster.text


def test_steps_are_performed_if_asked_for_and_one_that_fails_is_told(
    up: Callable[..., Up], person: Any, tmp_path: Path
) -> None:
    step = '[[step]]\nat = "{}"\ndo = "start_workflow"\nfile = "{}"\nas = "{}"\n'
    files = [ROOT / "scenarios" / name / "workflow.json" for name in ("noop", "file_log")]
    # No node has what the second one needs.
    text = SMALL.replace('duration = "1s"', 'duration = "1s"\nworlds = ["grpc"]')
    text = text.replace('providers = ["file-log"]', "")
    steps = [
        step.format("0s", files[1].as_posix(), "a"),
        step.format("1s", files[0].as_posix(), "b"),
    ]
    (tmp_path / "scenario.toml").write_text("\n".join([text, *steps]))
    cluster = up("scenario.toml", "--steps")
    listed = person.until(
        lambda: cluster.command(person, "workflow", "list").stdout, lambda: cluster.text
    )
    assert len(listed.splitlines()) == 1
    assert "warning: step[0] " in cluster.text
    assert cluster.stop() == 0


def test_quiet_shows_where_the_controller_is_and_nothing_else(
    start: Start, person: Any, tmp_path: Path, first_port: int
) -> None:
    log = tmp_path / "log"
    program = str(Path(sys.executable).with_name("edgeless-sim"))
    state = ("--state", str(tmp_path / "state"))
    process = start([program, "up", "-q", "--port", str(first_port), *state], log)
    person.until(lambda: log.read_text().endswith("\n"), log.read_text)
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_S) == 0
    assert log.read_text() == f"http://127.0.0.1:{first_port}\n"


def test_it_comes_up_again_at_the_same_ports_and_replaces_its_own_file_only(
    up: Callable[..., Up], person: Any, tmp_path: Path
) -> None:
    first = up("chain", "--wire", "tcp")
    rows = [first.row(f"node edge/{index}") for index in range(3)]
    # While it is up, nobody else has its files.
    second = person.typed("edgeless-sim", "up", cwd=tmp_path)
    assert second.returncode == 1
    assert "another cluster is up with these files" in second.stderr
    assert first.stop() == 0

    again = up("chain", "--wire", "tcp")
    assert [again.row(f"node edge/{index}") for index in range(3)] == rows
    assert again.stop() == 0

    file = tmp_path / ".edgeless" / "cli.toml"
    file.write_text('controller_url = "http://127.0.0.1:1"\n')
    third = person.typed("edgeless-sim", "up", cwd=tmp_path)
    assert third.returncode == 1
    assert "the file is not of edgeless-sim up" in third.stderr
    assert file.read_text() == 'controller_url = "http://127.0.0.1:1"\n'


def test_a_port_that_is_taken_is_refused_with_the_remedy(
    person: Any, tmp_path: Path, first_port: int
) -> None:
    with socket.create_server(("127.0.0.1", first_port)):
        done = person.typed("edgeless-sim", "up", "--port", str(first_port), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"127.0.0.1:{first_port}" in done.stderr
    assert "--port takes another one" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("absent",), 4, "no such scenario"),
        (("broken.toml",), 3, "broken.toml:2: durashun: unknown key"),
        (("--state", "broken.toml"), 1, "the state folder is a file"),
        (("--steps",), 2, "--steps needs a scenario"),
        (("small.toml", "--steps"), 3, "the scenario is for sim only"),
        (("many.toml",), 3, "at most 256 stay up"),
        (("--wire", "memory"), 2, "'memory' is none of tcp, grpc"),
        (("--port", "65535"), 3, "free ports on 127.0.0.1 from 65535 on"),
        (("--port", "0"), 2, "--port"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    person: Any, tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "broken.toml").write_text(SMALL.replace("duration", "durashun"))
    (tmp_path / "many.toml").write_text(SMALL.replace("nodes = [{", "nodes = [{count = 999, "))
    done = person.typed("edgeless-sim", "up", *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
