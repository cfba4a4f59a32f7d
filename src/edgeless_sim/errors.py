"""Every error that edgeless-sim raises on purpose.

::

    EdgelessError                       catch this and you caught everything raised on purpose
    ├── SpecError                       the input is wrong; nothing ran             (exit 3)
    │   ├── WorkflowSpecError · FunctionSpecError · ScenarioError · SettingsError
    ├── RejectedError                   a peer answered "no": summary and detail    (exit 1)
    │   ├── NoFeasibleDomainError · NoFeasibleNodeError
    │   └── UnknownComponentError                                                   (exit 4)
    ├── UnreachableError                a peer did not answer                       (exit 5)
    ├── GuestError                      a function's own code failed                (exit 1)
    │   ├── BadCodeError · TrapError
    ├── ResourceError                   the outside world failed a resource         (exit 1)
    │   └── ListenError
    └── SimulationError                 the simulated world stopped making sense    (exit 6)
        ├── DeadlockError · LivelockError · ExpectationError

An ``AssertionError`` is a bug of ours: nobody catches it, the run stops and names its seed.
"""

__all__ = [
    "BadCodeError",
    "DeadlockError",
    "EdgelessError",
    "ExpectationError",
    "FunctionSpecError",
    "GuestError",
    "ListenError",
    "LivelockError",
    "NoFeasibleDomainError",
    "NoFeasibleNodeError",
    "RejectedError",
    "ResourceError",
    "ScenarioError",
    "SettingsError",
    "SimulationError",
    "SpecError",
    "TrapError",
    "UnknownComponentError",
    "UnreachableError",
    "WorkflowSpecError",
]


class EdgelessError(Exception):
    """Root of all errors that edgeless-sim raises on purpose."""


class SpecError(EdgelessError):
    """What somebody wrote is wrong; nothing was started. The message names place and remedy."""


class WorkflowSpecError(SpecError):
    """A workflow file or start request is not valid."""


class FunctionSpecError(SpecError):
    """A ``function.json`` or the code it names is not valid."""


class ScenarioError(SpecError):
    """A scenario file is not valid."""


class SettingsError(SpecError):
    """A configuration value is not valid."""


class RejectedError(EdgelessError):
    """A peer answered "no".

    ``summary`` is the same for every occurrence of one kind of refusal; ``detail`` says what was
    special this time (spec 0, "wrapper error").
    """

    def __init__(self, summary: str, detail: str | None = None) -> None:
        self.summary = summary
        self.detail = detail
        super().__init__(summary if detail is None else f"{summary} [detail: {detail}]")


class NoFeasibleDomainError(RejectedError):
    """No orchestration domain can host the workflow."""


class NoFeasibleNodeError(RejectedError):
    """No node of the domain can host the component."""


class UnknownComponentError(RejectedError):
    """The named workflow, component, node or domain does not exist."""


class UnreachableError(EdgelessError):
    """A peer did not answer: nobody listens there, the link is down, or the deadline passed."""


class GuestError(EdgelessError):
    """A function's own code failed; only that instance is affected."""


class BadCodeError(GuestError):
    """The code cannot be loaded: malformed module, missing export, unknown import."""


class TrapError(GuestError):
    """The code ended abnormally while it ran: a trap, or a quota that it used up."""


class ResourceError(EdgelessError):
    """The outside world failed a resource."""


class ListenError(ResourceError):
    """Nobody can listen at ``url``: it is taken, or not this machine's."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(reason)


class SimulationError(EdgelessError):
    """The simulated world stopped making sense. The message carries the virtual time."""


class DeadlockError(SimulationError):
    """Something is awaited, but nothing is ready and no timer is set."""


class LivelockError(SimulationError):
    """Millions of things happened and virtual time stood still."""


class ExpectationError(SimulationError):
    """An expectation of a scenario does not hold."""
