"""What files of EDGELESS may ask for and this version has not: found by key, never ignored.

The only place that knows. A key at its off value asks for nothing.
"""

from collections.abc import Iterator
from functools import singledispatch
from typing import TypeAlias

from edgeless_sim.cluster.settings.balancer import BalancerSettingsFile
from edgeless_sim.cluster.settings.client import CliSettingsFile
from edgeless_sim.cluster.settings.node import NodeGeneral, NodeSettingsFile
from edgeless_sim.cluster.settings.orchestrator import OrchestratorSettingsFile
from edgeless_sim.model.names import quoted
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.model.toml_table import Table
from edgeless_sim.resources.base import KAFKA_ALLOW, REDIS_ALLOW
from edgeless_sim.resources.catalog import known_classes

__all__ = ["Fault", "resource_class_fault", "unavailable_faults"]

#: A path into the file, and what is wrong there.
Fault: TypeAlias = tuple[TomlPath, str]

_MISSING = "is not available in this version"


def resource_class_fault(class_type: str) -> str | None:
    """Why no provider of *class_type* can be made; None if one can."""
    if class_type in known_classes():
        return None
    return f"the resource class {class_type} {_MISSING}"


@singledispatch
def unavailable_faults(settings: Table) -> Iterator[Fault]:
    """Everything that *settings* ask for in vain."""
    del settings
    return iter(())


@unavailable_faults.register
def _of_client(settings: CliSettingsFile) -> Iterator[Fault]:
    for key, value in settings.function_repository:
        if value:
            yield (
                ("function_repository", key),
                f'the function repository {_MISSING}; write ""',
            )


@unavailable_faults.register
def _of_orchestrator(settings: OrchestratorSettingsFile) -> Iterator[Fault]:
    general = settings.general
    for key in (
        "orchestrator_coap_url",
        "orchestrator_coap_url_announced",
        "node_register_coap_url",
    ):
        if getattr(general, key):
            yield ("general", key), f"CoAP {_MISSING}; remove the key"
    if settings.edgeless_sim.fencing != "none":
        yield ("edgeless_sim", "fencing"), f'fencing by leases {_MISSING}; write "none"'


@unavailable_faults.register
def _of_balancer(settings: BalancerSettingsFile) -> Iterator[Fault]:
    for key in ("balancer_id", "invocation_url"):
        if getattr(settings, key):
            yield (
                (key,),
                "the balancer of EDGELESS's first generation, which does nothing, "
                f"{_MISSING}; write the tables general, local and portal",
            )
    for name, side in (("local", settings.local), ("portal", settings.portal)):
        if side is not None:
            yield from _coap_faults(name, side)


def _coap_faults(table: str, general: NodeGeneral) -> Iterator[Fault]:
    for key in ("invocation_url_coap", "invocation_url_announced_coap"):
        if getattr(general, key):
            yield (table, key), f"CoAP {_MISSING}; remove the key"


@unavailable_faults.register
def _of_node(settings: NodeSettingsFile) -> Iterator[Fault]:
    yield from _coap_faults("general", settings.general)
    if settings.container_runtime.enabled:
        yield (
            ("container_runtime", "enabled"),
            f"the container run-time {_MISSING}; write false",
        )
    if settings.power_info is not None:
        yield ("power_info",), f"reading the power of a socket {_MISSING}; remove the table"
    for provider in settings.resources.providers():
        fault = resource_class_fault(provider.class_type)
        if fault is not None:
            yield (
                ("resources", *provider.path),
                f'{quoted(provider.provider_id)}: {fault}; write ""',
            )
    for key, class_type, plain in (
        ("http_egress_allow", "http-egress", ()),
        ("redis_allow", "redis", REDIS_ALLOW),
        ("kafka_allow", "kafka-egress", KAFKA_ALLOW),
    ):
        fault = resource_class_fault(class_type)
        if fault is not None and getattr(settings.resources, key) not in ((), plain):
            yield ("resources", key), f"{fault}; remove the key"
