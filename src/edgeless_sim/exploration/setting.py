"""Where a seed happens: who is there, which workflows are started, what can fail outside.

Built in, or taken from a scenario, of which only the topology, the workflows and the back-ends
count.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edgeless_sim.cluster.topology import DomainTopology, LinkTopology, NodeGroup, Topology
from edgeless_sim.errors import ScenarioError
from edgeless_sim.model.function import FunctionClassSpecification
from edgeless_sim.model.workflow import SpawnWorkflowRequest, WorkflowFunction, WorkflowResource

__all__ = ["Setting", "built_in", "load_setting", "unplaceable"]

_GUESTS: Final = Path(__file__).parent / "guests"
_REDIS: Final = "redis://127.0.0.1:6379"
_LOGS: Final = ("file-log",)
_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Setting:
    """See the module."""

    topology: Topology
    workflows: tuple[tuple[str, SpawnWorkflowRequest], ...]
    """By name; sorted."""
    backends: tuple[str, ...] = ()
    """Addresses of simulated back-ends that may fail."""
    quiet: bool = True
    """Whether workflows that are left alone come to rest; those of scenarios need not."""

    @property
    def keep_alive_s(self) -> float:
        """The slowest domain's."""
        return max(domain.keep_alive_s for domain in self.topology.domains)

    @property
    def code_bytes_max(self) -> int:
        """The size of the largest code that a start carries."""
        return max(
            (
                len(function.class_specification.binary or b"")
                for _, request in self.workflows
                for function in request.functions
            ),
            default=0,
        )


def built_in() -> Setting:
    """Three domains of eight nodes, five workflows that want different things of them."""
    special = NodeGroup(providers=(*_LOGS, "redis"), labels=("gpu",), tee=True)
    topology = Topology(
        domains=(
            DomainTopology(
                "edge", (NodeGroup(count=3, providers=_LOGS), special), strategy="RoundRobin"
            ),
            DomainTopology("cloud", (NodeGroup(count=2, cpus=4, providers=(*_LOGS, "redis")),)),
            DomainTopology("lab", (special, NodeGroup(runtimes=("MODELLED",)))),
        ),
        links=(
            LinkTopology(latency_ns=5 * _MS, jitter_ns=2 * _MS),
            LinkTopology("con", "lab", latency_ns=40 * _MS, jitter_ns=20 * _MS),
        ),
        call_timeout_s=10,
        python_folders=(_GUESTS,),
    )
    workflows = {
        "chain": _workflow(
            [_modelled("first", out="second"), _modelled("second", out="log")], [_log("log")]
        ),
        "fan": _workflow(
            [
                _modelled("source", left="one", right="two"),
                _modelled("one", out="sink"),
                _modelled("two", out="sink"),
                _modelled("sink"),
            ]
        ),
        "pinned": _workflow(
            [
                _modelled("before", out="gpu"),
                _modelled("gpu", {"label_match_all": "gpu", "tee": "required"}, out="store"),
            ],
            [WorkflowResource("store", "redis", {}, {"url": _REDIS, "key": "last"})],
        ),
        "calls": _workflow(
            [_python("asker", "Caller", ask="oracle", out="log"), _modelled("oracle")],
            [_log("log")],
        ),
        "fragile": _workflow(
            [_python("asker", "Caller", ask="fragile"), _python("fragile", "Fragile", out="log")],
            [_log("log")],
        ),
    }
    return Setting(topology, tuple(sorted(workflows.items())), (_REDIS,))


def load_setting(name: str | None) -> Setting:
    """The setting of the scenario called *name*; None = the built-in one.

    Raises `ScenarioError` for a file that is bad, or of no use here.
    """
    if name is None:
        return built_in()
    # Reading files needs pydantic.
    from edgeless_sim.scenario.loader import load_scenario
    from edgeless_sim.scenario.shipped import find_scenario

    scenario = load_scenario(find_scenario(name), label=name)
    if "sim" not in scenario.worlds:
        worlds = ", ".join(scenario.worlds)
        raise ScenarioError(f"{name}: exploring is simulating, and the scenario is for {worlds}")
    if not scenario.workflows:
        raise ScenarioError(f"{name}: it has no workflow to start (a step 'start_workflow')")
    if scenario.balancers:
        raise ScenarioError(f"{name}: workflows in several domains (a balancer) are not explored")
    return Setting(
        replace(scenario.topology(), module_cache=None),
        tuple(sorted(scenario.workflows.items())),
        tuple(backend.url for backend in scenario.backends),
        quiet=False,
    )


def unplaceable() -> SpawnWorkflowRequest:
    """A workflow that no node can host."""
    return _workflow([_modelled("lost", {"label_match_all": "on-the-moon"})])


def _workflow(
    functions: list[WorkflowFunction], resources: list[WorkflowResource] | None = None
) -> SpawnWorkflowRequest:
    return SpawnWorkflowRequest(tuple(functions), tuple(resources or ()), {})


def _modelled(
    name: str, annotations: dict[str, str] | None = None, **outputs: str
) -> WorkflowFunction:
    code = FunctionClassSpecification("relay", "MODELLED", "1.0", outputs=tuple(outputs))
    return WorkflowFunction(
        name, code, outputs, {"init-payload": "service=e(2)", **(annotations or {})}
    )


def _python(name: str, of_class: str, **outputs: str) -> WorkflowFunction:
    code = FunctionClassSpecification(
        of_class.lower(), "PYTHON", "1.0", code=f"guests.py:{of_class}", outputs=tuple(outputs)
    )
    return WorkflowFunction(name, code, outputs)


def _log(name: str) -> WorkflowResource:
    return WorkflowResource(name, "file-log", {}, {"filename": f"{name}.log"})
