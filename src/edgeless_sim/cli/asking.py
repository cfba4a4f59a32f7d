"""What ``edgeless_cli`` asks an ε-CON, and how the answers are shown (spec 9.2)."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import msgspec
import typer

from edgeless_sim.api.clients import ControllerClient
from edgeless_sim.api.messages import (
    MigrateWorkflow,
    StartWorkflow,
    WorkflowInfo,
    WorkflowStatus,
)
from edgeless_sim.cli.problems import complain
from edgeless_sim.cluster.deployment_client import open_controller
from edgeless_sim.cluster.settings import load_cli_settings, load_tls
from edgeless_sim.errors import RejectedError, UnknownComponentError, UnreachableError
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.domain import DomainCapabilities
from edgeless_sim.model.ids import DomainId, WorkflowId, parse_uuid
from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.model.workflow_file import load_workflow

__all__ = ["Asking", "capabilities_text", "info_lines"]

_ALL: Final = "all"
_POLL_S: Final = 0.2
#: How long one request of a waiting client may take.
_POLL_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Asking:
    """One call of the program."""

    config_file: Path
    timeout_s: float
    form: str

    def start(self, file: Path, name: str) -> None:
        """Start the workflow in *file* and print its id."""
        request, warnings = load_workflow(file)
        for warning in warnings:
            complain(f"warning: {file}: {warning}")

        async def ask(controller: ControllerClient) -> None:
            status = await controller.start(StartWorkflow(request, name))
            self._show(str(status.workflow_id), {"workflow_id": str(status.workflow_id)})

        self._ask(ask)

    def stop(self, which: str) -> None:
        """Stop a workflow, or all."""

        async def ask(controller: ControllerClient) -> None:
            for text, workflow_id in await self._chosen(controller, which):
                await controller.stop(workflow_id)
                self._show(f"Workflow {text} stopped", {"stopped": str(workflow_id)})

        self._ask(ask)

    def list_workflows(self) -> None:
        """Print all ids."""

        async def ask(controller: ControllerClient) -> None:
            for status in await controller.list_workflows():
                entry = {"workflow_id": str(status.workflow_id), "name": status.name}
                self._show(str(status.workflow_id), entry)

        self._ask(ask)

    def inspect(self, which: str) -> None:
        """Print what a workflow, or each, consists of."""

        async def ask(controller: ControllerClient) -> None:
            for text, workflow_id in await self._chosen(controller, which):
                info = await controller.inspect(workflow_id)
                if which.lower() == _ALL and self.form == "plain":
                    typer.echo(f"** workflow {text}")
                self._show("\n".join(info_lines(info)), _entry(info))

        self._ask(ask)

    def migrate(self, which: str, domain_id: str, component: str) -> None:
        """Move a workflow, or one of its components."""

        async def ask(controller: ControllerClient) -> None:
            ((_, workflow_id),) = await self._chosen(controller, which, all_means=False)
            request = MigrateWorkflow(workflow_id, DomainId(domain_id), component)
            try:
                await controller.migrate(request)
            except RejectedError as error:
                detail = f" ({error.detail})" if error.detail else ""
                text = f"migration of {which} to {domain_id} failed: {error.summary}{detail}"
                raise type(error)(text) from None
            done = {"migrated": str(workflow_id), "domain": domain_id}
            self._show(f"migration of {which} to {domain_id} successful", done)

        self._ask(ask)

    def list_domains(self) -> None:
        """Print the domains."""

        async def ask(controller: ControllerClient) -> None:
            for name, offer in sorted((await controller.domains(DomainId(""))).items()):
                text = f"domain {name} ({offer.num_nodes} nodes)"
                self._show(text, {"domain": name, "nodes": offer.num_nodes})

        self._ask(ask)

    def inspect_domain(self, which: str) -> None:
        """Print what a domain, or each, offers."""

        async def ask(controller: ControllerClient) -> None:
            domain_id = DomainId("" if which.lower() == _ALL else which)
            found = await controller.domains(domain_id)
            for name, offer in sorted(found.items()):
                entry = {"domain": name, **msgspec.to_builtins(offer)}
                self._show(f"domain {name},{capabilities_text(offer)}", entry)
            if domain_id and domain_id not in found:
                known = sorted(await controller.domains(DomainId("")))
                detail = f"{quoted(which)}{suggestion(which, known)}"
                raise UnknownComponentError(f"domain {which} not found", detail)

        self._ask(ask)

    def wait_for_nodes(self, nodes: int, domain_id: str) -> None:
        """Return when there are so many nodes; raise `UnreachableError` after the time-out."""

        async def ask(controller: ControllerClient) -> None:
            there, why = 0, "no ε-CON has answered"
            with anyio.move_on_after(self.timeout_s):
                while True:
                    try:
                        offers = await controller.domains(DomainId(domain_id))
                        there = sum(offer.num_nodes for offer in offers.values())
                        why = f"there are {there} of {nodes} nodes"
                        if there >= nodes:
                            self._show(f"{there} nodes", {"nodes": there})
                            return
                    except (UnreachableError, RejectedError) as error:
                        why = str(error)
                    await anyio.sleep(_POLL_S)
            raise UnreachableError(f"after {self.timeout_s:g} s: {why}")

        self._ask(ask, timeout_s=min(self.timeout_s, _POLL_TIMEOUT_S))

    # -- how ------------------------------------------------------------------------------------

    def _ask(
        self, ask: Callable[[ControllerClient], Awaitable[None]], timeout_s: float | None = None
    ) -> None:
        settings = load_cli_settings(self.config_file)
        tls = load_tls(self.config_file.parent)

        async def main() -> None:
            wait_s = self.timeout_s if timeout_s is None else timeout_s
            async with open_controller(
                settings.controller_url, tls=tls, timeout_s=wait_s
            ) as controller:
                await ask(controller)

        run(main, world="real")

    async def _chosen(
        self, controller: ControllerClient, which: str, *, all_means: bool = True
    ) -> list[tuple[str, WorkflowId]]:
        """The workflows that are meant, each as it is to be called; ids need no question."""
        if not (all_means and which.lower() == _ALL):
            try:
                return [(which, WorkflowId(parse_uuid(which)))]
            except ValueError:
                pass
        listed = await controller.list_workflows()
        if all_means and which.lower() == _ALL:
            return [(str(status.workflow_id), status.workflow_id) for status in listed]
        return [(which, _named(listed, which).workflow_id)]

    def _show(self, text: str, entry: object) -> None:
        if self.form == "json":
            typer.echo(msgspec.json.encode(entry).decode())
        elif text:
            typer.echo(text)


def _named(listed: tuple[WorkflowStatus, ...], name: str) -> WorkflowStatus:
    for status in listed:
        if status.name == name:
            return status
    names = [status.name for status in listed if status.name]
    detail = f"{quoted(name)}{suggestion(name, names)}"
    raise UnknownComponentError("unknown or invalid workflow ID", detail)


def _entry(info: WorkflowInfo) -> object:
    entry = msgspec.to_builtins(info, enc_hook=str)
    for each in entry["request"]["functions"]:
        each["class_specification"].pop("binary", None)
    return entry


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
