"""What users do: a kind of operation each, drawn by a seed, on whatever there is at that moment.

What the cluster refuses in its present state is no violation. Not here: what goes wrong (`faults`).
"""

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final, TypeAlias

import anyio

from edgeless_sim.api.messages import MigrateWorkflow, StartWorkflow, WorkflowStatus
from edgeless_sim.errors import EdgelessError, RejectedError
from edgeless_sim.exploration.hands import Hands
from edgeless_sim.exploration.setting import unplaceable
from edgeless_sim.kernel.entropy import uuid4_from
from edgeless_sim.model.ids import DomainId, LogicalId, NodeId, WorkflowId
from edgeless_sim.model.workflow import SpawnWorkflowRequest

__all__ = ["ALWAYS", "OPERATIONS", "Operation"]

#: Returns whether there was anything to do it with.
Operation: TypeAlias = Callable[[Hands, Random], Coroutine[Any, Any, bool]]

#: Without it, nothing else means anything.
ALWAYS: Final = "start"
_CALL_TIMEOUT_S: Final = 30.0
_STORM: Final = 100
_BURST_MAX: Final = 20


async def _start(hands: Hands, dice: Random, kind: str = ALWAYS) -> bool:
    name, request = dice.choice(hands.setting.workflows)
    await _begin(hands, kind, f"{name}-{dice.getrandbits(32):08x}", request)
    return True


async def _start_unplaceable(hands: Hands, dice: Random) -> bool:
    name = f"moon-{dice.getrandbits(32):08x}"
    await _begin(hands, "start unplaceable", name, unplaceable())
    return True


async def _start_and_leave(hands: Hands, dice: Random) -> bool:
    """The client goes away while it waits (F42)."""
    with anyio.move_on_after(dice.choice([0.0, 0.001, 0.01, 0.02, 0.05])):
        await _start(hands, dice, "start and leave")
    return True


async def _begin(hands: Hands, kind: str, name: str, request: SpawnWorkflowRequest) -> None:
    promises = hands.promises
    promises.asked(name, request)
    try:
        asked = hands.cluster.controller.start(StartWorkflow(request, name))
        status = await hands.answer(kind, asked)
    except RejectedError:
        promises.refused(name)
        return
    if status is not None:
        promises.started(name, status.workflow_id)


async def _stop(hands: Hands, dice: Random) -> bool:
    workflow_id = _some_workflow(hands, dice)
    if workflow_id is not None:
        await _end(hands, "stop", workflow_id)
    return workflow_id is not None


async def _stop_twice(hands: Hands, dice: Random) -> bool:
    workflow_id = _some_workflow(hands, dice)
    if workflow_id is None:
        return False
    async with anyio.create_task_group() as group:
        group.start_soon(_end, hands, "stop twice", workflow_id)
        await hands.sleep(dice.choice([0.0, 0.005, 1.0]))
        await _end(hands, "stop twice", workflow_id)
    return True


async def _stop_unknown(hands: Hands, dice: Random) -> bool:
    workflow_id = WorkflowId(uuid4_from(dice))
    stopped = list(hands.promises.stopped)
    if stopped and dice.random() < 0.5:
        workflow_id = dice.choice(stopped)
    await _end(hands, "stop unknown", workflow_id)
    return True


async def _end(hands: Hands, kind: str, workflow_id: WorkflowId) -> None:
    hands.promises.stopping(workflow_id)

    async def asked() -> bool:
        await hands.cluster.controller.stop(workflow_id)
        return True

    if await hands.answer(kind, asked()):
        hands.promises.stop_answered(workflow_id, hands.now_ns)


def _some_workflow(hands: Hands, dice: Random) -> WorkflowId | None:
    running = list(hands.promises.running)
    return dice.choice(running) if running else None


async def _cast(hands: Hands, dice: Random) -> bool:
    return await _cast_many(hands, dice, "hello")


async def _cast_trap(hands: Hands, dice: Random) -> bool:
    """Guests of ours that are fragile end when they get this (F26)."""
    return await _cast_many(hands, dice, "trap")


async def _cast_many(hands: Hands, dice: Random, payload: str) -> bool:
    status = await _listed(hands, dice)
    if status is None:
        return False
    client, nodes = hands.cluster.client, hands.cluster.nodes
    for _ in range(dice.randint(1, _BURST_MAX)):
        component = dice.choice(status.mapping)
        if component.instance is not None and component.node in nodes:
            client.cast(component.instance, nodes[component.node].url, payload)
        if dice.random() < 0.5:
            await hands.sleep(dice.choice([0.0001, 0.003, 0.3]))
    return True


async def _call(hands: Hands, dice: Random) -> bool:
    status = await _listed(hands, dice)
    if status is None:
        return False
    component = dice.choice(status.mapping)
    node = hands.cluster.nodes.get(component.node)
    if component.instance is None or node is None:
        return False
    begun_ns = hands.now_ns
    result = await hands.cluster.client.call(
        component.instance, node.url, "hello", timeout_s=_CALL_TIMEOUT_S
    )
    hands.tally.answers[f"call: {result.kind.name.lower()}"] += 1
    hands.tally.checks["I25"] += 1
    took_s = (hands.now_ns - begun_ns) / 1e9
    if took_s > _CALL_TIMEOUT_S:
        hands.promises.violations.append(f"I25: a call took {took_s:g} s")
    return True


