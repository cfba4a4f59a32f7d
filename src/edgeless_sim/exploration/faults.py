"""What goes wrong: a kind of fault each (reliability 5), which begins, lasts a while and ends.

Each returns when it is over. Not here: what users do (`operations`).
"""

from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Final, TypeAlias

from edgeless_sim.api.methods import METHODS
from edgeless_sim.cluster.faults import Fault
from edgeless_sim.cluster.handles import ControllerHandle, DomainHandle, NodeHandle
from edgeless_sim.exploration.hands import Hands

__all__ = ["FAULTS", "ISOLATING", "RPC_KINDS", "FaultKind", "revive_all"]

FaultKind: TypeAlias = Callable[[Hands, Random], Coroutine[Any, Any, None]]
_Machine: TypeAlias = ControllerHandle | DomainHandle | NodeHandle

_NS_PER_S: Final = 1_000_000_000
_DOWN_S: Final = (0.0, 0.01, 0.5, 1.9, 3.0, 4.5, 8.0, 20.0)
_LASTS_S: Final = (0.05, 0.5, 2.0, 5.0, 12.0, 30.0)
_LATE_S: Final = (0.02, 1.0, 4.0, 10.0, 60.0, 120.0)
#: Kinds of calls of which answers get lost, or requests late, together.
_RPCS_AT_ONCE: Final = 4
_FLAPS_MAX: Final = 6
_BYTES_PER_S_MIN: Final = 1_000

#: What is called between whom: service, method, caller, server.
RPC_KINDS: Final = (
    ("WorkflowInstance", "start", "client", "con"),
    ("WorkflowInstance", "stop", "client", "con"),
    ("WorkflowInstance", "migrate", "client", "con"),
    ("DomainRegistration", "update_domain", "orc", "con"),
    ("NodeRegistration", "update_node", "node", "orc"),
    *(
        (service, f"{verb}_{what}", caller, server)
        for service, what in (
            ("FunctionInstance", "function"),
            ("ResourceConfiguration", "resource"),
        )
        for verb in ("start", "stop", "patch")
        for caller, server in (("con", "orc"), ("orc", "node"))
    ),
    *(("Handover", method, "node", "node") for method in ("take_over", "collect", "give_back")),
)


# --- processes


async def _crash_node(hands: Hands, dice: Random) -> None:
    await _outage(hands, dice, hands.cluster.nodes[_node(hands, dice)])


async def _stop_node(hands: Hands, dice: Random) -> None:
    node = hands.cluster.nodes[_node(hands, dice)]
    if node.alive:
        await node.stop()
        await hands.sleep(dice.choice(_DOWN_S))
        await _revive(node)


async def _flapping_node(hands: Hands, dice: Random) -> None:
    """Up and down faster than its deadline (F17)."""
    node = hands.cluster.nodes[_node(hands, dice)]
    for _ in range(dice.randint(2, _FLAPS_MAX)):
        await _crash(hands, node)
        await hands.sleep(dice.uniform(0.1, 6.0))
        await _revive(node)
        await hands.sleep(dice.uniform(0.1, 6.0))


async def _crash_orchestrator(hands: Hands, dice: Random) -> None:
    await _outage(hands, dice, hands.cluster.domains[_domain(hands, dice)])


async def _crash_controller(hands: Hands, dice: Random) -> None:
    await _outage(hands, dice, hands.cluster.con)


async def _crash_everything(hands: Hands, dice: Random) -> None:
    """All die at once, and start again in any order, some much later (F09, F40)."""
    machines = _machines(hands)
    for machine in machines:
        await _crash(hands, machine)
    dice.shuffle(machines)
    for machine in machines:
        await hands.sleep(dice.choice([0.0, 0.0, 0.0, 0.2, 3.0]))
        await _revive(machine)


async def revive_all(hands: Hands, dice: Random) -> None:
    """Start whatever is down, in any order."""
    machines = _machines(hands)
    dice.shuffle(machines)
    for machine in machines:
        await _revive(machine)


async def _outage(hands: Hands, dice: Random, machine: _Machine) -> None:
    await _crash(hands, machine)
    await hands.sleep(dice.choice(_DOWN_S))
    await _revive(machine)


async def _crash(hands: Hands, machine: _Machine) -> None:
    if machine.alive:
        await machine.crash()
        if isinstance(machine, DomainHandle):
            # Cordons are in the ε-ORC's memory.
            hands.cordons.lose(hands.oracle.domains[machine.name], hands.now_ns)


