"""The defects that only a test of the behaviour looks at; those that exploring finds, too, are in
`plants`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.defects.plants import (
    a_stop_without_an_answer_is_not_repeated,
    components_that_the_controller_does_not_know_are_left_alone,
    nothing,
)

from edgeless_sim.api.messages import StartReply, StopReply
from edgeless_sim.api.protobuf import components, deadlines, domains, nodes, workflows
from edgeless_sim.api.protobuf.fields import read_list, read_map
from edgeless_sim.api.protobuf.identifiers import read_instance
from edgeless_sim.controller import workflow_service
from edgeless_sim.controller.register import DomainEntry
from edgeless_sim.controller.workflow_database import DatabaseWorkflowStore
from edgeless_sim.controller.workflow_service import WorkflowService
from edgeless_sim.dataplane.plane import Dataplane
from edgeless_sim.errors import RejectedError, ResourceError, WorkflowSpecError
from edgeless_sim.model import annotations, workflow
from edgeless_sim.model.node import NodeCapabilities
from edgeless_sim.node.agent import Agent
from edgeless_sim.node.function import HostedFunction
from edgeless_sim.node.phase import Phase
from edgeless_sim.orchestrator import datasets, redis_proxy, redis_values, requests
from edgeless_sim.orchestrator.domain_state import DomainState
from edgeless_sim.orchestrator.membership import Membership
from edgeless_sim.orchestrator.mirror import Mirror
from edgeless_sim.orchestrator.performer import NodePerformer
from edgeless_sim.orchestrator.placer import Placer
from edgeless_sim.orchestrator.plan import StopInstance
from edgeless_sim.orchestrator.redis_proxy import RedisProxy
from edgeless_sim.orchestrator.register import NodeRegister
from edgeless_sim.orchestrator.requests import ComponentRequests
from edgeless_transports.tcp import TlsTcpTransport
from edgeless_transports.tls import TlsError

Patch = pytest.MonkeyPatch


class PanicError(Exception):
    """What ends a program of EDGELESS."""


# --- U01: the store


def an_error_of_the_store_is_not_told(patch: Patch) -> None:
    original = WorkflowService._keep

    def keep(self: Any, kept: Any, deployment: Any) -> None:
        undeploy, self._launcher.undeploy = self._launcher.undeploy, nothing
        try:
            original(self, kept, deployment)
        except RejectedError:
            return
        finally:
            self._launcher.undeploy = undeploy

    patch.setattr(WorkflowService, "_keep", keep)


def a_store_that_cannot_be_read_is_begun_anew(patch: Patch) -> None:
    original = DatabaseWorkflowStore.__init__

    def init(self: Any, path: Path, **options: Any) -> None:
        try:
            original(self, path, **options)
        except ResourceError:
            path.unlink()
            original(self, path, **options)

    patch.setattr(DatabaseWorkflowStore, "__init__", init)


def a_store_is_written_bit_by_bit(patch: Patch) -> None:
    @contextmanager
    def transaction(self: Any) -> Iterator[Any]:
        with self._explained():
            yield lambda statement, *values: self._database.execute(statement, values)

    patch.setattr(DatabaseWorkflowStore, "_transaction", transaction)


# --- U04, U06, U23, U31, U32: who takes part


def a_domain_is_usable_before_its_reset(patch: Patch) -> None:
    original = DomainEntry.refresh_view

    def refresh_view(self: Any) -> None:
        epoch, self.epoch = self.epoch, 0
        original(self)
        self.epoch = epoch

    patch.setattr(DomainEntry, "refresh_view", refresh_view)


def deadlines_are_read_on_the_calendar(patch: Patch) -> None:
    original = deadlines.read_ttl_s

    def read(place: Any, told: bool, message: Any) -> float:
        return original(place, False, message)

    for module in (nodes, domains):
        patch.setattr(module, "read_ttl_s", read)


def a_node_is_judged_by_the_clock_of_its_sender(patch: Patch) -> None:
    original = NodeRegister.update

    def update(self: Any, request: Any, now_ns: int) -> Any:
        # The sender's clock is an hour behind.
        return original(self, request, now_ns - 3_600_000_000_000)

    patch.setattr(NodeRegister, "update", update)
    patch.setattr(NodeRegister, "remember", nothing)


def capabilities_are_not_looked_at(patch: Patch) -> None:
    patch.setattr(NodeCapabilities, "validated", lambda self: self)


def what_is_wrong_with_tls_files_leads_to_plain_text(patch: Patch) -> None:
    original = TlsTcpTransport.reload

    def reload(self: Any) -> None:
        try:
            original(self)
        except TlsError:
            patch.setattr(TlsTcpTransport, "_server_context", nothing)
            patch.setattr(TlsTcpTransport, "_client_context", nothing)

    patch.setattr(TlsTcpTransport, "reload", reload)


def a_provider_belongs_to_who_names_it_first(patch: Patch) -> None:
    def without_others(original: Any) -> Any:
        def taken(self: Any, request: Any) -> None:
            known = {
                each.provider_id
                for node in self._state.nodes.values()
                for each in node.view.providers
                if node.node_id != request.node_id
            }
            own = [each for each in request.resource_providers if each.provider_id not in known]
            original(self, msgspec.structs.replace(request, resource_providers=tuple(own)))

        return taken

    for name in ("join", "refresh"):
        patch.setattr(Membership, name, without_others(getattr(Membership, name)))


# --- U07, U20, U34, U37: on the node


def who_fails_just_ends(patch: Patch) -> None:
    def ended(self: Any, reason: str) -> None:
        self._discard_guest()
        self.phase = Phase.IDLE

    patch.setattr(HostedFunction, "_back_off", ended)


def what_nodes_say_of_failures_is_not_kept(patch: Patch) -> None:
    patch.setattr(DomainState, "observe", lambda *_: False)


def clearing_the_peers_panics(patch: Patch) -> None:
    def panic(self: Any) -> None:
        raise PanicError("UpdatePeers CLEAR is not implemented")

    patch.setattr(Dataplane, "clear_peers", panic)


def a_stopped_resource_stays_with_its_agent(patch: Patch) -> None:
    async def stop(self: Any, instance_id: Any) -> Any:
        hosted = self.resources.get(instance_id)
        if hosted is not None:
            await hosted.stop()
        return self._done()

    patch.setattr(Agent, "stop_resource", stop)


def a_start_that_is_repeated_makes_another_instance(patch: Patch) -> None:
    original = Agent.start_function

    async def start(self: Any, request: Any) -> StartReply:
        if request.instance_id in self.functions:
            request = msgspec.structs.replace(request, instance_id=None)
        reply: StartReply = await original(self, request)
        return reply

    patch.setattr(Agent, "start_function", start)


# --- U21: the mirror


def a_redis_that_is_down_is_asked_without_a_pause(patch: Patch) -> None:
    patch.setattr(redis_proxy, "_PAUSE_MAX_S", 0.0)


def the_database_is_emptied_at_every_start(patch: Patch) -> None:
    original = RedisProxy.__init__

    def init(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        self._flushed = False

    patch.setattr(RedisProxy, "__init__", init)


# --- U22, U24, U27, U28, U30, U35: what is asked for


def a_migration_takes_it_that_its_targets_are_known(patch: Patch) -> None:
    original = Placer.migrate

    def migrate(self: Any, intent: Any) -> None:
        for node_id in intent.targets:
            if node_id not in self.state.nodes:
                raise PanicError(f"called unwrap on None: {node_id}")
        original(self, intent)

    patch.setattr(Placer, "migrate", migrate)


def max_instances_is_ignored(patch: Patch) -> None:
    patch.setattr(requests, "_wanted", lambda needs: 1)


def nodes_that_are_none_are_left_out_of_the_list(patch: Patch) -> None:
    original = annotations._node

    def kept(key: str, value: str | None) -> Iterator[str]:
        for item in (value or "").split(","):
            try:
                yield original(key, item)
            except WorkflowSpecError:
                continue

    patch.setattr(annotations, "_nodes", lambda key, value: tuple(kept(key, value)))


def an_empty_list_of_labels_is_a_label(patch: Patch) -> None:
    patch.setattr(annotations, "_names", lambda key, value: tuple(value.split(",")))


def functions_that_cannot_be_read_are_left_out(patch: Patch) -> None:
    original = workflows._read_function

    def read(message: Any) -> Any:
        try:
            return original(message)
        except ValueError:
            return None

    def listed(where: str, found: Any) -> tuple[Any, ...]:
        entries = read_list(where, found)
        if where == "workflow_functions":
            return tuple(each for each in entries if read(each) is not None)
        return entries

    patch.setattr(workflows, "read_list", listed)


def outputs_that_cannot_be_read_are_left_out(patch: Patch) -> None:
    def readable(message: Any) -> bool:
        try:
            read_instance("", message)
        except ValueError:
            return False
        return True

    def mapped(where: str, found: Any) -> dict[str, Any]:
        entries = read_map(where, found)
        if where == "output_mapping":
            return {key: value for key, value in entries.items() if readable(value)}
        return entries

    patch.setattr(components, "read_map", mapped)


def two_components_may_have_one_name(patch: Patch) -> None:
    patch.setattr(workflow, "_duplicate_faults", lambda request: ())


def names_may_be_those_of_portals(patch: Patch) -> None:
    patch.setattr(workflow, "_RESERVED_PREFIX", "\0")


def outputs_may_lead_to_nobody(patch: Patch) -> None:
    patch.setattr(workflow, "_target_faults", lambda request: ())


def the_kind_of_a_component_is_not_looked_at(patch: Patch) -> None:
    patch.setattr(ComponentRequests, "_check_kind", nothing)


def patches_of_unknown_components_are_kept(patch: Patch) -> None:
    original = ComponentRequests._patch

    def kept(self: Any, request: Any, kind: Any) -> Any:
        if request.function_id.function_id not in self._state.components:
            return StopReply()
        return original(self, request, kind)

    patch.setattr(ComponentRequests, "_patch", kept)


def a_sequence_of_a_migration_panics(patch: Patch) -> None:
    def others(workflow: Any, request: Any) -> Any:
        raise PanicError("non-implemented sequence")

    patch.setattr(workflow_service, "_others", others)


# --- U33: what is written down


def cells_are_not_quoted(patch: Patch) -> None:
    patch.setattr(datasets, "_row", ",".join)


def what_has_a_colon_is_dropped(patch: Patch) -> None:
    original = redis_values.read_text

    def read(member: bytes) -> str:
        if member.count(b":") > 1:
            raise ValueError("it is not TIME:VALUE")
        return original(member)

    patch.setattr(redis_values, "read_text", read)


def a_health_that_was_there_before_is_not_added(patch: Patch) -> None:
    original = Mirror._add_health

    def add(self: Any, node_id: Any, sample: Any) -> None:
        kept = self._health.get(node_id, ())
        if all(each.health != sample.health for each in kept):
            original(self, node_id, sample)

    patch.setattr(Mirror, "_add_health", add)


# --- U36, U37, U38: what is lost on the way


def a_lost_stop_is_not_sent_again(patch: Patch) -> None:
    original = NodePerformer._unreachable

    def unreachable(self: Any, node: Any, step: Any, error: Any) -> None:
        original(self, node, step, error)
        if isinstance(step, StopInstance):
            node.errands.pop(step.instance_id, None)
            node.garbage.pop(step.instance_id, None)
            node.stop_revision = 1 << 60

    patch.setattr(NodePerformer, "_unreachable", unreachable)


def a_stop_without_an_answer_from_a_domain_is_not_repeated(patch: Patch) -> None:
    a_stop_without_an_answer_is_not_repeated(patch)
    components_that_the_controller_does_not_know_are_left_alone(patch)
