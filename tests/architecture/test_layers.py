"""The arrows between the layers hold, and every contract about them can be broken.

The contracts are import-linter's, in pyproject.toml. To see each of them bite, the tree is copied
with empty modules (imports are all that counts) and one violation is planted into the copy.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

pytest.importorskip("importlinter", reason="import-linter comes with the extra `dev`")

ROOT: Final = Path(__file__).parents[2]
#: The imports that the contracts let pass by name; without them import-linter complains.
PERMITTED: Final = {
    "src/edgeless_sim/api/protobuf/permitted.py": "import google.protobuf\n",
    "src/edgeless_sim/cli/permitted.py": "import rich\nimport typer\n",
    "src/edgeless_sim/cluster/status/__init__.py": "",
    "src/edgeless_sim/cluster/status/server.py": "import aiohttp\nimport prometheus_client\n",
    "src/edgeless_sim/orchestrator/redis_writer.py": "import redis\n",
    "src/edgeless_sim/resources/http_client.py": "import aiohttp\n",
    "src/edgeless_sim/resources/http_connection.py": "import aiohttp\n",
    "src/edgeless_sim/resources/base.py": "import edgeless_sim.resources.simulated.backends\n",
    "src/edgeless_sim/resources/kafka_producer.py": "import aiokafka\n",
    "src/edgeless_sim/orchestrator/redis_batches.py": "import redis\n",
    "src/edgeless_sim/orchestrator/redis_mirror.py": "import redis\n",
    "src/edgeless_sim/resources/redis.py": "import redis\n",
    "src/edgeless_sim/resources/redis_connection.py": "import redis\n",
    "src/edgeless_sim/scenario/socket_client.py": "import aiohttp\n",
    "transports/edgeless_transports/_grpc_client.py": "import grpc\n",
    "transports/edgeless_transports/_grpc_server.py": "import grpc\n",
    "transports/edgeless_transports/_grpc_terms.py": "import grpc\n",
    "transports/edgeless_transports/grpc.py": "import grpc\n",
}
#: (the contract that breaks, the files that break it)
VIOLATIONS: Final[list[tuple[str, dict[str, str]]]] = [
    (
        "edgeless_sim stands on edgeless_transports",
        {"transports/edgeless_transports/memory.py": "import edgeless_sim.kernel\n"},
    ),
    (
        "Arrows point down",  # sideways, among the actors
        {"src/edgeless_sim/orchestrator/plan.py": "import edgeless_sim.node\n"},
    ),
    (
        "Arrows point down",  # sideways, within a line of the drawing
        {"src/edgeless_sim/resources/planted.py": "import edgeless_sim.runtimes.base\n"},
    ),
    (
        "Arrows point down",  # up
        {"src/edgeless_sim/kernel/planted.py": "from edgeless_sim.model import ids\n"},
    ),
    (
        "Arrows point down",  # a package without a place
        {"src/edgeless_sim/basement/__init__.py": ""},
    ),
    (
        "Transports know nothing of EDGELESS",
        {"transports/edgeless_transports/planted.py": "import pydantic\n"},
    ),
    (
        "Transports know nothing of each other",
        {"transports/edgeless_transports/tcp.py": "import edgeless_transports.memory\n"},
    ),
    (
        "Only api, cluster and testing touch transports",
        {"src/edgeless_sim/node/planted.py": "import edgeless_transports\n"},
    ),
    (
        "Heavy libraries stay in their corner",
        {"src/edgeless_sim/runtimes/planted.py": "import wasmtime\n"},
    ),
    (
        "Heavy libraries stay in their corner",
        {"src/edgeless_sim/testing/planted.py": "from typer import Option\n"},
    ),
    (
        "Heavy libraries stay in their corner",
        {"src/edgeless_sim/api/planted.py": "import grpc\n"},
    ),
    (
        "Heavy libraries stay in their corner",
        {"src/edgeless_sim/node/planted.py": "import aiohttp\n"},
    ),
    (
        "Decisions are pure",
        {"src/edgeless_sim/orchestrator/plan.py": "import asyncio\n"},
    ),
    (
        "Decisions are pure",
        {"src/edgeless_sim/model/planted.py": "from time import monotonic\n"},
    ),
    (
        "No cycles among siblings",
        {
            "src/edgeless_sim/kernel/planted.py": "import edgeless_sim.kernel.grafted\n",
            "src/edgeless_sim/kernel/grafted.py": "import edgeless_sim.kernel.planted\n",
        },
    ),
]


def contracts() -> list[dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found: list[dict[str, object]] = settings["tool"]["importlinter"]["contracts"]
    return found


def decision_modules() -> list[str]:
    """Sources that "Decisions are pure" names one by one; the linter wants them all to exist."""
    [contract] = [c for c in contracts() if c["name"] == "Decisions are pure"]
    names = contract["source_modules"]
    assert isinstance(names, list)
    return [f"src/{name.replace('.', '/')}.py" for name in names if name.count(".") > 1]


def plant(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def copy_skeleton(root: Path) -> None:
    """Copy the tree into *root*, its modules empty but for what the contracts permit."""
    for folder in ("src/edgeless_sim", "transports/edgeless_transports"):
        paths = sorted((ROOT / folder).rglob("*.py"))
        plant(root, {path.relative_to(ROOT).as_posix(): "" for path in paths})
    plant(root, dict.fromkeys(decision_modules(), ""))
    plant(root, PERMITTED)
    shutil.copy(ROOT / "pyproject.toml", root)


def lint(root: Path) -> tuple[bool, set[str], str]:
    """Run import-linter over the tree in *root*: does all hold, which contracts not, its words."""
    ended = subprocess.run(
        [
            *(sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"),
            *("--no-cache", "--no-logo"),
        ],
        cwd=root,
        env={
            **os.environ,
            # Before the editable install, so that the copy is what is looked at.
            "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root / "transports")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "200",
            "NO_COLOR": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    words = ended.stdout + ended.stderr
    return ended.returncode == 0, set(re.findall(r"^(.+?) BROKEN", words, re.MULTILINE)), words


def test_the_arrows_point_down() -> None:
    holds, _, words = lint(ROOT)
    assert holds, words


def test_the_bare_tree_breaks_nothing(tmp_path: Path) -> None:
    copy_skeleton(tmp_path)
    holds, broken, words = lint(tmp_path)
    assert (holds, broken) == (True, set()), words


@pytest.mark.parametrize(("contract", "files"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(
    contract: str, files: dict[str, str], tmp_path: Path
) -> None:
    copy_skeleton(tmp_path)
    plant(tmp_path, files)
    holds, broken, words = lint(tmp_path)
    assert not holds
    assert contract in broken, words


def test_every_contract_has_a_planted_violation() -> None:
    assert {name for name, _ in VIOLATIONS} == {contract["name"] for contract in contracts()}
