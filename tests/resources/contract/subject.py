"""A resource class, as the contract sees it; one with a file of its own is beside this one."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from edgeless_sim.resources.simulated.backends import Backends

__all__ = ["CASES_S", "Subject", "let_fail"]

#: What calls, and whatever else has a deadline, may take here.
CASES_S = 1.0


class Subject(ABC):
    """A provider class, as the contract sees it."""

    class_type: ClassVar[str]
    announced: ClassVar[tuple[str, tuple[str, ...]]]
    good: dict[str, str]
    bad: list[dict[str, str]]
    settings: dict[str, Any]
    #: How its back-end can fail.
    faults: ClassVar[tuple[str, ...]] = ("down", "slow", "wrong")
    #: What it is called in workflows, if that is not its class; whether each instance may have a
    #: back-end of its own.
    announced_class: ClassVar[str] = ""
    has_neighbour: ClassVar[bool] = True
    #: Whether what failed can be well again: a full file cannot.
    recovers: ClassVar[bool] = True

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.settings = {"call_timeout_s": CASES_S}

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:  # noqa: B027 - may be empty
        """Begin the back-ends: one for the instance, another one for its neighbour."""

    @abstractmethod
    async def use(self, provider: Any, number: int = 1) -> bool:
        """Use the instance once; whether that had its effect."""

    @abstractmethod
    async def fail(self, fault: str) -> None:
        """Let the back-end of instance 1 fail; ``none`` repairs it."""

    def neighbour(self) -> dict[str, str]:
        """The configuration of an instance whose back-end stays well."""
        return self.good

    async def close(self) -> None:  # noqa: B027 - may be empty
        """End the back-ends."""


def let_fail(backends: Backends, address: str, fault: str) -> None:
    """Let a simulated back-end fail; ``none`` repairs it."""
    state = backends.state(address)
    state.down, state.wrong = fault == "down", fault == "wrong"
    state.delay_ns = 10**13 if fault == "slow" else 0
