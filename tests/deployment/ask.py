"""Run by tests on one of their hosts: starts a workflow at an ε-CON, and says where it runs.

``python ask.py URL WORKFLOW_FILE NODES SECONDS``: waits for so many nodes, lets the workflow run
for so long, prints its components' nodes as JSON, and stops it.
"""

import sys
from pathlib import Path

import anyio

from edgeless_sim.api.messages import StartWorkflow
from edgeless_sim.cluster.deployment_client import open_controller
from edgeless_sim.errors import EdgelessError
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.ids import DomainId
from edgeless_sim.model.workflow_file import load_workflow


async def main() -> None:
    url, file, nodes, seconds = sys.argv[1:]
    workflow, _ = load_workflow(Path(file))
    async with open_controller(url, timeout_s=5) as controller:
        with anyio.fail_after(30):
            while True:
                try:
                    domains = await controller.domains(DomainId(""))
                except EdgelessError:
                    domains = {}
                if sum(domain.num_nodes for domain in domains.values()) == int(nodes):
                    break
                await anyio.sleep(0.1)
        status = await controller.start(StartWorkflow(workflow, "w"))
        await anyio.sleep(float(seconds))
        await controller.inspect(status.workflow_id)
        await controller.stop(status.workflow_id)


run(main, world="real")
