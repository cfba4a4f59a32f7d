"""What ``edgeless_cli`` asks an ε-CON or a node (spec 9.2).

Not here: how it is shown (`answers`).
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import anyio

from edgeless_sim.api.clients import ControllerClient
from edgeless_sim.api.messages import MigrateWorkflow, StartWorkflow, WorkflowStatus
from edgeless_sim.cli.answers import (
    Answer,
    decisions_answer,
    domain_answer,
    domains_answer,
    info_answer,
    show,
    workflows_answer,
)
from edgeless_sim.cli.problems import complain
from edgeless_sim.cluster.deployment_client import open_controller, send_cast
from edgeless_sim.cluster.settings import load_cli_settings, load_tls
from edgeless_sim.errors import (
    RejectedError,
    ResourceError,
    SettingsError,
    UnknownComponentError,
    UnreachableError,
)
from edgeless_sim.kernel.loop import run
from edgeless_sim.model.decision import Decision
from edgeless_sim.model.ids import DomainId, FunctionId, InstanceId, NodeId, WorkflowId, parse_uuid
from edgeless_sim.model.names import quoted, suggestion
from edgeless_sim.model.workflow_file import load_workflow

__all__ = ["Asking", "workflow_named"]

_ALL: Final = "all"
_POLL_S: Final = 0.2
#: How long one request of a waiting client may take.
_POLL_TIMEOUT_S: Final = 2.0
#: What may stand for an id: its first digits, four or more.
_PREFIX: Final = re.compile(r"[0-9a-f-]{4,36}")
_CANDIDATES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Asking:
    """One call of the program."""

    config_file: Path
    timeout_s: float
    form: str
    quiet: bool = False

    def start(self, file: Path, name: str) -> None:
        """Start the workflow in *file* and print its id."""
        request, warnings = load_workflow(file)
        for warning in warnings:
            complain(f"warning: {file}: {warning}")

        async def ask(controller: ControllerClient) -> None:
            status = await controller.start(StartWorkflow(request, name))
            text = str(status.workflow_id)
            self._show(Answer([text], {"workflow_id": text, "name": name}, [text]))

        self._ask(ask)

    def stop(self, which: str) -> None:
        """Stop a workflow, or all."""

        async def ask(controller: ControllerClient) -> None:
            for text, workflow_id in await self._chosen(controller, which):
                await controller.stop(workflow_id)
                stopped = str(workflow_id)
                self._show(Answer([f"Workflow {text} stopped"], {"stopped": stopped}, [stopped]))

        self._ask(ask)

    def list_workflows(self) -> None:
        """Print all workflows."""

        async def ask(controller: ControllerClient) -> None:
            self._show(workflows_answer(await controller.list_workflows()))

        self._ask(ask)

    def inspect(self, which: str) -> None:
        """Print what a workflow, or each, consists of."""

        async def ask(controller: ControllerClient) -> None:
            everything = which.lower() == _ALL
            for text, workflow_id in await self._chosen(controller, which):
                info = await controller.inspect(workflow_id)
                self._show(info_answer(info, text if everything else ""))

        self._ask(ask)

    def explain(self, which: str, component: str) -> None:
        """Print why a workflow, or each, is where it is; with *component*, one component."""

        async def ask(controller: ControllerClient) -> None:
            for _, workflow_id in await self._chosen(controller, which):
                decisions = await controller.explain(workflow_id)
                if component:
                    decisions = _about(decisions, component)
                self._show(decisions_answer(str(workflow_id), decisions))

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
            plain = [f"migration of {which} to {domain_id} successful"]
            self._show(Answer(plain, done, [str(workflow_id)]))

        self._ask(ask)

    def list_domains(self) -> None:
        """Print the domains."""

        async def ask(controller: ControllerClient) -> None:
            self._show(domains_answer(dict(await controller.domains(DomainId("")))))

        self._ask(ask)

    def inspect_domain(self, which: str) -> None:
        """Print what a domain, or each, offers."""

        async def ask(controller: ControllerClient) -> None:
            domain_id = DomainId("" if which.lower() == _ALL else which)
            found = dict(await controller.domains(domain_id))
            if domain_id and domain_id not in found:
                known = sorted(await controller.domains(DomainId("")))
                detail = f"{quoted(which)}{suggestion(which, known)}"
                raise UnknownComponentError(f"domain {which} not found", detail)
            self._show(domain_answer(found, one=bool(domain_id)))

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
                            self._show(Answer([f"{there} nodes"], {"nodes": there}, []))
                            return
                    except (UnreachableError, RejectedError) as error:
                        why = str(error)
                    await anyio.sleep(_POLL_S)
            raise UnreachableError(f"after {self.timeout_s:g} s: {why}")

        self._ask(ask, timeout_s=min(self.timeout_s, _POLL_TIMEOUT_S))

    def cast(self, url: str, node: str, function: str, payload: str) -> None:
        """Cast an event to the instance *function* of *node*, which takes events at *url*."""
        target = InstanceId(NodeId(_id_of("NODE", node)), FunctionId(_id_of("FUN", function)))
        tls = load_tls(self.config_file.parent)

        async def main() -> None:
            try:
                await send_cast(url, target, payload, tls=tls, timeout_s=self.timeout_s)
            except UnreachableError as error:
                raise UnreachableError(f"error casting the event: {error}") from None

        run(main, world="real")
        self._show(Answer(["event casted"], {"cast": str(target.function_id)}, []))

    # -- how ------------------------------------------------------------------------------------

    def _ask(
        self, ask: Callable[[ControllerClient], Awaitable[None]], timeout_s: float | None = None
    ) -> None:
        settings = load_cli_settings(_there(self.config_file))
        tls = load_tls(self.config_file.parent)

        async def main() -> None:
            wait_s = self.timeout_s if timeout_s is None else timeout_s
            async with open_controller(
                settings.controller_url, tls=tls, timeout_s=wait_s
            ) as controller:
                try:
                    await ask(controller)
                except UnreachableError as error:
                    raise UnreachableError(
                        f"no ε-CON answers at {settings.controller_url}, which is the "
                        f"controller_url of {self.config_file}: {error}"
                    ) from None

        run(main, world="real")

    async def _chosen(
        self, controller: ControllerClient, which: str, *, all_means: bool = True
    ) -> list[tuple[str, WorkflowId]]:
        """The workflows that are meant, each as it is to be called; ids need no question."""
        which = which.strip()
        if not (all_means and which.lower() == _ALL):
            try:
                return [(which, WorkflowId(parse_uuid(which)))]
            except ValueError:
                pass
        listed = await controller.list_workflows()
        if all_means and which.lower() == _ALL:
            return [(str(status.workflow_id), status.workflow_id) for status in listed]
        return [(which, workflow_named(listed, which).workflow_id)]

    def _show(self, answer: Answer) -> None:
        show(answer, self.form, quiet=self.quiet)


def _about(decisions: Sequence[Decision], component: str) -> tuple[Decision, ...]:
    names = [each.component.rpartition("/")[2] for each in decisions if "/" in each.component]
    if component not in names:
        detail = f"{quoted(component)}{suggestion(component, names)}"
        raise UnknownComponentError("nothing is known about the component", detail)
    return tuple(each for each in decisions if each.component.endswith(f"/{component}"))


def _there(file: Path) -> Path:
    if not file.exists():
        raise SettingsError(
            f"configuration file does not exist or cannot be accessed: {file}; "
            f"edgeless_cli -t {file} writes one"
        )
    return file


def _id_of(what: str, text: str) -> UUID:
    try:
        return parse_uuid(text.strip())
    except ValueError:
        raise ResourceError(
            f"{what}: {quoted(text)} is no id such as workflow inspect shows"
        ) from None


def workflow_named(listed: tuple[WorkflowStatus, ...], name: str) -> WorkflowStatus:
    """The workflow of that name, or whose id begins so."""
    for status in listed:
        if status.name == name:
            return status
    if _PREFIX.fullmatch(name.lower()):
        begun = [each for each in listed if str(each.workflow_id).startswith(name.lower())]
        if len(begun) == 1:
            return begun[0]
        if begun:
            ids = ", ".join(str(each.workflow_id) for each in begun[:_CANDIDATES_SHOWN])
            raise UnknownComponentError("ambiguous workflow ID", f"{quoted(name)} may be {ids}")
    names = [status.name for status in listed if status.name]
    detail = f"{quoted(name)}{suggestion(name, names)}"
    raise UnknownComponentError("unknown or invalid workflow ID", detail)
