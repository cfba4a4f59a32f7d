"""The steps of a scenario: what is done to the cluster, and when. A closed vocabulary.

Each step is a table with ``at`` and ``do``. Where a node is named, ``@WORKFLOW/COMPONENT`` is the
one that hosts that component when the step is performed. Not here: how a step is performed
(`faults`), and whether the names in it exist (`checks`).
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from edgeless_sim.model.toml_table import Few, Name, Probability, Table, Texts
from edgeless_sim.runtimes.base import PAYLOAD_BYTES_MAX
from edgeless_sim.scenario.http_tables import BackendUrl, HttpQuestion, Reply
from edgeless_sim.scenario.units import Bandwidth, Duration

__all__ = [
    "Backend",
    "CallComponent",
    "Cordon",
    "CrashBalancer",
    "CrashNode",
    "CrashOrchestrator",
    "Degrade",
    "Heal",
    "HttpReply",
    "HttpRequest",
    "Migrate",
    "Partition",
    "RestartBalancer",
    "RestartNode",
    "RestartOrchestrator",
    "Send",
    "Sides",
    "StartWorkflow",
    "Step",
    "StepTable",
    "StopNode",
    "StopWorkflow",
    "Uncordon",
]

#: Two sides of a link. A side lists nodes (``edge/0``), domains (``edge``), ε-ORCs
#: (``orc/edge``) or ``con``; an empty one is everybody else.
Sides: TypeAlias = Annotated[tuple[Texts, Texts], Few]
_Payload: TypeAlias = Annotated[str, Field(max_length=PAYLOAD_BYTES_MAX)]
_Count: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000)]


class StepTable(Table):
    """What all steps have."""

    at: Duration
    """When, in ns since the run began; in real time, since the cluster was up."""
    may_fail: bool = False
    """Whether the run goes on when the step is refused."""


class StartWorkflow(StepTable):
    """Start the workflow in a file, whose path is relative to the scenario's folder."""

    do: Literal["start_workflow"]
    file: Name = "workflow.json"
    workflow: Name = Field(alias="as")
    """What it is called in this scenario."""


class StopWorkflow(StepTable):
    """Stop a workflow."""

    do: Literal["stop_workflow"]
    workflow: Name


class CrashNode(StepTable):
    """A node vanishes with all that it hosts; nobody is told."""

    do: Literal["crash_node"]
    node: Name
    restart_after: Duration | None = None


class StopNode(StepTable):
    """A node stops gracefully: its instances get their stop hooks."""

    do: Literal["stop_node"]
    node: Name
    restart_after: Duration | None = None


class RestartNode(StepTable):
    """A node that is down comes back, with its disk."""

    do: Literal["restart_node"]
    node: Name


class CrashOrchestrator(StepTable):
    """The ε-ORC of a domain vanishes; its nodes go on."""

    do: Literal["crash_orchestrator"]
    domain: Name
    restart_after: Duration | None = None


class RestartOrchestrator(StepTable):
    """An ε-ORC that is down comes back with an empty memory."""

    do: Literal["restart_orchestrator"]
    domain: Name


class CrashBalancer(StepTable):
    """The ε-BAL that joins *domain* to *portal* vanishes with all that it hosts."""

    do: Literal["crash_balancer"]
    domain: Name
    portal: Name
    restart_after: Duration | None = None


class RestartBalancer(StepTable):
    """An ε-BAL that is down comes back."""

    do: Literal["restart_balancer"]
    domain: Name
    portal: Name


class Partition(StepTable):
    """Nothing passes between two sides; with ``one_way``, nothing from the first to the second."""

    do: Literal["partition"]
    between: Sides
    one_way: bool = False
    heal_after: Duration | None = None


class Degrade(StepTable):
    """Frames between two sides, or all of them, get lost, take longer, or come in disorder."""

    do: Literal["degrade"]
    between: Sides = ((), ())
    loss: Probability = 0.0
    latency: Duration = 0
    """Added to what the link takes anyway, as is the jitter."""
    jitter: Duration = 0
    bandwidth: Bandwidth | None = None
    """Of each link and direction."""
    duplicate: Probability = 0.0
    """That a frame arrives twice; as ``reorder``, in simulation only."""
    reorder: Probability = 0.0
    """That a frame is late, and those sent after it overtake it."""
    reorder_window: Annotated[Duration, Field(gt=0)] = 50_000_000
    """How late it is at most."""
    heal_after: Duration | None = None


class Heal(StepTable):
    """Undo all partitions and degradations."""

    do: Literal["heal"]


class Cordon(StepTable):
    """Place nothing new on a node; what runs there stays."""

    do: Literal["cordon"]
    node: Name


class Uncordon(StepTable):
    """Place components on a node again."""

    do: Literal["uncordon"]
    node: Name


class Migrate(StepTable):
    """Move a component, ``WORKFLOW/COMPONENT``, to another node of its domain."""

    do: Literal["migrate"]
    component: Name
    to: Name


class Send(StepTable):
    """Send events from outside to a component, ``WORKFLOW/COMPONENT``."""

    do: Literal["send"]
    to: Name
    payload: _Payload = ""
    count: _Count = 1
    every: Duration = 0


class CallComponent(StepTable):
    """Call a component from outside and wait for its answer."""

    do: Literal["call"]
    to: Name
    payload: _Payload = ""
    reply: str | None = None
    """The answer that must come; None = any reply, even an empty one."""
    timeout: Annotated[Duration, Field(gt=0)] = 30_000_000_000


class HttpRequest(StepTable, HttpQuestion):
    """Ask an http-ingress, and wait for the response."""

    do: Literal["http_request"]
    status: Annotated[int, Field(ge=100, le=999)] | None = None
    """That of the response; None = any, as long as there is a response."""
    reply: str | None = None
    """The whole body of the response."""
    reply_contains: str | None = None
    """A text in it."""


class Backend(StepTable):
    """Let a simulated back-end be up, down, slow, or answer nonsense."""

    do: Literal["backend"]
    url: BackendUrl
    condition: Literal["up", "down", "slow", "wrong"]
    delay: Annotated[Duration, Field(gt=0)] | None = None
    """Until a slow one answers."""
    heal_after: Duration | None = None


class HttpReply(StepTable, Reply):
    """What a simulated web server answers from now on."""

    do: Literal["http_reply"]
    url: BackendUrl


Step: TypeAlias = Annotated[
    StartWorkflow
    | StopWorkflow
    | CrashNode
    | StopNode
    | RestartNode
    | CrashOrchestrator
    | RestartOrchestrator
    | CrashBalancer
    | RestartBalancer
    | Partition
    | Degrade
    | Heal
    | Cordon
    | Uncordon
    | Migrate
    | Send
    | CallComponent
    | HttpRequest
    | Backend
    | HttpReply,
    Field(discriminator="do"),
]
