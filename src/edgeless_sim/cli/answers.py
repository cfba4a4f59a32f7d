"""What ``edgeless_cli`` shows of answers: EDGELESS's words, tables, JSON, or ids alone (spec 9.2).

Not here: who is asked (`asking`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
import typer

from edgeless_sim.api.messages import WorkflowInfo, WorkflowStatus
from edgeless_sim.model.decision import Decision
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.report.tables import aligned

__all__ = [
    "FORMS",
    "Answer",
    "capabilities_text",
    "decisions_answer",
    "domain_answer",
    "domains_answer",
    "info_answer",
    "info_lines",
    "show",
    "workflows_answer",
]

#: ``plain`` is what EDGELESS's own client prints.
FORMS: Final = ("plain", "table", "json")
_REASON_CHARS_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer in every form."""

    plain: Sequence[str]
    entry: object
    """For JSON: a list for what lists, an object for what shows one thing."""
    ids: Sequence[str]
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    """Of its table; without *head* it has none, and is shown plain."""


def show(answer: Answer, form: str, *, quiet: bool) -> None:
    """Print *answer* to standard output."""
    if quiet:
        lines = answer.ids
    elif form == "json":
        lines = [msgspec.json.encode(answer.entry, enc_hook=str).decode()]
    elif form == "table" and answer.head:
        lines = aligned(answer.head, answer.rows)
    else:
        lines = answer.plain
    for line in lines:
        typer.echo(line)


def workflows_answer(listed: Sequence[WorkflowStatus]) -> Answer:
    """All workflows."""
    ids = [str(each.workflow_id) for each in listed]
    entries = [
        {
            "workflow_id": str(each.workflow_id),
            "name": each.name,
            "state": _state(each),
            "domains": _domains(each),
            "components": len(each.mapping),
            "reason": each.reason,
        }
        for each in listed
    ]
    rows = [
        (
            str(each.workflow_id),
            each.name or "-",
            _state(each),
            ", ".join(_domains(each)) or "-",
            str(len(each.mapping)),
            each.reason[:_REASON_CHARS_SHOWN],
        )
        for each in listed
    ]
    head = ("ID", "NAME", "STATE", "DOMAIN", "COMPONENTS", "REASON")
    return Answer(ids, entries, ids, head, rows)


def info_answer(info: WorkflowInfo, title: str = "") -> Answer:
    """One workflow and where its components are; *title* is put before EDGELESS's words."""
    status = info.status
    entry = msgspec.to_builtins(info, enc_hook=str)
    for each in entry["request"]["functions"]:
        each["class_specification"].pop("binary", None)
    entry["state"] = _state(status)
    rows = [
        (
            mapping.name,
            str(mapping.domain_id),
            mapping.node or "-",
            mapping.state.value,
            str(mapping.logical_id),
            mapping.reason[:_REASON_CHARS_SHOWN],
        )
        for mapping in status.mapping
    ]
    placed = {mapping.name for mapping in status.mapping}
    names = [each.name for each in info.request.functions]
    names += [each.name for each in info.request.resources]
    reason = status.reason[:_REASON_CHARS_SHOWN]
    rows += [(name, "-", "-", _state(status), "-", reason) for name in names if name not in placed]
    head = ("COMPONENT", "DOMAIN", "NODE", "STATE", "LOGICAL ID", "REASON")
    plain = [*([f"** workflow {title}"] if title else []), *info_lines(info)]
    return Answer(plain, entry, [str(status.workflow_id)], head, rows)


def decisions_answer(title: str, decisions: Sequence[Decision]) -> Answer:
    """Why a workflow is where it is: decision by decision, the oldest of each component first."""
    plain = [f"** workflow {title}"]
    for each in decisions:
        plain += _decision_lines(each)
    rows = [
        (
            _clock_time(each.time_s),
            each.component or "-",
            each.outcome,
            each.chosen or "-",
            f"{each.feasible_total} of {each.candidates_total}",
            each.reason[:_REASON_CHARS_SHOWN],
        )
        for each in decisions
    ]
    head = ("TIME", "COMPONENT", "OUTCOME", "CHOSEN", "FEASIBLE", "REASON")
    entry = {"workflow_id": title, "decisions": msgspec.to_builtins(tuple(decisions))}
    return Answer(plain, entry, [each.chosen for each in decisions if each.chosen], head, rows)


