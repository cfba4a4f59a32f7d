"""The table of methods says what the services say, and what EDGELESS's wire says."""

import inspect
import typing
from typing import Any

import pytest

from edgeless_sim.api import clients, services
from edgeless_sim.api.methods import METHODS

#: Spec 10.1, as far as we serve it, and our own.
PATHS = {
    "/edgeless_api.WorkflowInstance/Start",
    "/edgeless_api.WorkflowInstance/Stop",
    "/edgeless_api.WorkflowInstance/List",
    "/edgeless_api.WorkflowInstance/Inspect",
    "/edgeless_api.WorkflowInstance/Domains",
    "/edgeless_api.WorkflowInstance/Migrate",
    "/edgeless_api.DomainRegistration/UpdateDomain",
    "/edgeless_sim.DomainPoll/Poll",
    "/edgeless_sim.WorkflowExplanation/Explain",
    "/edgeless_sim.DomainMirror/Mirror",
    "/edgeless_sim.DomainMirror/Submit",
    "/edgeless_sim.DomainMirror/Explain",
    "/edgeless_sim.Handover/TakeOver",
    "/edgeless_sim.Handover/Collect",
    "/edgeless_sim.Handover/GiveBack",
    "/edgeless_api.FunctionInstance/Start",
    "/edgeless_api.FunctionInstance/Stop",
    "/edgeless_api.FunctionInstance/Patch",
    "/edgeless_api.ResourceConfiguration/Start",
    "/edgeless_api.ResourceConfiguration/Stop",
    "/edgeless_api.ResourceConfiguration/Patch",
    "/edgeless_api.NodeRegistration/UpdateNode",
    "/edgeless_api.NodeManagement/UpdatePeers",
    "/edgeless_api.NodeManagement/Reset",
}

PROTOCOLS: dict[type, tuple[str, ...]] = {
    services.WorkflowInstanceApi: ("WorkflowInstance",),
    services.DomainRegistrationApi: ("DomainRegistration",),
    services.DomainPollApi: ("DomainPoll",),
    services.WorkflowExplanationApi: ("WorkflowExplanation",),
    services.DomainMirrorApi: ("DomainMirror",),
    services.ComponentApi: ("FunctionInstance", "ResourceConfiguration"),
    services.NodeManagementApi: ("NodeManagement",),
    services.NodeRegistrationApi: ("NodeRegistration",),
    services.HandoverApi: ("Handover",),
}

CLIENTS: dict[type, tuple[type, ...]] = {
    clients.ControllerClient: (services.WorkflowInstanceApi, services.WorkflowExplanationApi),
    clients.DomainRegistrationClient: (services.DomainRegistrationApi,),
    clients.DomainPollClient: (services.DomainPollApi,),
    clients.DomainMirrorClient: (services.DomainMirrorApi,),
    clients.ComponentClient: (services.ComponentApi,),
    clients.AgentClient: (services.ComponentApi, services.NodeManagementApi),
    clients.NodeRegistrationClient: (services.NodeRegistrationApi,),
    clients.HandoverClient: (services.HandoverApi,),
}


def methods_of(kind: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_the_paths_are_those_of_edgeless() -> None:
    paths = [method.path for methods in METHODS.values() for method in methods.values()]
    assert len(paths) == len(set(paths))
    assert set(paths) == PATHS


def test_the_paths_outside_the_table_are_those_of_edgeless() -> None:
    assert services.HANDLE == "/edgeless_api.FunctionInvocation/Handle"
    assert METHODS["NodeRegistration"]["update_node"].path == services.UPDATE_NODE


def test_every_protocol_is_looked_at() -> None:
    assert {protocol.__name__ for protocol in PROTOCOLS} == {
        name for name in services.__all__ if name.endswith("Api")
    }
    assert {name for names in PROTOCOLS.values() for name in names} == set(METHODS)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_the_methods_of_a_service_are_those_of_the_table(protocol: type) -> None:
    table = {name for service in PROTOCOLS[protocol] for name in METHODS[service]}
    assert set(methods_of(protocol)) == table


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_method_takes_what_the_table_says(protocol: type) -> None:
    table = {
        name: method for service in PROTOCOLS[protocol] for name, method in METHODS[service].items()
    }
    for name, function in methods_of(protocol).items():
        hints = typing.get_type_hints(function)
        hints.pop("return")
        expected = table[name].request
        assert list(hints.values()) == ([] if expected is None else [expected]), name


@pytest.mark.parametrize(
    ("client", "protocol"),
    [(client, protocol) for client, protocols in CLIENTS.items() for protocol in protocols],
)
def test_a_client_has_every_method_of_its_service(client: type, protocol: type) -> None:
    offered = methods_of(client)
    for name, function in methods_of(protocol).items():
        assert inspect.signature(offered[name]) == inspect.signature(function), name
