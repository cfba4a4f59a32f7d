"""Standard streams that are closed are no reason to stop, let alone to abort."""

import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.cluster.ports import LOOPBACK, free_ports

CLOSED: Final = ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")
TIMEOUT_S: Final = 60.0
PROGRAMS: Final = Path(sys.executable).parent


def run(command: str) -> "subprocess.CompletedProcess[bytes]":
    words = ["/bin/sh", "-c", f"exec {PROGRAMS}/{command}"]
    return subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)


@pytest.mark.parametrize("closed", CLOSED)
def test_a_question_over_a_socket_ends_as_ever(closed: str) -> None:
    url = f"http://{LOOPBACK}:{free_ports(1)[0]}"
    done = run(f"proxy_cli --orchestrator-url {url} show functions {closed}")
    assert done.returncode == 5, done.stderr


def test_a_run_over_sockets_passes_as_ever() -> None:
    done = run(f"edgeless-sim run --world tcp --in-process noop {CLOSED[-1]}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("closed", CLOSED)
def test_a_daemon_works_and_stops_as_ever(closed: str, tmp_path: Path) -> None:
    port, settings = free_ports(1)[0], tmp_path / "controller.toml"
    assert run(f"edgeless_con_d -t {settings}").returncode == 0
    text = settings.read_text()
    assert text.count(":7001") == 1
    settings.write_text(text.replace(":7001", f":{port}"))
    words = ["/bin/sh", "-c", f"exec {PROGRAMS}/edgeless_con_d -c {settings} {closed}"]
    with subprocess.Popen(words, cwd=tmp_path) as daemon:
        try:
            end_s = time.monotonic() + TIMEOUT_S
            while time.monotonic() < end_s:
                with suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
                    break
                assert daemon.poll() is None, "it has ended"
                time.sleep(0.05)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(TIMEOUT_S) == 0
        finally:
            daemon.kill()