async def _listed(hands: Hands, dice: Random) -> WorkflowStatus | None:
    """One of the workflows that run, as the ε-CON sees it."""
    try:
        found = await hands.cluster.controller.list_workflows()
    except EdgelessError:
        return None
    running = [status for status in found if status.mapping]
    return dice.choice(running) if running else None


async def _cordon(hands: Hands, dice: Random) -> bool:
    return _set_cordon(hands, dice.choice(list(hands.cluster.nodes)), cordoned=True)


async def _uncordon(hands: Hands, dice: Random) -> bool:
    cordoned = list(hands.cordons.nodes)
    return bool(cordoned) and _set_cordon(hands, dice.choice(cordoned), cordoned=False)


async def _cordon_all(hands: Hands, dice: Random) -> bool:
    """Nothing can be placed in a domain for a while (F45)."""
    nodes = hands.oracle.domains[dice.choice(list(hands.oracle.domains))]
    for node in nodes:
        _set_cordon(hands, node, cordoned=True)
    await hands.sleep(dice.choice([0.0, 1.0, 10.0]))
    for node in nodes:
        _set_cordon(hands, node, cordoned=False)
    return True


def _set_cordon(hands: Hands, node: str, *, cordoned: bool) -> bool:
    handle = hands.cluster.nodes[node]
    if not handle.domain.alive:
        return False
    handle.domain.cordon(handle.node_id, cordoned=cordoned)
    hands.cordons.set(node, cordoned=cordoned, now_ns=hands.now_ns)
    return True


async def _migrate(hands: Hands, dice: Random) -> bool:
    """To any node of the domain: the one where it is, and those that cannot, included."""
    found = _some_component(hands, dice)
    if found is not None:
        domain, logical_id = found
        nodes = hands.oracle.domains[domain]
        targets = dice.sample(nodes, k=dice.randint(1, len(nodes)))
        hands.cluster.domain(domain).orchestrator.migrate(
            logical_id, [hands.cluster.nodes[name].node_id for name in targets]
        )
    return found is not None


async def _migrate_astray(hands: Hands, dice: Random) -> bool:
    """To a node that nobody knows, or a component that nobody knows (defect U22)."""
    found = _some_component(hands, dice)
    if found is None:
        return False
    domain, logical_id = found
    nobody = NodeId(uuid4_from(dice))
    orchestrator = hands.cluster.domain(domain).orchestrator
    if dice.random() < 0.5:
        orchestrator.migrate(logical_id, [nobody])
    else:
        orchestrator.migrate(LogicalId(uuid4_from(dice)), [nobody])
    return True


async def _migrate_storm(hands: Hands, dice: Random) -> bool:
    """The same component a hundred times (F45)."""
    found = _some_component(hands, dice)
    if found is None:
        return False
    domain, logical_id = found
    nodes = hands.oracle.domains[domain]
    pause_s = dice.choice([0.0, 0.001, 0.03])
    for _ in range(_STORM):
        handle = hands.cluster.domain(domain)
        if not handle.alive:
            break
        target = hands.cluster.nodes[dice.choice(nodes)].node_id
        handle.orchestrator.migrate(logical_id, [target])
        await hands.sleep(pause_s)
    return True


def _some_component(hands: Hands, dice: Random) -> tuple[str, LogicalId] | None:
    found = [
        (name, component.logical_id)
        for name, handle in hands.cluster.domains.items()
        if handle.alive
        for component in handle.orchestrator.snapshot().components
    ]
    return dice.choice(found) if found else None


async def _move_domain(hands: Hands, dice: Random) -> bool:
    workflow_id = _some_workflow(hands, dice)
    if workflow_id is not None:
        domain = DomainId(dice.choice([*hands.oracle.domains, "nowhere"]))
        request = MigrateWorkflow(workflow_id, domain)
        status = await hands.answer("move", hands.cluster.controller.migrate(request))
        if status is not None and status.workflow_id != workflow_id:
            hands.promises.violations.append(f"I10: {workflow_id} moved and became another")
    return workflow_id is not None


def _may_be_refused(operation: Operation) -> Operation:
    async def perform(hands: Hands, dice: Random) -> bool:
        try:
            return await operation(hands, dice)
        except EdgelessError:
            return True

    return perform


#: By name, in the order in which they are shown.
OPERATIONS: Final[dict[str, Operation]] = {
    name: _may_be_refused(operation)
    for name, operation in {
        ALWAYS: _start,
        "start unplaceable": _start_unplaceable,
        "start and leave": _start_and_leave,
        "stop": _stop,
        "stop twice": _stop_twice,
        "stop unknown": _stop_unknown,
        "cast": _cast,
        "call": _call,
        "trap": _cast_trap,
        "cordon": _cordon,
        "uncordon": _uncordon,
        "cordon domain": _cordon_all,
        "migrate": _migrate,
        "migrate astray": _migrate_astray,
        "migrate storm": _migrate_storm,
        "move to domain": _move_domain,
    }.items()
}
