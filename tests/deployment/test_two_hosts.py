"""Exported files run on two hosts: network namespaces where we may make them, else two addresses
of the loopback interface. What is started is what the export says: a script per host.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import pytest

Start: TypeAlias = Callable[[Sequence[str], Path], None]
ROOT: Final = Path(__file__).parents[2]
ASK: Final = Path(__file__).with_name("ask.py")
CHAIN: Final = ROOT / "scenarios" / "chain" / "workflow.json"
FIRST_PORT: Final = 17_401


@dataclass(frozen=True)
class Hosts:
    """Two addresses, and what to put before a command so that it runs there."""

    addresses: tuple[str, str]
    prefixes: tuple[tuple[str, ...], tuple[str, ...]]


def _ip(*words: str) -> bool:
    done = subprocess.run(["ip", *words], capture_output=True, check=False)
    return done.returncode == 0


def _make_namespaces(stack: ExitStack) -> Hosts | None:
    """Two namespaces with a cable between them; None where that is not allowed."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return None
    names = tuple(f"edgeless-{os.getpid()}-{end}" for end in "ab")
    addresses = ("10.83.7.1", "10.83.7.2")
    for name in names:
        if not _ip("netns", "add", name):
            return None
        stack.callback(_ip, "netns", "del", name)
    cable = ("link", "add", "wire-a", "netns", names[0], "type", "veth")
    if not _ip(*cable, "peer", "name", "wire-b", "netns", names[1]):
        return None
    for name, address, device in zip(names, addresses, ("wire-a", "wire-b"), strict=True):
        up = ("link", "set", device, "up"), ("link", "set", "lo", "up")
        given = _ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
        if not given or not all(_ip("-n", name, *words) for words in up):
            return None
    prefixes = tuple(("ip", "netns", "exec", name) for name in names)
    return Hosts(addresses, (prefixes[0], prefixes[1]))


@pytest.fixture
def hosts() -> Generator[Hosts]:
    with ExitStack() as stack:
        yield _make_namespaces(stack) or Hosts(("127.0.0.1", "127.0.0.2"), ((), ()))


@pytest.mark.parametrize("scheme", ["http", pytest.param("tcp", marks=pytest.mark.slow)])
def test_an_exported_cluster_runs_on_two_hosts(
    hosts: Hosts, scheme: str, start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "deployment"
    export = ("export", "chain", "--hosts", ",".join(hosts.addresses), "--to", str(folder))
    options = ("--scheme", scheme, "--first-port", str(FIRST_PORT))
    subprocess.run([sys.executable, "-m", "edgeless_sim", *export, *options], check=True)
    for address, prefix in zip(hosts.addresses, hosts.prefixes, strict=True):
        start([*prefix, "sh", str(folder / address / "start.sh")], folder / address / "log")
    url = f"{scheme}://{hosts.addresses[0]}:{FIRST_PORT}"
    ask = [*hosts.prefixes[1], sys.executable, str(ASK), url, str(CHAIN), "3", "3.5"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=60)
    logs = "\n".join(path.read_text() for path in folder.glob("*/log"))
    assert done.returncode == 0, f"{done.stderr}\n{logs}"
    assert set(json.loads(done.stdout)) == {"counter", "incr", "double", "log"}
    # Three nodes on two hosts in turn: what is counted on one is added and doubled on others.
    written = [path.read_text() for path in folder.glob("*/node-*/file-log/chain.log")]
    assert len(written) == 1
    assert written[0].splitlines()[:3] == ["4", "6", "8"]
    assert len({path.parents[1] for path in folder.glob("*/node-*/node.toml")}) == 2
