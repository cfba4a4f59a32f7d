"""Whether settings make sense: services that do not collide, keys that do not contradict.

The shape is right already. A fault is a path into the file and a reason; the reader adds the line.
"""

from collections.abc import Iterable, Iterator
from functools import singledispatch
from typing import NamedTuple

from edgeless_sim.cluster.settings.balancer import BalancerSettingsFile
from edgeless_sim.cluster.settings.controller import ControllerSettingsFile
from edgeless_sim.cluster.settings.mirrors import mirror_faults
from edgeless_sim.cluster.settings.node import NodeGeneral, NodeSettingsFile
from edgeless_sim.cluster.settings.orchestrator import OrchestratorSettingsFile
from edgeless_sim.cluster.settings.resources import ResourcesTable
from edgeless_sim.cluster.settings.unavailable import Fault, resource_class_fault
from edgeless_sim.cluster.settings.urls import PORT_MAX, Endpoint, endpoint_of
from edgeless_sim.errors import ResourceError, SettingsError
from edgeless_sim.model.json_text import path_text
from edgeless_sim.model.names import name_fault, quoted
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.model.toml_table import Table
from edgeless_sim.orchestrator.placement import strategy_fault
from edgeless_sim.resources.catalog import known_classes
from edgeless_sim.resources.egress_rules import place_of_url
from edgeless_sim.resources.ollama import chat_place
from edgeless_sim.resources.redis_rules import url_fault

__all__ = ["sense_faults"]


class _Service(NamedTuple):
    """A URL where the component listens."""

    path: TomlPath
    url: str | None
    #: Another service that may be at the very same URL.
    beside: TomlPath = ()


class _Peer(NamedTuple):
    """A URL where somebody else does."""

    path: TomlPath
    url: str | None


@singledispatch
def sense_faults(settings: Table, *, any_port: bool = False) -> Iterator[Fault]:
    """What in *settings* cannot be meant; with *any_port*, port 0 can."""
    del settings, any_port
    return iter(())


@sense_faults.register
def _of_controller(settings: ControllerSettingsFile, *, any_port: bool = False) -> Iterator[Fault]:
    entries = list(enumerate(settings.orchestrators))
    peers = [
        _Peer(("orchestrators", at, "orchestrator_url"), x.orchestrator_url) for at, x in entries
    ]
    yield from _url_faults(
        [
            _Service(("controller_url",), settings.controller_url),
            _Service(("domain_register_url",), settings.domain_register_url, ("controller_url",)),
            _Service(("edgeless_sim", "metrics_url"), settings.edgeless_sim.metrics_url),
        ],
        peers,
        any_port=any_port,
    )
    yield from _repeated((("orchestrators", at, "domain_id"), x.domain_id) for at, x in entries)
    yield from _repeated((peer.path, peer.url or "") for peer in peers)


@sense_faults.register
def _of_orchestrator(
    settings: OrchestratorSettingsFile, *, any_port: bool = False
) -> Iterator[Fault]:
    general = settings.general
    orchestrator, agent = ("general", "orchestrator_url"), ("general", "agent_url")
    yield from _url_faults(
        [
            _Service(orchestrator, general.orchestrator_url),
            _Service(("general", "node_register_url"), general.node_register_url, orchestrator),
            _Service(agent, general.agent_url),
            _Service(("general", "invocation_url"), general.invocation_url, agent),
            _Service(("edgeless_sim", "metrics_url"), settings.edgeless_sim.metrics_url),
        ],
        [_Peer(("general", "domain_register_url"), general.domain_register_url)],
        any_port=any_port,
    )
    fault = strategy_fault(settings.baseline.orchestration_strategy)
    if fault is not None:
        yield ("baseline", "orchestration_strategy"), fault
    yield from mirror_faults(settings)
    yield from _collector_faults(settings)


def _collector_faults(settings: OrchestratorSettingsFile) -> Iterator[Fault]:
    """What the collector needs, if there is one."""
    if settings.collector.collector_type == "None":
        return
    yield from _redis_faults(("collector", "redis_url"), settings.collector.redis_url)
    for key in ("agent_url", "invocation_url"):
        if not getattr(settings.general, key):
            yield (
                ("general", key),
                "the collector's node needs it, too; write a URL with a free port, or "
                'collector_type = "None"',
            )


def _redis_faults(path: TomlPath, url: str) -> Iterator[Fault]:
    # It may have a password, so that it is not shown.
    fault = url_fault(url) if url else "it is needed, too: write redis://HOST:PORT"
    if fault is not None:
        yield path, fault


@sense_faults.register
def _of_node(settings: NodeSettingsFile, *, any_port: bool = False) -> Iterator[Fault]:
    general, resources = settings.general, settings.resources
    agent = ("general", "agent_url")
    metrics = "general" if general.metrics_url else "telemetry"
    ingress = resources.http_ingress_url if resources.http_ingress_provider else None
    yield from _url_faults(
        [
            _Service(agent, general.agent_url),
            _Service(("general", "invocation_url"), general.invocation_url, agent),
            _Service((metrics, "metrics_url"), settings.metrics_url),
            _Service(("resources", "http_ingress_url"), ingress),
        ],
        [
            _Peer(("general", "orchestrator_url"), general.orchestrator_url),
            _Peer(("general", "node_register_url"), general.node_register_url),
        ],
        any_port=any_port,
    )
    yield from _registration_faults(("general",), general)
    yield from _contradictions(
        ("general", "metrics_url"),
        general.metrics_url,
        ("telemetry", "metrics_url"),
        settings.telemetry.metrics_url,
    )
    if settings.python_runtime.enabled and not settings.python_runtime.folders:
        yield (
            ("python_runtime", "enabled"),
            'name the folders that code may come from: folders = ["..."]',
        )
    yield from _repeated(
        (("resources", *provider.path), provider.provider_id) for provider in resources.providers()
    )
    if (
        resources.http_ingress_provider
        and resources.http_ingress_url is None
        and resource_class_fault("http-ingress") is None
    ):
        yield ("resources", "http_ingress_provider"), "it needs an http_ingress_url, too"
    yield from _elsewhere_faults(resources)


