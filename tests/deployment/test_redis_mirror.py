"""Real daemons with a real Redis, asked and told with plain ``redis-cli`` (cases C004 to C007)."""

import json
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from edgeless_sim.cluster.ports import LOOPBACK, free_ports

Until: TypeAlias = Callable[..., Any]
FUNCTIONS: Final = Path(__file__).parents[2] / "functions"
PLACE: Final = r"InstanceId\(node_id: (\S+), function_id: (\S+)\)"
#: After a cordon is written, so the case says, it holds.
OBEYED_S: Final = 1.1


class Redis:
    """A redis-server, asked through ``redis-cli``."""

    def __init__(self, folder: Path, start: Any) -> None:
        (self._port,) = free_ports(1)
        self._folder, self._start = folder, start
        self.url = f"redis://{LOOPBACK}:{self._port}"
        self.process: Any = None

    def begin(self, until: Until) -> None:
        words = ("--port", str(self._port), "--bind", LOOPBACK, "--save", "", "--dir", "/tmp")
        self.process = self._start(("redis-server", *words), self._folder / "redis.log")
        until(lambda: self.ask("PING") == ["PONG"])

    def ask(self, *words: str) -> list[str]:
        """The lines of the answer."""
        command = ["redis-cli", "-h", LOOPBACK, "-p", str(self._port), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        return done.stdout.splitlines()

    def intend(self, key: str, value: str) -> None:
        self.ask("SET", key, value)
        self.ask("RPUSH", "intents", key)

    def places(self, kind: str) -> dict[str, list[str]]:
        """The nodes of each component that is a ``Function`` or a ``Resource``, by its id."""
        found: dict[str, list[str]] = {}
        for key in self.ask("--scan", "--pattern", "instance:????????-*"):
            for text in self.ask("GET", key):
                if text and kind in json.loads(text):
                    nodes = [node for node, _ in re.findall(PLACE, text)]
                    found[key.removeprefix("instance:")] = nodes
        return found


@pytest.fixture
def redis(tmp_path: Path, start: Any, until: Until) -> Redis:
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        pytest.skip("no redis-server or no redis-cli")
    server = Redis(tmp_path, start)
    server.begin(until)
    return server


def began(deployment: Any, redis: Redis) -> None:
    file = deployment.place("orc/d") / "orchestrator.toml"
    proxy = f'[proxy]\nproxy_type = "Redis"\nredis_url = "{redis.url}"\n'
    datasets = '[proxy.dataset_settings]\ndataset_path = "data/"\n'
    file.write_text(file.read_text() + proxy + datasets)
    deployment.start()
    deployment.cli("domain", "wait", "--nodes", str(len(deployment.nodes)))


def chain(folder: Path) -> Path:
    """f1 -> f2 and f3 -> log, as the case has it."""
    specification = json.loads((FUNCTIONS / "system_test" / "function.json").read_text())
    specification["code"] = str(FUNCTIONS / "system_test" / "system_test.wasm")
    wired = {
        "f1": ({"out1": "f2", "out2": "f3"}, {"init-payload": "8"}),
        "f2": ({"log": "log"}, {}),
        "f3": ({"log": "log"}, {}),
    }
    functions = [
        {
            "name": name,
            "class_specification": specification,
            "output_mapping": outputs,
            "annotations": annotations,
        }
        for name, (outputs, annotations) in wired.items()
    ]
    return written(folder, functions)


def written(folder: Path, functions: list[Any]) -> Path:
    log = {
        "name": "log",
        "class_type": "file-log",
        "output_mapping": {},
        "configurations": {"filename": "removeme.log"},
    }
    path = folder / "workflow.json"
    path.write_text(json.dumps({"functions": functions, "resources": [log], "annotations": {}}))
    return path


def test_intents_of_redis_cli_move_functions_of_real_daemons(
    make_deployment: Any, redis: Redis, tmp_path: Path, until: Until
) -> None:
    deployment = make_deployment(domains={"d": 2})
    began(deployment, redis)
    nodes = sorted(str(deployment.node_id(node)) for node in deployment.nodes)
    told = partial(redis.ask, "--scan", "--pattern")
    until(lambda: len(told("node:capabilities:????????-*")) == 2)
    until(lambda: len(told("node:health:*")) == 2)
    workflow = deployment.cli("workflow", "start", str(chain(tmp_path)))
    until(lambda: all(redis.places("Function").values()) and len(redis.places("Function")) == 3)
    before = redis.places("Function")
    wanted = {lid: [next(n for n in nodes if n not in at)] for lid, at in before.items()}
    for lid, (node,) in wanted.items():
        redis.intend(f"intent:migrate:{lid}", node)

    def moved() -> bool:
        places = redis.places("Function")
        assert all(len(each) == 1 for each in places.values()), "neither none nor two"
        assert len(places) == 3
        return places == wanted

    until(moved)
    assert redis.ask("LLEN", "intents") == ["0"]
    assert 'edgeless_mirror{state="redis_intents"} 3.0' in deployment.ask("orc/d", "metrics")[1]
    # Where they run now is where the nodes say so.
    until(lambda: sum(deployment.functions()) == 3)
    counted = Counter(node for (node,) in wanted.values())
    by_node = [counted[str(deployment.node_id(node))] for node in deployment.nodes]
    assert deployment.functions() == by_node
    rows = (deployment.place("orc/d") / "data/mapping_to_instance_id.csv").read_text().splitlines()
    assert rows[0] == ",timestamp,logical_id,workflow_id,node_id,physical_id"
    assert len(rows) == 1 + 3 + 3 + 1
    assert all(row.split(",")[3] == workflow for row in rows[1:])
    deployment.cli("workflow", "stop", workflow)
    assert deployment.cli("workflow", "list") == ""
    until(lambda: not redis.places("Function"))


@pytest.mark.slow
def test_a_cordon_by_redis_cli_keeps_resources_away_until_it_is_ended(
    make_deployment: Any, redis: Redis, tmp_path: Path, until: Until
) -> None:
    deployment = make_deployment(domains={"d": 2})
    second = deployment.place("node/d/1") / "node.toml"
    second.write_text(re.sub(r"(?m)^file_log_provider.*\n", "", second.read_text()))
    began(deployment, redis)
    node = str(deployment.node_id("node/d/0"))
    file = str(written(tmp_path, []))
    workflow = deployment.cli("workflow", "start", file)
    until(lambda: list(redis.places("Resource").values()) == [[node]])
    deployment.cli("workflow", "stop", workflow)
    redis.intend(f"intent:cordon:{node}", "yes")
    time.sleep(OBEYED_S)
    with pytest.raises(AssertionError, match=r"class type not found.*: cordoned"):
        deployment.cli("workflow", "start", file)
    assert deployment.cli("workflow", "list") == ""
    redis.intend(f"intent:cordon:{node}", "no")
    time.sleep(OBEYED_S)
    deployment.cli("workflow", "start", file)
    until(lambda: list(redis.places("Resource").values()) == [[node]])


@pytest.mark.slow
def test_a_killed_redis_does_not_hold_up_the_daemons_and_gets_its_mirror_back(
    make_deployment: Any, redis: Redis, tmp_path: Path, until: Until
) -> None:
    deployment = make_deployment(domains={"d": 1})
    began(deployment, redis)
    file = str(chain(tmp_path))
    deployment.cli("workflow", "start", file)
    until(lambda: len(redis.places("Function")) == 3)
    redis.process.kill()
    redis.process.wait()
    deployment.cli("workflow", "start", file)
    until(lambda: f"no mirror at {redis.url} for now" in deployment.said("orc/d"))
    assert deployment.answers("orc/d", "ready")
    redis.begin(until)
    until(lambda: len(redis.places("Function")) == 6)
    until(lambda: deployment.said("orc/d").count(f"is mirrored to {redis.url}") == 2)
    assert "Traceback" not in deployment.said("orc/d")
