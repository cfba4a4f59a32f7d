"""``edgeless-sim top`` beside real daemons, and with a cluster that is up."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

NOOP: Final = Path(__file__).parents[2] / "scenarios" / "noop" / "workflow.json"


def test_daemons_are_watched_and_one_that_is_killed_is_told_of(
    deployment: Any, person: Any, until: Callable[..., Any]
) -> None:
    deployment.start()
    words = ("--controller-url", deployment.url("con"), "--orchestrator-url")

    def shown(orchestrator_url: str) -> Any:
        facts = (*words, orchestrator_url, "--format", "json")
        done = person.typed("edgeless-sim", "top", *facts, cwd=deployment.folder)
        return done.returncode, json.loads(done.stdout)

    def ready() -> bool:
        told = shown(deployment.url("orc/d"))[1]["peers"][0]["detail"]
        return bool(told.startswith("domains d (1 nodes"))

    until(ready, lambda: deployment.said("con"))
    identifier = deployment.cli("workflow", "start", str(NOOP))
    _, snapshot = shown(deployment.url("orc/d"))
    (workflow,) = snapshot["workflows"]
    assert (workflow["name"], workflow["state"]) == (identifier, "running")
    assert [each["name"] for each in workflow["components"]] == ["noop"]

    deployment.kill("orc/d")
    code, snapshot = shown(deployment.url("orc/d"))
    assert code == 5
    answers = [(peer["role"], peer["answer"]) for peer in snapshot["peers"]]
    assert answers == [("ε-CON", "answers"), ("ε-ORC", "does not answer")]

    deployment.kill("con")
    code, snapshot = shown(deployment.url("orc/d"))
    assert code == 5
    assert {peer["answer"] for peer in snapshot["peers"]} == {"does not answer"}
    assert snapshot["workflows"] == []


def test_a_cluster_that_is_up_is_watched_with_the_line_that_it_says(
    start: Callable[..., Any], person: Any, tmp_path: Path, first_port: int
) -> None:
    log = tmp_path / "log"
    program = str(Path(sys.executable).with_name("edgeless-sim"))
    words = ("up", "--port", str(first_port), "--state", str(tmp_path / "state"))
    start([program, *words], log)
    person.until(lambda: "Ctrl-C stops it" in log.read_text(), log.read_text)
    (line,) = (x for x in log.read_text().splitlines() if x.startswith("edgeless-sim top "))
    done = person.typed(*shlex.split(line), cwd=tmp_path)
    controller, orchestrator = (
        f"http://127.0.0.1:{first_port}",
        f"http://127.0.0.1:{first_port + 1}",
    )
    assert f"the ε-CON at {controller} answers: domains domain-1 (2 nodes" in done.stdout
    assert f"the ε-ORC at {orchestrator} " in done.stdout