def _elsewhere_faults(resources: ResourcesTable) -> Iterator[Fault]:
    """What providers need of the owner to find what they speak for."""
    if resources.ollama_provider.provider:
        try:
            chat_place(resources.ollama_provider.settings())
        except SettingsError as cause:
            yield ("resources", "ollama_provider", "host"), str(cause)
    collector = resources.metrics_collector_provider
    if collector.provider:
        path = ("resources", "metrics_collector_provider", "redis_url")
        yield from _redis_faults(path, collector.redis_url)
    pusher = resources.file_pusher_provider
    if pusher.provider and not pusher.directory:
        yield ("resources", "file_pusher_provider", "provider"), "it needs a directory, too"
    for at, each in enumerate(resources.serverless_provider):
        if not each.provider:
            continue
        place = ("resources", "serverless_provider", at)
        fault = name_fault(each.class_type)
        if fault is not None:
            yield (*place, "class_type"), f"{quoted(each.class_type)}: this is no name: {fault}"
        elif each.class_type in known_classes():
            yield (
                (*place, "class_type"),
                f"{quoted(each.class_type)} is a class of its own; take another name",
            )
        try:
            place_of_url(each.function_url)
        except ResourceError as cause:
            yield (*place, "function_url"), f"{quoted(each.function_url)}: {cause}"


@sense_faults.register
def _of_balancer(settings: BalancerSettingsFile, *, any_port: bool = False) -> Iterator[Fault]:
    if settings.balancer_id or settings.invocation_url:
        # Said already, by what is unavailable.
        return
    for name, table in (
        ("general", settings.general),
        ("local", settings.local),
        ("portal", settings.portal),
    ):
        if table is None:
            yield (name,), "the table is missing; edgeless_bal_d -t writes a file to begin with"
    if settings.local is None or settings.portal is None:
        return
    services, peers = [], []
    for name, side in (("local", settings.local), ("portal", settings.portal)):
        agent = (name, "agent_url")
        services.append(_Service(agent, side.agent_url))
        services.append(_Service((name, "invocation_url"), side.invocation_url, agent))
        peers.append(_Peer((name, "orchestrator_url"), side.orchestrator_url))
        peers.append(_Peer((name, "node_register_url"), side.node_register_url))
        yield from _registration_faults((name,), side)
        if side.metrics_url is not None:
            yield (name, "metrics_url"), "a balancer has one: telemetry.metrics_url; remove the key"
    services.append(_Service(("telemetry", "metrics_url"), settings.telemetry.metrics_url))
    yield from _url_faults(services, peers, any_port=any_port)
    ids = [(("local", "node_id"), str(settings.local.node_id))]
    yield from _repeated([*ids, (("portal", "node_id"), str(settings.portal.node_id))])
    ours = settings.edgeless_sim
    names = (("local_name", ours.local_name), ("portal_name", ours.portal_name))
    yield from _repeated([(("edgeless_sim", key), name) for key, name in names if name])
    if settings.general is not None and ours.portal_domain == settings.general.domain:
        yield ("edgeless_sim", "portal_domain"), "the local domain: a balancer joins two domains"
    if settings.local.registers_at == settings.portal.registers_at:
        yield (
            ("portal",),
            "it registers where the local side does; a balancer joins two domains",
        )


def _registration_faults(table: TomlPath, general: NodeGeneral) -> Iterator[Fault]:
    old, new = (*table, "orchestrator_url"), (*table, "node_register_url")
    yield from _contradictions(old, general.orchestrator_url, new, general.node_register_url)
    if general.registers_at is None:
        yield table, "the key 'orchestrator_url' is missing: where does the node register?"


def _url_faults(
    services: Iterable[_Service], peers: Iterable[_Peer], *, any_port: bool
) -> Iterator[Fault]:
    bound: list[tuple[_Service, Endpoint]] = []
    for service in services:
        if service.url is None:
            continue
        endpoint = endpoint_of(service.url)
        if endpoint.port == 0 and not any_port:
            yield service.path, f"{quoted(service.url)}: the port 0 is not between 1 and {PORT_MAX}"
        for other, taken in bound:
            together = other.path == service.beside and other.url == service.url
            if not together and endpoint.collides(taken):
                where = path_text(other.path)
                yield service.path, f"{quoted(service.url)}: {where} has that place already"
        bound.append((service, endpoint))
    for peer in peers:
        for service, endpoint in bound:
            if peer.url is not None and endpoint_of(peer.url) == endpoint:
                where = path_text(service.path)
                yield peer.path, f"{quoted(peer.url)}: there listens the component itself: {where}"


def _contradictions(
    path: TomlPath, value: str | None, other: TomlPath, other_value: str | None
) -> Iterator[Fault]:
    if value is not None and other_value is not None and value != other_value:
        yield (
            other,
            f"{quoted(other_value)}: {path_text(path)} says {quoted(value)}; remove one of them",
        )


def _repeated(named: Iterable[Fault]) -> Iterator[Fault]:
    """*named* are paths and values; the later of two equal values is a fault."""
    first: dict[str, TomlPath] = {}
    for path, value in named:
        other = first.setdefault(value, path)
        if other != path:
            yield path, f"{quoted(value)} is {path_text(other)} already"