async def _revive(machine: _Machine) -> None:
    if not machine.alive:
        await machine.restart()


def _machines(hands: Hands) -> list[_Machine]:
    cluster = hands.cluster
    return [cluster.con, *cluster.domains.values(), *cluster.nodes.values()]


# --- the network


async def _partition(hands: Hands, dice: Random) -> None:
    await _while(hands, dice, hands.cluster.network.partition(_side(hands, dice)))


async def _cut(hands: Hands, dice: Random) -> None:
    """Between two only, who are not always the same two (F10)."""
    a, b = dice.sample(_places(hands), k=2)
    await _while(hands, dice, hands.cluster.network.partition([a], [b]))


async def _one_way(hands: Hands, dice: Random) -> None:
    network = hands.cluster.network
    side, others = _side(hands, dice), _places(hands)
    outward = dice.random() < 0.5
    await _while(hands, dice, network.one_way(*((side, others) if outward else (others, side))))


async def _swizzle(hands: Hands, dice: Random) -> None:
    """Cut off several, one after the other, and heal in another order (F15)."""
    network = hands.cluster.network
    places = _places(hands)
    victims = dice.sample(places, k=min(dice.randint(2, 5), len(places)))
    faults = []
    for victim in victims:
        faults.append(network.partition([victim]))
        await hands.sleep(dice.choice([0.0, 0.3, 2.0]))
    dice.shuffle(faults)
    for fault in faults:
        await hands.sleep(dice.choice([0.0, 0.3, 3.0, 6.0]))
        fault.heal()


async def _loss(hands: Hands, dice: Random) -> None:
    loss = hands.cluster.network.loss(dice.choice([0.01, 0.1, 0.3, 0.5]), *_link(hands, dice))
    await _while(hands, dice, loss)


async def _slow(hands: Hands, dice: Random) -> None:
    extra_ns = round(dice.choice([0.001, 0.1, 1.0, 6.0, 30.0]) * _NS_PER_S)
    hands.expect_late(round(_LASTS_S[-1] * _NS_PER_S) + 2 * extra_ns)
    jitter_ns = dice.randrange(extra_ns)
    delay = hands.cluster.network.delay(extra_ns, jitter_ns, *_link(hands, dice))
    await _while(hands, dice, delay)


async def _duplicate(hands: Hands, dice: Random) -> None:
    network = hands.cluster.network
    await _while(hands, dice, network.duplicate(dice.choice([0.02, 0.2, 1.0]), *_link(hands, dice)))


async def _reorder(hands: Hands, dice: Random) -> None:
    window_ns = round(dice.choice([0.001, 0.05, 1.0]) * _NS_PER_S)
    probability = dice.choice([0.05, 0.5])
    reorder = hands.cluster.network.reorder(window_ns, probability, *_link(hands, dice))
    await _while(hands, dice, reorder)


async def _bandwidth(hands: Hands, dice: Random) -> None:
    hands.expect_late(round(2 * _LASTS_S[-1] * _NS_PER_S))
    # A start with its code takes some seconds at most: what queues is late, but not for ever.
    least = max(_BYTES_PER_S_MIN, hands.setting.code_bytes_max)
    bytes_per_s = least * dice.choice([1, 10, 1_000])
    narrow = hands.cluster.network.bandwidth(bytes_per_s, *_link(hands, dice))
    await _while(hands, dice, narrow)


async def _lost_answer(hands: Hands, dice: Random) -> None:
    """It is done, and who asked for it does not hear of it (F43)."""
    network = hands.cluster.network
    faults = [
        network.lose_answers(
            METHODS[service][method].path,
            _those(hands, caller),
            _those(hands, server),
            first=dice.choice([1, 1, 2, 5]),
            count=dice.choice([1, 1, 2, 10]),
        )
        for service, method, caller, server in dice.sample(RPC_KINDS, k=_RPCS_AT_ONCE)
    ]
    await _until_hit(hands, faults)


async def _late_request(hands: Hands, dice: Random) -> None:
    """Arrives when nobody believes in it any more (F44)."""
    await _late(hands, dice, again=False)


async def _old_request(hands: Hands, dice: Random) -> None:
    """Arrives in time, and again much later (F44)."""
    await _late(hands, dice, again=True)


