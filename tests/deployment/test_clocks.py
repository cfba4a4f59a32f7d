"""Hosts whose calendars are years apart work together: only timestamps tell (F18)."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

MakeDeployment: TypeAlias = Callable[..., Any]
Until: TypeAlias = Callable[..., Any]
SCENARIOS: Final = Path(__file__).parents[2] / "scenarios"
SKEWED: Final = Path(__file__).with_name("skewed.py")
YEARS: Final = 10
YEAR_S: Final = 365 * 86_400
#: A node that is silent is given up after two keep-alives of 2 s and a tick.
GIVEN_UP_S: Final = 5.0
FAILOVER_S: Final = 17.0


def _transfers_s(deployment: Any, node: str) -> tuple[float, int]:
    """Sum and number of the times that events took to *node*, by their timestamps."""
    text = deployment.ask(node, "metrics")[1]
    found = [
        sum(map(float, re.findall(rf"^\w*transfer_times_{what}\{{.*\}} (\S+)", text, re.M)))
        for what in ("sum", "count")
    ]
    return found[0], int(found[1])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_calendars_that_are_twenty_years_apart_change_nothing_but_timestamps(
    scheme: str, make_deployment: MakeDeployment, until: Until
) -> None:
    deployment = make_deployment(domains={"d": 2}, scheme=scheme)
    ahead, behind = deployment.nodes
    deployment.start("con", "orc/d")
    for node, years in ((ahead, YEARS), (behind, -YEARS)):
        deployment.start(node, through=f"{sys.executable} {SKEWED} {years}")
    # Registration.
    deployment.cli("domain", "wait", "--nodes", "2")
    began_s = time.monotonic()
    workflows = {
        deployment.cli("workflow", "start", str(SCENARIOS / name / "workflow.json"))
        for name in ("ping_pong", "file_log", "chain")
    }
    until(lambda: all(deployment.functions()), lambda: str(deployment.functions()))
    count = sum(deployment.functions())
    # Events: those from the past arrive in the future, and say so.
    until(
        lambda: _transfers_s(deployment, ahead)[0] > 2 * YEARS * YEAR_S * 0.99,
        lambda: deployment.ask(ahead, "metrics")[1],
    )
    until(lambda: _transfers_s(deployment, behind)[1] > 0)
    # Refreshes: nobody is given up although nothing happens but time.
    while time.monotonic() < began_s + GIVEN_UP_S + 1:
        assert sum(deployment.functions()) == count, deployment.said("orc/d")
        time.sleep(0.2)
    # Deadlines: a node that is silent is given up in time.
    killed_s = time.monotonic()
    deployment.kill(ahead)
    until(lambda: deployment.functions_on(behind) == count, lambda: deployment.said("orc/d"))
    assert time.monotonic() - killed_s < FAILOVER_S
    assert set(deployment.cli("workflow", "list").split()) == workflows
