"""The policies of the README, word for word: one inside of the ε-ORC, one beside it."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from edgeless_sim.cluster.ports import LOOPBACK, free_ports
from edgeless_sim.kernel import run
from edgeless_sim.scenario.loader import load_scenario
from edgeless_sim.scenario.runner import open_cluster
from edgeless_sim.testing.checkers import running_instances

Until: TypeAlias = Callable[..., Any]
ROOT: Final = Path(__file__).parents[2]
NOOP: Final = ROOT / "scenarios" / "noop" / "workflow.json"
FUNCTIONS: Final = 4


def block(of: str) -> str:
    """The one block of Python in the README with that text in it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"```python\n(.*?)```", readme, re.S)
    (found,) = [code for code in blocks if of in code]
    return found


def test_the_policy_of_the_readme_places_in_a_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_policy.py").write_text(block("class Emptiest"))
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copy(NOOP, tmp_path / "workflow.json")
    text = 'name = "p"\nduration = "10s"\n[[domain]]\nname = "edge"\nSTRATEGY\n[[domain.nodes]]\n'
    (tmp_path / "scenario.toml").write_text(
        text.replace("STRATEGY", 'strategy = "my_policy:Emptiest"') + "count = 4\n"
    )

    async def main() -> None:
        async with open_cluster(load_scenario(tmp_path)) as cluster:
            for number in range(4):
                await cluster.start_workflow(NOOP, name=f"w{number}")
            await cluster.settled()
            assert sorted(running_instances(cluster).values()) == sorted(cluster.nodes)
            status = (await cluster.controller.list_workflows())[-1]
            last = (await cluster.controller.explain(status.workflow_id))[-1]
            assert {each.score for each in last.candidates} == {0.0, -1.0}

    run(main)
    sys.modules.pop("my_policy")


def test_the_program_of_the_readme_spreads_functions_through_a_redis_and_without_one(
    make_deployment: Any, start: Any, tmp_path: Path, until: Until
) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    (port,) = free_ports(1)
    redis = f"redis://{LOOPBACK}:{port}"
    start(
        ("redis-server", "--port", str(port), "--bind", LOOPBACK, "--save", "", "--dir", "/tmp"),
        tmp_path / "redis.log",
    )
    deployment = make_deployment(domains={"d": 2})
    file = deployment.place("orc/d") / "orchestrator.toml"
    proxy = f'[proxy]\nproxy_type = "Redis"\nredis_url = "{redis}"\n'
    file.write_text(file.read_text() + proxy)
    program = tmp_path / "spread.py"
    program.write_text(block("async def spread"))
    first, second = deployment.nodes
    deployment.start("con", "orc/d", first)
    deployment.cli("domain", "wait")
    for _ in range(FUNCTIONS):
        deployment.cli("workflow", "start", str(NOOP))
    deployment.start(second)
    until(lambda: deployment.functions() == [FUNCTIONS, 0])

    through_redis = start((sys.executable, str(program), redis), tmp_path / "spread.log")
    until(lambda: deployment.functions() == [2, 2], (tmp_path / "spread.log").read_text)
    through_redis.terminate()
    through_redis.wait()

    deployment.kill(first)
    until(lambda: deployment.functions() == [0, FUNCTIONS])
    deployment.start(first)
    start((sys.executable, str(program), deployment.url("orc/d")), tmp_path / "spread.log")
    until(lambda: deployment.functions() == [2, 2], (tmp_path / "spread.log").read_text)
