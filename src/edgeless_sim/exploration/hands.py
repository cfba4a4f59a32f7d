"""What operations and faults of one seed work with."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.errors import EdgelessError, RejectedError, UnreachableError
from edgeless_sim.exploration.oracle import Oracle
from edgeless_sim.exploration.promises import Promises
from edgeless_sim.exploration.setting import Setting
from edgeless_sim.exploration.tally import Tally
from edgeless_sim.kernel.entropy import Entropy

__all__ = ["Cordoning", "Hands"]

T = TypeVar("T")


@dataclass(slots=True)
class Cordoning:
    """Which nodes are cordoned, and since when that is so."""

    nodes: dict[str, None] = field(default_factory=dict)
    history: list[tuple[int, str, bool]] = field(default_factory=list)

    def set(self, node: str, *, cordoned: bool, now_ns: int) -> None:
        """A node is cordoned, or not any more."""
        self.history.append((now_ns, node, cordoned))
        if cordoned:
            self.nodes[node] = None
        else:
            self.nodes.pop(node, None)

    def lose(self, nodes: Sequence[str], now_ns: int) -> None:
        """Their ε-ORC has lost its memory."""
        for node in nodes:
            if node in self.nodes:
                self.set(node, cordoned=False, now_ns=now_ns)

    def at(self, node: str, when_ns: int) -> bool:
        """Whether *node* was cordoned just before and at *when_ns*."""
        before = False
        for since_ns, name, cordoned in self.history:
            if name == node and since_ns < when_ns:
                before = cordoned
            elif name == node and since_ns == when_ns:
                return False
        return before


class Hands:
    """One seed's cluster, its dice, and what is known of it without asking it."""

    def __init__(self, cluster: Cluster, setting: Setting, entropy: Entropy) -> None:
        self.cluster = cluster
        self.setting = setting
        self.promises = Promises()
        self.tally = Tally()
        self.cordons = Cordoning()
        self.oracle = Oracle(
            setting.topology, {name: str(node.node_id) for name, node in cluster.nodes.items()}
        )
        #: Until then, something may arrive that was sent long ago.
        self.late_until_ns = 0
        self._entropy = entropy
        self._numbers = 0

    def dice(self, what: str) -> Random:
        """Dice for one thing that is about to be done; the next one gets others."""
        self._numbers += 1
        return self._entropy.stream(f"explore/{what}/{self._numbers}")

    @property
    def now_ns(self) -> int:
        """The cluster's time."""
        return self.cluster.clock.now_ns()

    async def sleep(self, seconds: float) -> None:
        """Let the cluster go on."""
        await self.cluster.clock.sleep(seconds)

    def expect_late(self, delay_ns: int) -> None:
        """Something may arrive *delay_ns* from now."""
        self.late_until_ns = max(self.late_until_ns, self.now_ns + delay_ns)

    async def answer(self, kind: str, asked: Awaitable[T]) -> T | None:
        """Await an operation and count how it ended; None if it failed on purpose."""
        try:
            result = await asked
        except UnreachableError:
            self.tally.answers[f"{kind}: no answer"] += 1
        except RejectedError:
            self.tally.answers[f"{kind}: refused"] += 1
            raise
        except EdgelessError:
            self.tally.answers[f"{kind}: failed"] += 1
        else:
            self.tally.answers[f"{kind}: ok"] += 1
            return result
        return None
