"""What a deployment promises when a part of it is killed: real daemons, SIGKILL, the guide's times.

Some of it with ``-m slow`` only; more kills with ``EDGELESS_KILLS=100`` (``nox -s kills``). What
happens is drawn from a seed, which a failure tells and ``EDGELESS_SEED`` sets.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import anyio
import pytest

from edgeless_sim.api.messages import StartWorkflow
from edgeless_sim.cluster.deployment_client import open_controller
from edgeless_sim.errors import EdgelessError
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.ids import WorkflowId
from edgeless_sim.model.workflow_file import load_workflow

MakeDeployment: TypeAlias = Callable[..., Any]
Until: TypeAlias = Callable[..., Any]
SCENARIOS: Final = Path(__file__).parents[2] / "scenarios"
NOOP: Final = SCENARIOS / "noop" / "workflow.json"
FILE_LOG: Final = SCENARIOS / "file_log" / "workflow.json"
KILLS: Final = int(os.environ.get("EDGELESS_KILLS", "10"))
#: From a kill to the functions elsewhere: twice the guide's keep-alive of 2 s, a tick, and starts.
FAILOVER_S: Final = 17.0
#: For whoever comes back to stop what is stale.
STALE_S: Final = 10.0


def lines_of(deployment: Any) -> int:
    """How many lines file-log has written anywhere."""
    return sum(
        len(path.read_bytes().splitlines())
        for path in deployment.folder.rglob("*.log")
        if "file-log" in path.parts
    )


def steady(condition: Callable[[], bool], until: Until, told: Callable[[], str]) -> None:
    """Wait until *condition* holds, and go on holding for two seconds."""
    until(condition, told)
    end_s = time.monotonic() + 2
    while time.monotonic() < end_s:
        assert condition(), told()
        time.sleep(0.2)


def test_events_cross_between_two_nodes_in_processes_of_their_own(
    make_deployment: MakeDeployment, until: Until
) -> None:
    deployment = make_deployment(domains={"d": 2})
    deployment.start()
    deployment.cli("domain", "wait", "--nodes", "2")
    deployment.cli("workflow", "start", str(SCENARIOS / "ping_pong" / "workflow.json"))
    deployment.cli("workflow", "start", str(FILE_LOG))
    until(lambda: lines_of(deployment) >= 2)
    until(lambda: all(deployment.functions()), lambda: str(deployment.functions()))
    received = [deployment.ask(node, "metrics")[1] for node in deployment.nodes]
    assert all("transfer_times_count{" in text for text in received)


def test_functions_of_a_killed_node_run_on_the_other_within_17_s(
    make_deployment: MakeDeployment, until: Until
) -> None:
    deployment = make_deployment(domains={"d": 2})
    deployment.start()
    deployment.cli("domain", "wait", "--nodes", "2")
    workflows = {deployment.cli("workflow", "start", str(FILE_LOG)) for _ in range(4)}
    until(lambda: sum(deployment.functions()) == 4)
    other, victim = sorted(deployment.nodes, key=deployment.functions_on)
    began_s = time.monotonic()
    deployment.kill(victim)
    until(lambda: deployment.functions_on(other) == 4, lambda: deployment.said("orc/d"))
    took_s = time.monotonic() - began_s
    sys.stdout.write(f"after {took_s:.1f} s all functions run on the other node\n")
    assert took_s < FAILOVER_S
    written = lines_of(deployment)
    until(lambda: lines_of(deployment) > written + 4)
    # It comes back under the same id, with the same disk, and runs nothing that is stale.
    deployment.start(victim)
    until(lambda: deployment.answers(victim, "ready"))
    steady(lambda: sum(deployment.functions()) == 4, until, lambda: str(deployment.functions()))
    assert set(deployment.cli("workflow", "list").split()) == workflows


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workflows_run_again_after_a_restart_of_the_orchestrator(
    number: signal.Signals, make_deployment: MakeDeployment, until: Until
) -> None:
    deployment = make_deployment(domains={"d": 2})
    deployment.start()
    deployment.cli("domain", "wait", "--nodes", "2")
    workflows = {deployment.cli("workflow", "start", str(FILE_LOG)) for _ in range(3)}
    until(lambda: sum(deployment.functions()) == 3)
    deployment.signal("orc/d", number)
    deployment.processes["orc/d"].wait(STALE_S)
    began_s = time.monotonic()
    deployment.start("orc/d")
    until(lambda: "named" in deployment.said("orc/d") or " placed on " in deployment.said("orc/d"))
    steady(lambda: sum(deployment.functions()) == 3, until, lambda: str(deployment.functions()))
    sys.stdout.write(f"after {time.monotonic() - began_s:.1f} s all runs again, and is steady\n")
    written = lines_of(deployment)
    until(lambda: lines_of(deployment) > written + 3)
    assert set(deployment.cli("workflow", "list").split()) == workflows


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["killed", "frozen"])
def test_workflows_of_a_domain_that_is_lost_move_to_the_other(
    fate: str, make_deployment: MakeDeployment, until: Until
) -> None:
    deployment = make_deployment(domains={"a": 1, "b": 1})
    deployment.start()
    deployment.cli("domain", "wait", "--nodes", "2")
    workflows = {deployment.cli("workflow", "start", str(FILE_LOG)) for _ in range(4)}
    until(lambda: sum(deployment.functions()) == 4)
    counts = deployment.functions()
    home, other = ("a", "b") if counts[0] >= counts[1] else ("b", "a")
    lost = (f"orc/{home}", f"node/{home}/0")
    if fate == "killed":
        deployment.kill(*lost)
    else:
        for name in lost:
            deployment.signal(name, signal.SIGSTOP)
    until(
        lambda: deployment.functions_on(f"node/{other}/0") == 4,
        lambda: deployment.said("con"),
    )
    assert set(deployment.cli("workflow", "list").split()) == workflows
    if fate == "killed":
        deployment.start(*lost)
    else:
        for name in lost:
            deployment.signal(name, signal.SIGCONT)
    until(lambda: deployment.answers(f"node/{home}/0", "ready"))
    steady(lambda: sum(deployment.functions()) == 4, until, lambda: str(deployment.functions()))


class Books:
    """What one client knows of its workflows, however its requests ended."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.running: set[WorkflowId] = set()
        self.stopped: set[WorkflowId] = set()
        #: Stops that were not answered.
        self.doubtful: set[WorkflowId] = set()
        #: Starts that were not answered.
        self.unanswered = 0
        self.acknowledged = 0

    async def work(self, url: str) -> None:
        """Start and stop until the ε-CON does not answer."""
        workflow, _ = load_workflow(NOOP)
        async with open_controller(url, timeout_s=2) as controller:
            while True:
                stops = self.running and self._dice.random() < min(0.9, len(self.running) / 8)
                which = self._dice.choice(sorted(self.running)) if stops else None
                try:
                    if which is None:
                        status = await controller.start(StartWorkflow(workflow, ""))
                        self.running.add(status.workflow_id)
                    else:
                        await controller.stop(which)
                        self.running.remove(which)
                        self.stopped.add(which)
                except EdgelessError:
                    if which is None:
                        self.unanswered += 1
                    else:
                        self.running.remove(which)
                        self.doubtful.add(which)
                    return
                self.acknowledged += 1

    def compare(self, listed: set[WorkflowId]) -> None:
        """Nothing acknowledged is lost, nothing stopped returns."""
        assert self.running <= listed, f"lost: {self.running - listed}"
        assert not self.stopped & listed, f"returned: {self.stopped & listed}"
        strangers = listed - self.running - self.doubtful
        assert len(strangers) <= self.unanswered, f"from nowhere: {strangers}"
        self.stopped |= self.doubtful - listed
        self.running = set(listed)
        self.doubtful.clear()
        self.unanswered = 0


