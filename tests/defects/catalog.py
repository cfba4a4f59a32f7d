"""The listed defects of EDGELESS: which test of ours fails if we had them, and how.

U35 cannot happen here; its plant shows that the sequence is asked for, and answered.
"""

from typing import Final, NamedTuple

from tests.defects import further_plants as further
from tests.defects import plants
from tests.defects.planting import Plant

__all__ = ["LISTED", "Listed"]


class Listed(NamedTuple):
    """A defect, or a part of one."""

    code: str
    what: str
    """The defect as a sentence."""
    plant: Plant
    test: str
    """Of the behaviour: ``folder/file.py::name``."""
    shows: str = ""
    """Stands in what that test says when it fails; empty = an assertion of its own."""


LISTED: Final = (
    Listed(
        "U01",
        "an error of the store is not told",
        further.an_error_of_the_store_is_not_told,
        "controller/test_restart.py::test_what_cannot_be_stored_is_refused_and_undone",
        "DID NOT RAISE",
    ),
    Listed(
        "U01",
        "a store that cannot be read is begun anew",
        further.a_store_that_cannot_be_read_is_begun_anew,
        "controller/test_workflow_store.py::test_a_file_cut_short_is_refused_and_left_as_it_is",
        "DID NOT RAISE",
    ),
    Listed(
        "U01",
        "a store is written bit by bit",
        further.a_store_is_written_bit_by_bit,
        "controller/test_workflow_store.py::test_a_store_never_grows_beyond_its_size",
        "a workflow is not complete",
    ),
    Listed(
        "U02",
        "a stop of an orphan is ignored",
        plants.a_stop_of_an_orphan_is_ignored,
        "controller/test_domains.py::test_an_orphan_can_be_stopped_and_never_comes_back",
    ),
    Listed(
        "U03",
        "nothing is deployed again after a restart of the orchestrator",
        plants.nothing_is_deployed_again_after_a_restart_of_the_orchestrator,
        "controller/test_domains.py"
        "::test_a_restarted_orchestrator_gets_its_workflows_at_once_under_new_logical_ids",
        "assert all(lid in expected for lid in running[domain_id])",
    ),
    Listed(
        "U04",
        "a domain is usable before its reset",
        further.a_domain_is_usable_before_its_reset,
        "controller/test_domains.py::test_a_domain_gets_nothing_before_it_has_confirmed_its_reset",
    ),
    Listed(
        "U05",
        "the old nonce of a restarted node is kept",
        plants.the_old_nonce_is_kept,
        "orchestrator/test_membership.py::test_a_restarted_node_is_taken_once_and_does_not_flap",
    ),
    Listed(
        "U06",
        "deadlines are read on the calendar of the receiver",
        further.deadlines_are_read_on_the_calendar,
        "api/protobuf/test_malformed.py"
        "::test_a_duration_is_the_same_whatever_the_two_calendars_say",
    ),
    Listed(
        "U06",
        "a node is judged by the clock of its sender",
        further.a_node_is_judged_by_the_clock_of_its_sender,
        "orchestrator/test_membership.py"
        "::test_deadlines_count_from_arrival_whatever_the_network_did",
    ),
    Listed(
        "U07",
        "a guest that fails just ends",
        further.who_fails_just_ends,
        "node/test_failures.py"
        "::test_a_guest_that_fails_in_init_is_restarted_five_times_and_then_given_up",
    ),
    Listed(
        "U07",
        "nobody is told that a guest has failed",
        further.what_nodes_say_of_failures_is_not_kept,
        "orchestrator/test_repair.py::test_a_failed_instance_is_visible_and_stays_where_it_is",
    ),
    Listed(
        "U20",
        "clearing the peers panics",
        further.clearing_the_peers_panics,
        "node/test_agent.py::test_peers_can_be_added_removed_and_cleared",
        "PanicError: UpdatePeers CLEAR",
    ),
    Listed(
        "U21",
        "a Redis that is down is asked without a pause",
        further.a_redis_that_is_down_is_asked_without_a_pause,
        "orchestrator/test_redis_is_down.py"
        "::test_a_redis_that_is_down_is_asked_seldom_and_disturbs_nothing",
    ),
    Listed(
        "U21",
        "the database is emptied at every start",
        further.the_database_is_emptied_at_every_start,
        "orchestrator/redis/test_redis_proxy.py"
        "::test_foreign_keys_stay_and_those_of_an_earlier_life_go",
    ),
    Listed(
        "U22",
        "a migration takes it that its targets are known",
        further.a_migration_takes_it_that_its_targets_are_known,
        "orchestrator/test_intents.py::test_migrating_a_resource_to_an_unknown_node_is_declined",
        "PanicError: called unwrap",
    ),
    Listed(
        "U23",
        "capabilities are not looked at",
        further.capabilities_are_not_looked_at,
        "orchestrator/test_membership.py::test_impossible_capabilities_are_refused",
        "DID NOT RAISE",
    ),
    Listed(
        "U24",
        "max_instances is ignored",
        further.max_instances_is_ignored,
        "orchestrator/test_several_instances.py"
        "::test_a_function_has_as_many_instances_as_it_may_each_on_a_node_of_its_own",
    ),
    Listed(
        "U24",
        "nodes that are none are left out of the list",
        further.nodes_that_are_none_are_left_out_of_the_list,
        "orchestrator/test_orchestrator.py"
        "::test_a_requirement_that_cannot_be_understood_is_refused",
        "it was not refused",
    ),
    Listed(
        "U24",
        "an empty list of labels is a label",
        further.an_empty_list_of_labels_is_a_label,
        "model/test_annotations.py::test_an_empty_list_of_names_asks_for_nothing",
    ),
    Listed(
        "U27",
        "functions that cannot be read are left out",
        further.functions_that_cannot_be_read_are_left_out,
        "api/protobuf/test_malformed.py"
        "::test_a_function_of_a_workflow_without_a_class_refuses_the_workflow",
        "DID NOT RAISE",
    ),
    Listed(
        "U27",
        "outputs that cannot be read are left out",
        further.outputs_that_cannot_be_read_are_left_out,
        "api/protobuf/test_malformed.py::test_one_entry_that_cannot_be_read_refuses_a_patch",
        "DID NOT RAISE",
    ),
    Listed(
        "U28",
        "two components may have one name",
        further.two_components_may_have_one_name,
        "controller/test_workflows.py::test_an_invalid_workflow_is_refused_before_anything_starts",
        "DID NOT RAISE",
    ),
    Listed(
        "U28",
        "outputs may lead to nobody",
        further.outputs_may_lead_to_nobody,
        "model/test_workflow.py::test_a_target_of_a_resource_must_exist_too",
        "DID NOT RAISE",
    ),
    Listed(
        "U28",
        "names may be those of portals",
        further.names_may_be_those_of_portals,
        "model/test_workflow.py::test_a_name_that_nobody_may_have_is_refused",
        "DID NOT RAISE",
    ),
    Listed(
        "U30",
        "the kind of a component is not looked at",
        further.the_kind_of_a_component_is_not_looked_at,
        "orchestrator/test_orchestrator.py"
        "::test_a_function_is_not_stopped_or_patched_through_the_api_of_resources",
        "it was not refused",
    ),
    Listed(
        "U30",
        "patches of unknown components are kept",
        further.patches_of_unknown_components_are_kept,
        "orchestrator/test_orchestrator.py"
        "::test_a_function_is_not_stopped_or_patched_through_the_api_of_resources",
        "it was not refused",
    ),
    Listed(
        "U30",
        "a stray resource is stopped as a function",
        plants.a_stray_resource_is_stopped_as_a_function,
        "orchestrator/test_membership.py::test_a_resource_that_nobody_wants_is_stopped_as_one",
    ),
    Listed(
        "U31",
        "what is wrong with TLS files leads to plain text",
        further.what_is_wrong_with_tls_files_leads_to_plain_text,
        "transports/test_tls.py::test_a_wrong_file_is_named_and_not_quoted",
        "DID NOT RAISE",
    ),
    Listed(
        "U31",
        "a listener without a certificate speaks plain text",
        further.what_is_wrong_with_tls_files_leads_to_plain_text,
        "transports/test_tls.py::test_half_of_the_settings_start_no_listener",
        "DID NOT RAISE",
    ),
    Listed(
        "U32",
        "a provider belongs to who names it first",
        further.a_provider_belongs_to_who_names_it_first,
        "orchestrator/test_orchestrator.py"
        "::test_a_resource_of_the_same_provider_id_on_two_nodes_outlives_one_of_them",
        "edge/1: no provider of rc-1",
    ),
    Listed(
        "U33",
        "cells are not quoted",
        further.cells_are_not_quoted,
        "orchestrator/test_datasets.py::test_whatever_a_function_logs_stays_in_its_cell",
    ),
    Listed(
        "U33",
        "what has a colon is dropped",
        further.what_has_a_colon_is_dropped,
        "orchestrator/test_redis_values.py::test_a_log_may_have_colons_wherever_it_likes",
        "it is not TIME:VALUE",
    ),
    Listed(
        "U33",
        "a health that was there before is not added",
        further.a_health_that_was_there_before_is_not_added,
        "orchestrator/test_mirror.py::test_a_health_that_comes_back_is_kept_again",
    ),
    Listed(
        "U34",
        "a stopped instance keeps its inbox",
        plants.a_stopped_instance_keeps_its_inbox,
        "node/test_lifecycle.py::test_nothing_is_left_of_what_was_stopped",
    ),
    Listed(
        "U34",
        "a stopped resource stays with its agent",
        further.a_stopped_resource_stays_with_its_agent,
        "node/test_resource.py"
        "::test_a_repeated_start_makes_one_resource_and_a_repeated_stop_is_no_error",
    ),
    Listed(
        "U35",
        "a sequence of a migration panics",
        further.a_sequence_of_a_migration_panics,
        "controller/test_migration.py::test_impossible_migrations_are_refused_in_edgeless_words",
    ),
    Listed(
        "U36",
        "a lost patch is not sent again",
        plants.a_patch_without_an_answer_is_not_repeated,
        "orchestrator/test_repair.py::test_a_lost_patch_is_sent_again",
        """assert node.outputs[source]["out"]""",
    ),
    Listed(
        "U36",
        "a lost stop is not sent again",
        further.a_lost_stop_is_not_sent_again,
        "orchestrator/test_repair.py::test_a_lost_stop_is_sent_again",
    ),
    Listed(
        "U36",
        "a stop without an answer from a domain is not repeated",
        further.a_stop_without_an_answer_from_a_domain_is_not_repeated,
        "controller/test_repair.py"
        "::test_a_stop_whose_reply_is_lost_is_repeated_until_the_domain_reports_it_gone",
    ),
    Listed(
        "U37",
        "a start that is repeated makes another instance",
        further.a_start_that_is_repeated_makes_another_instance,
        "node/test_agent.py::test_a_repeated_start_makes_one_instance",
    ),
    Listed(
        "U37",
        "strays on nodes are left alone",
        plants.strays_on_nodes_are_left_alone,
        "orchestrator/test_membership.py"
        "::test_an_instance_that_nobody_wants_is_stopped_and_the_node_is_not_reset",
    ),
    Listed(
        "U37",
        "components that the controller does not know are left alone",
        plants.components_that_the_controller_does_not_know_are_left_alone,
        "controller/test_repair.py"
        "::test_a_component_that_nobody_wants_is_stopped_whatever_its_kind",
    ),
    Listed(
        "U38",
        "a reset without an echo is taken for done",
        plants.a_reset_without_an_echo_is_taken_for_done,
        "controller/test_domain_losses.py"
        "::test_an_answer_with_a_reset_that_is_lost_is_given_again_and_nothing_stays",
    ),
    Listed(
        "U38",
        "an orchestrator that was not told takes its reset for done",
        plants.a_reset_without_an_echo_is_taken_for_done,
        "controller/test_domains.py::test_a_reset_is_repeated_until_it_is_confirmed",
    ),
)