def _decision_lines(decision: Decision) -> Iterator[str]:
    where = f" on {decision.chosen}" if decision.chosen else ""
    name = decision.component or "its components"
    yield f"{_clock_time(decision.time_s)} {name}: {decision.outcome}{where}"
    # The name of the strategy stands before both.
    reason = decision.reason.removeprefix(f"{decision.decided_by.rpartition(', ')[2]}: ")
    yield f"  by {decision.decided_by}" + (f": {reason}" if reason else "")
    for candidate in decision.candidates:
        mark = "*" if candidate.name == decision.chosen else "-"
        score = "" if candidate.score is None else f" (score {candidate.score:g})"
        against = f": {candidate.against}" if candidate.against else score
        yield f"  {mark} {candidate.name}{against}"
    more = decision.candidates_total - len(decision.candidates)
    if more > 0:
        yield f"  and {more} more"


def _clock_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def domains_answer(offers: dict[str, DomainCapabilities]) -> Answer:
    """All domains and how many nodes they have."""
    found = sorted(offers.items())
    plain = [f"domain {name} ({offer.num_nodes} nodes)" for name, offer in found]
    entries = [{"domain": name, "nodes": offer.num_nodes} for name, offer in found]
    rows = [
        (name, str(offer.num_nodes), str(offer.num_cpus), ", ".join(sorted(offer.runtimes)))
        for name, offer in found
    ]
    head = ("DOMAIN", "NODES", "CPUS", "RUN-TIMES")
    return Answer(plain, entries, [name for name, _ in found], head, rows)


def domain_answer(offers: dict[str, DomainCapabilities], *, one: bool) -> Answer:
    """What the nodes of domains offer together; with *one*, of the only one of *offers*."""
    found = sorted(offers.items())
    plain = [f"domain {name},{capabilities_text(offer)}" for name, offer in found]
    entries = [{"domain": name, **msgspec.to_builtins(offer)} for name, offer in found]
    rows = [
        (
            name,
            str(offer.num_nodes),
            f"{offer.num_cpus} ({offer.num_cores} cores)",
            f"{offer.mem_size} MiB",
            ", ".join(sorted(offer.labels)) or "-",
            ", ".join(sorted(offer.resource_classes)) or "-",
        )
        for name, offer in found
    ]
    head = ("DOMAIN", "NODES", "CPUS", "MEMORY", "LABELS", "RESOURCES")
    return Answer(plain, entries[0] if one else entries, [name for name, _ in found], head, rows)


def _state(status: WorkflowStatus) -> str:
    """``orphan``, or the worst state of its components."""
    states = {mapping.state.value for mapping in status.mapping}
    if not states:
        return "orphan" if status.reason else "active"
    for worst in ("degraded", "pending"):
        if worst in states:
            return worst
    return "running"


def _domains(status: WorkflowStatus) -> list[str]:
    return sorted({str(mapping.domain_id) for mapping in status.mapping})


def info_lines(info: WorkflowInfo) -> Iterator[str]:
    """What ``workflow inspect`` prints, in EDGELESS's words."""
    for each in info.request.functions:
        code = each.class_specification
        yield f"* function {each.name}"
        path = "None" if code.code is None else f'Some("{code.code}")'
        yield f"run-time {code.function_type} class {code.id} version {code.version} code {path}"
        yield from (f"OUT {channel} -> {to}" for channel, to in each.output_mapping.items())
        yield from (f"F_ANN {key} -> {value}" for key, value in each.annotations.items())
    for resource in info.request.resources:
        yield f"* resource {resource.name}"
        yield resource.class_type
        yield from (f"OUT {channel} -> {to}" for channel, to in resource.output_mapping.items())
        yield from (f"CONF {key} -> {value}" for key, value in resource.configurations.items())
    yield "* mapping"
    yield from (f"W_ANN {key} -> {value}" for key, value in info.request.annotations.items())
    for mapping in info.status.mapping:
        yield f"MAP {mapping.name} -> {mapping.domain_id} [logical ID {mapping.logical_id}]"


def capabilities_text(offer: DomainCapabilities) -> str:
    """What ``domain inspect`` prints of a domain, in EDGELESS's words."""
    return (
        f"{offer.num_nodes} nodes, {offer.num_cpus} CPUs ({offer.num_cores} cores) with "
        f"{offer.mem_size} MiB, labels [{','.join(sorted(offer.labels))}], "
        f"num TEE {offer.num_tee}, num TPM {offer.num_tpm}, "
        f"runtimes [{','.join(sorted(offer.runtimes))}], "
        f"resources classes [{','.join(sorted(offer.resource_classes))}] "
        f"providers [{','.join(sorted(offer.resource_providers))}], "
        f"disk space {offer.disk_tot_space} MiB, "
        f"{offer.num_gpus} GPUs with {offer.mem_size_gpu} MiB"
    )
