"""Who names no class that meets the world by sockets does not pay for its libraries."""

import subprocess
import sys

import pytest

CATALOG = "from edgeless_sim.resources.catalog import known_classes; known_classes()"
HELP = (
    "import contextlib, io; from edgeless_sim.cli.main import main\n"
    "sys.argv = ['edgeless-sim', '--help']\n"
    "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main()"
)
FILE_LOG = "from edgeless_sim.resources.catalog import provider_class; provider_class('file-log')"
KAFKA = CATALOG.replace("known_classes", "provider_class").replace("()", "('kafka-egress')")
CLUSTER = "import edgeless_sim.cluster.component, edgeless_sim.scenario.runner"


@pytest.mark.parametrize("code", [CATALOG, HELP, FILE_LOG, KAFKA, CLUSTER])
def test_neither_aiohttp_nor_aiokafka_nor_redis_is_loaded(code: str) -> None:
    program = (
        f"import sys\n{code}\n"
        "print(sorted({'aiohttp', 'aiokafka', 'redis', 'yarl'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