async def _listed(url: str) -> set[WorkflowId]:
    with anyio.fail_after(30):
        while True:
            try:
                async with open_controller(url, timeout_s=2) as controller:
                    return {each.workflow_id for each in await controller.list_workflows()}
            except EdgelessError:
                await anyio.sleep(0.05)


def test_a_controller_that_is_killed_loses_nothing_and_revives_nothing(
    make_deployment: MakeDeployment, until: Until
) -> None:
    seed = int(os.environ.get("EDGELESS_SEED", random.randrange(1 << 30)))
    again = f"EDGELESS_SEED={seed} EDGELESS_KILLS={KILLS} python -m pytest {__file__} -k revives"
    dice = random.Random(seed)
    deployment = make_deployment(domains={"d": 1})
    deployment.start()
    deployment.cli("domain", "wait", "--nodes", "1")
    books = Books(dice)

    async def one_life(url: str) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(books.work, url)
            # From the middle of a start to some dozens of them later.
            await anyio.sleep(0.05 + 0.75 * dice.random())
            deployment.kill("con")
        deployment.start("con")
        books.compare(await _listed(url))

    for number in range(KILLS):
        try:
            run(lambda: one_life(deployment.url("con")), world="real")
        except BaseException as error:
            error.add_note(f"at kill {number + 1}; again: {again}")
            raise
    steady(
        lambda: sum(deployment.functions()) == len(books.running),
        until,
        lambda: f"{deployment.functions()} instances, {len(books.running)} workflows; {again}",
    )
    sys.stdout.write(f"{KILLS} kills, {books.acknowledged} starts and stops acknowledged\n")
    assert books.acknowledged >= 2 * KILLS, again