async def _late(hands: Hands, dice: Random, *, again: bool) -> None:
    # Clients use connections, on which nothing comes twice; and they ask once.
    kinds = [kind for kind in RPC_KINDS if kind[2] != "client"]
    delay_s = dice.choice(_LATE_S)
    network = hands.cluster.network
    faults = [
        network.late_requests(
            METHODS[service][method].path,
            round(delay_s * _NS_PER_S),
            _those(hands, caller),
            _those(hands, server),
            again=again,
            first=dice.choice([1, 1, 2, 5]),
            count=dice.choice([1, 1, 3]),
        )
        for service, method, caller, server in dice.sample(kinds, k=_RPCS_AT_ONCE)
    ]
    await _until_hit(hands, faults)
    hands.expect_late(round(delay_s * _NS_PER_S))


async def _until_hit(hands: Hands, faults: Sequence[Fault]) -> None:
    """Give them time to meet what they wait for."""
    await hands.sleep(30.0)
    for fault in faults:
        fault.heal()


async def _while(hands: Hands, dice: Random, fault: Fault) -> None:
    await hands.sleep(dice.choice(_LASTS_S))
    fault.heal()


def _link(hands: Hands, dice: Random) -> tuple[Sequence[str], Sequence[str]]:
    """Two sides, neither of which is the client: all, or one and all, or two."""
    places = _places(hands)
    size = dice.randrange(3)
    if size == 0:
        return places, places
    a, b = dice.sample(places, k=2)
    return ([a], places) if size == 1 else ([a], [b])


def _side(hands: Hands, dice: Random) -> list[str]:
    """One place, a whole domain, or a random few."""
    size = dice.randrange(3)
    if size == 0:
        return [dice.choice(_places(hands))]
    if size == 1:
        return [_domain(hands, dice)]
    places = _places(hands)
    return dice.sample(places, k=min(dice.randint(2, 4), len(places)))


def _places(hands: Hands) -> list[str]:
    cluster = hands.cluster
    return ["con", *(f"orc/{name}" for name in cluster.domains), *cluster.nodes]


def _those(hands: Hands, role: str) -> list[str]:
    if role == "orc":
        return [f"orc/{name}" for name in hands.cluster.domains]
    return list(hands.cluster.nodes) if role == "node" else [role]


def _node(hands: Hands, dice: Random) -> str:
    return dice.choice(list(hands.cluster.nodes))


def _domain(hands: Hands, dice: Random) -> str:
    return dice.choice(list(hands.cluster.domains))


# --- the world outside


async def _backend(hands: Hands, dice: Random) -> None:
    """A back-end is down, wrong or slow (F25)."""
    backends = hands.cluster.backends
    if backends is None or not hands.setting.backends:
        return
    url = dice.choice(hands.setting.backends)
    state = backends.state(url)
    what = dice.choice(["down", "wrong", "slow"])
    hands.cluster.journal.record("fault", f"back-end {what}", url)
    state.down, state.wrong = what == "down", what == "wrong"
    state.delay_ns = round(dice.choice([0.5, 20.0]) * _NS_PER_S) if what == "slow" else 0
    await hands.sleep(dice.choice(_LASTS_S))
    state.down, state.wrong, state.delay_ns = False, False, 0
    hands.cluster.journal.record("fault", "back-end up", url)


#: By name, in the order in which they are shown.
FAULTS: Final[dict[str, FaultKind]] = {
    "node crash": _crash_node,
    "node stop": _stop_node,
    "flapping node": _flapping_node,
    "ε-ORC crash": _crash_orchestrator,
    "ε-CON crash": _crash_controller,
    "all crash": _crash_everything,
    "partition": _partition,
    "cut": _cut,
    "one-way partition": _one_way,
    "swizzle": _swizzle,
    "loss": _loss,
    "slow": _slow,
    "bandwidth": _bandwidth,
    "duplicate": _duplicate,
    "reorder": _reorder,
    "lost answer": _lost_answer,
    "late request": _late_request,
    "old request": _old_request,
    "back-end": _backend,
}

#: After these, an instance may live that its ε-ORC has given up, and others may still send to it.
ISOLATING: Final = frozenset(
    {
        "ε-ORC crash",
        "ε-CON crash",
        "all crash",
        "partition",
        "cut",
        "one-way partition",
        "swizzle",
        "loss",
        "slow",
        "bandwidth",
        "reorder",
        "lost answer",
        "late request",
    }
)
