"""What acts on a cluster for a scenario: its client of ingresses, its names, who performs steps.

Not here: when something is done (`runner`, `standing`).
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.scenario.faults import StepPerformer
from edgeless_sim.scenario.model import Scenario
from edgeless_sim.scenario.observer import Observer
from edgeless_sim.scenario.web_client import WebClient
from edgeless_sim.scenario.web_clients import web_client
from edgeless_sim.scenario.web_steps import WebSteps
from edgeless_sim.scenario.workflow_names import WorkflowNames

__all__ = ["Hands", "open_hands"]


@dataclass(frozen=True, slots=True)
class Hands:
    """Those of one scenario on one cluster."""

    client: WebClient
    names: WorkflowNames
    performer: StepPerformer


@asynccontextmanager
async def open_hands(
    scenario: Scenario, cluster: Cluster, observer: Observer, begun_ns: int
) -> AsyncGenerator[Hands]:
    """The hands; *begun_ns* is the cluster's time from which those of the scenario count."""
    client: WebClient | None = None
    try:
        async with Supervisor.open() as supervisor:
            client = web_client(cluster, observer, scenario.ingresses(), supervisor.spawn)
            names = WorkflowNames(cluster.journal)
            web = WebSteps(cluster, client, scenario.backends)
            performer = StepPerformer(scenario, cluster, observer, web, names, begun_ns)
            yield Hands(client, names, performer)
    finally:
        # After the tasks that use it.
        with anyio.CancelScope(shield=True):
            if client is not None:
                await client.close()
