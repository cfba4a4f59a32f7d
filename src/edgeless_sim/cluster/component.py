"""One ε-CON, ε-ORC or node as a process of its own, from its TOML file.

``python -m edgeless_sim component con|orc|node FILE``. With supervision it belongs to a cluster on
this machine (`supervision`); without, it is a part of a deployment and obeys signals alone.
"""

import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.cluster.endpoint import Endpoint, Tls
from edgeless_sim.cluster.lifeline import Lifeline, StopSignal, read_charter, take_output
from edgeless_sim.cluster.supervision import Charter, Cordon
from edgeless_sim.controller.controller import Controller, ControllerSettings
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.loop import run
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.ids import DomainId, NodeId
from edgeless_sim.node.node import Node, NodeSettings
from edgeless_sim.node.state_store import FileStateStore
from edgeless_sim.orchestrator.orchestrator import Orchestrator, OrchestratorSettings

__all__ = ["KINDS", "run_component"]
