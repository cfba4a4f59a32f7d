"""The file of a component: read into what it is told, or written from that.

Keys, their checks and their texts are those of `settings`; certificates come from the file
``tls_config.toml`` beside it.
"""

import socket
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NoReturn

import msgspec
from pydantic import ValidationError

from edgeless_sim.cluster.balancer_file import balancer_text, read_balancer
from edgeless_sim.cluster.component_settings import (
    BalancerComponent,
    BalancerSide,
    ComponentSettings,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.cluster.orchestrator_file import AGENT_URLS, orchestrator_text, read_orchestrator
from edgeless_sim.cluster.resources_file import resources_table
from edgeless_sim.cluster.settings import (
    ComponentTls,
    ControllerSettingsFile,
    NodeSettingsFile,
    load_controller_settings,
    load_node_settings,
    load_tls,
    render_controller_settings,
    render_node_settings,
)
from edgeless_sim.cluster.settings.tls import TLS_FILE
from edgeless_sim.cluster.settings.unavailable import Fault
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.json_text import path_text
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.toml_document import read_toml_file
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.node.capabilities import detected_capabilities

__all__ = ["FILES", "KINDS", "load_component", "write_component"]

KINDS: Final[dict[type, str]] = {
    ControllerComponent: "con",
    OrchestratorComponent: "orc",
    NodeComponent: "node",
    BalancerComponent: "bal",
}
#: The guide's names of files, by kind.
FILES: Final = {
    "con": "controller.toml",
    "orc": "orchestrator.toml",
    "node": "node.toml",
    "bal": "balancer.toml",
}
#: The keys of the URLs that a component is told; nodes may write node_register_url.
_URLS: Final[dict[type, dict[str, str]]] = {
    ControllerComponent: {"url": "controller_url", "domain_url": "domain_register_url"},
    OrchestratorComponent: {
        "url": "orchestrator_url",
        "announced_url": "orchestrator_url_announced",
        "node_url": "node_register_url",
        "domain_register_url": "domain_register_url",
        **AGENT_URLS,
    },
    NodeComponent: {**AGENT_URLS, "orchestrator_url": "orchestrator_url"},
}
_URLS[BalancerSide] = _URLS[NodeComponent]
_SERVED: Final[dict[type, tuple[str, ...]]] = {
    ControllerComponent: ("url", "domain_url"),
    OrchestratorComponent: ("url", "announced_url", "node_url", *AGENT_URLS),
    NodeComponent: tuple(AGENT_URLS),
}
_SERVED[BalancerSide] = _SERVED[NodeComponent]
_NO_SOCKET: Final = "memory:// is for simulations; write tcp, tls+tcp, http or https"


def load_component(kind: str, path: Path) -> ComponentSettings:
    """What the file at *path* tells a component of *kind*: ``con``, ``orc``, ``node`` or ``bal``.

    Raise `SettingsError` with file, line and key for whatever is wrong there or in the file of
    certificates beside it.
    """
    if kind not in _READERS:
        raise SettingsError(f"{quoted(kind)} is none of {', '.join(_READERS)}")
    tls = load_tls(path.parent)
    settings = _READERS[kind](path)
    if tls is not None:
        settings = _secured(replace(settings, tls=tls), tls)
    faults = list(_url_faults(settings))
    if faults:
        _refuse(path, *faults)
    return settings


def write_component(settings: ComponentSettings, folder: Path) -> Path:
    """Write the file of *settings* into *folder*, in place of an older one, and return its path.

    Certificates are not written. Raise `SettingsError` if the file would not say the same as
    *settings*; then, and if writing fails, an older file stays as it is.
    """
    kind = KINDS[type(settings)]
    path = folder / FILES[kind]
    try:
        text = _text(settings)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        key = path_text(fault["loc"])
        raise SettingsError(clipped(f"{FILES[kind]}: {key}: {fault['msg']}")) from None
    with TemporaryDirectory(dir=folder, prefix=f".{path.name}.") as own:
        draft = Path(own) / path.name
        draft.write_text(text, encoding="utf-8")
        try:
            said, meant = _comparable(_READERS[kind](draft)), _comparable(settings)
        except SettingsError as error:
            # Where the draft was is nobody's matter.
            raise SettingsError(str(error).replace(str(draft), path.name)) from None
        lost = [f.name for f in fields(meant) if getattr(said, f.name) != getattr(meant, f.name)]
        if lost:
            raise SettingsError(f"{path.name} cannot say this: {', '.join(lost)}")
        draft.replace(path)
    return path


def _comparable(settings: ComponentSettings) -> ComponentSettings:
    """*settings* without what a file need not tell: defaults, order, certificates."""
    changed: dict[str, Any] = {"tls": None}
    match settings:
        case OrchestratorComponent():
            changed["name"] = settings.name or f"orc/{settings.domain_id}"
        case BalancerComponent():
            changed["name"] = settings.name or f"bal/{settings.domain}"
            for key, side in (("local", settings.local), ("portal", settings.portal)):
                changed[key] = replace(side, name=side.name or str(side.node_id))
        case NodeComponent(capabilities=capabilities):
            # Without a folder there is nothing that PYTHON could run.
            idle = set() if settings.python_folders else {"PYTHON"}
            changed["name"] = settings.name or str(settings.node_id)
            changed["providers"] = tuple(sorted(settings.providers))
            changed["capabilities"] = msgspec.structs.replace(
                capabilities,
                labels=tuple(sorted({*capabilities.labels})),
                runtimes=tuple(sorted({*capabilities.runtimes} - idle)),
            )
    return replace(settings, **changed)


def _url_faults(settings: ComponentSettings) -> Iterator[Fault]:
    """Where it would listen without the certificate that this takes, or at no socket at all."""
    lacking = settings.tls is None or settings.tls.server is None
    for table, part in _parts(settings):
        for field, key in _URLS[type(part)].items():
            url = getattr(part, field)
            scheme = url.partition("://")[0]
            listens = field in _SERVED[type(part)] and not key.endswith("_announced")
            if scheme == "memory":
                reason = _NO_SOCKET
            elif listens and lacking and scheme in ("https", "tls+tcp"):
                reason = (
                    f"to listen with TLS, name server_cert_path and server_key_path in {TLS_FILE} "
                    "beside this file"
                )
            else:
                continue
            yield (*table, key), f"{quoted(url)}: {reason}"
    if isinstance(settings, ControllerComponent):
        for at, (_, url) in enumerate(settings.domains):
            if url.startswith("memory://"):
                yield ("orchestrators", at, "orchestrator_url"), f"{quoted(url)}: {_NO_SOCKET}"


def _refuse(path: Path, *faults: Fault) -> NoReturn:
    read_toml_file(path, error=SettingsError).refuse(faults)


def _secured(settings: ComponentSettings, tls: ComponentTls) -> ComponentSettings:
    """With a server's certificate, everything is served with it, whatever the URLs say."""
    if isinstance(settings, BalancerComponent):
        return replace(
            settings, local=_served(settings.local, tls), portal=_served(settings.portal, tls)
        )
    found: ComponentSettings = _served(settings, tls)
    return found


def _served(part: Any, tls: ComponentTls) -> Any:
    keys = _SERVED[type(part)]
    changed: dict[str, Any] = {key: tls.served_url(getattr(part, key)) for key in keys}
    return replace(part, **changed)


def _parts(settings: ComponentSettings) -> list[tuple[TomlPath, Any]]:
    """Those that have URLs, each with its table in the file."""
    match settings:
        case ControllerComponent():
            return [((), settings)]
        case BalancerComponent():
            return [(("local",), settings.local), (("portal",), settings.portal)]
        case _:
            return [(("general",), settings)]


# Reading.


def _controller(path: Path) -> ControllerComponent:
    file = load_controller_settings(path)
    return ControllerComponent(
        url=file.controller_url,
        domain_url=file.domain_register_url or "",
        domains=tuple((each.domain_id, each.orchestrator_url) for each in file.orchestrators),
        persistence_filename=file.persistence_filename,
        metrics_url=file.edgeless_sim.metrics_url or "",
        name=file.name,
        seed=file.edgeless_sim.seed,
    )


def _node(path: Path) -> NodeComponent:
    file = load_node_settings(path)
    general, ours = file.general, file.edgeless_sim
    enabled = {
        "RUST_WASM": file.wasm_runtime.enabled,
        "PYTHON": file.python_runtime.enabled,
        "MODELLED": file.modelled_runtime.enabled,
    }
    runtimes = tuple(sorted(kind for kind, wanted in enabled.items() if wanted))
    providers = file.resources.providers(socket.gethostname())
    detected = msgspec.structs.replace(detected_capabilities(), runtimes=runtimes)
    return NodeComponent(
        node_id=general.node_id,
        agent_url=general.agent_url,
        agent_announced_url=general.agent_url_announced,
        invocation_url=general.invocation_url,
        invocation_announced_url=general.invocation_url_announced,
        orchestrator_url=file.registration_url,
        capabilities=file.user_node_capabilities.applied_to(detected),
        providers=tuple((each.provider_id, each.class_type) for each in providers),
        performance_samples=file.telemetry.performance_samples,
        refresh_interval_s=float(general.subscription_refresh_interval_sec),
        call_timeout_s=ours.call_timeout_secs,
        fuel_per_event=ours.fuel_per_event,
        python_folders=file.python_runtime.folders,
        module_cache=ours.module_cache,
        state_folder=ours.state_folder,
        files_folder=ours.files_folder,
        database_folder=ours.database_folder,
        http_ingress_url=file.resources.http_ingress_url or "",
        http_egress_allow=file.resources.http_egress_allow,
        ollama=file.resources.ollama_provider.settings(),
        serverless=file.resources.serverless(socket.gethostname()),
        metrics_url=file.metrics_url or "",
        said_level=file.telemetry.log_level,
        redis_allow=file.resources.redis_allow,
        kafka_allow=file.resources.kafka_allow,
        file_pusher_directory=file.resources.file_pusher_provider.folder,
        collector_redis_url=file.resources.metrics_collector_provider.url,
        name=file.name,
        seed=ours.seed,
    )


_READERS: Final[dict[str, Callable[[Path], ComponentSettings]]] = {
    "con": _controller,
    "orc": read_orchestrator,
    "node": _node,
    "bal": read_balancer,
}


# Writing.


def _text(settings: ComponentSettings) -> str:
    ours: dict[str, Any] = {"name": settings.name}
    if settings.metrics_url and isinstance(settings, ControllerComponent | OrchestratorComponent):
        ours["metrics_url"] = settings.metrics_url
    if settings.seed is not None:
        ours["seed"] = settings.seed
    match settings:
        case ControllerComponent():
            return _controller_text(settings, ours)
        case OrchestratorComponent():
            return orchestrator_text(settings, ours)
        case NodeComponent():
            return _node_text(settings, ours)
        case BalancerComponent():
            return balancer_text(settings, ours)


def _controller_text(settings: ControllerComponent, ours: dict[str, Any]) -> str:
    table: dict[str, Any] = {
        "controller_url": settings.url,
        "persistence_filename": settings.persistence_filename,
        "edgeless_sim": ours,
    }
    if settings.domain_url:
        table["domain_register_url"] = settings.domain_url
    if settings.domains:
        table["orchestrators"] = [
            {"domain_id": domain_id, "orchestrator_url": url} for domain_id, url in settings.domains
        ]
    return render_controller_settings(ControllerSettingsFile.model_validate(table))


def _node_text(settings: NodeComponent, ours: dict[str, Any]) -> str:
    capabilities = settings.capabilities
    declared = msgspec.structs.asdict(capabilities)
    runtimes = declared.pop("runtimes")
    ours |= {
        "state_folder": str(settings.state_folder),
        "files_folder": str(settings.files_folder),
        "database_folder": str(settings.database_folder),
        "fuel_per_event": settings.fuel_per_event,
        "call_timeout_secs": settings.call_timeout_s,
    }
    if settings.module_cache is not None:
        ours["module_cache"] = str(settings.module_cache)
    table = {
        "general": {
            "node_id": settings.node_id,
            "agent_url": settings.agent_url,
            "agent_url_announced": settings.agent_announced_url,
            "invocation_url": settings.invocation_url,
            "invocation_url_announced": settings.invocation_announced_url,
            "node_register_url": settings.orchestrator_url,
            "subscription_refresh_interval_sec": int(settings.refresh_interval_s),
            "metrics_url": settings.metrics_url,
        },
        "telemetry": {
            "performance_samples": settings.performance_samples,
            "log_level": settings.said_level,
        },
        "wasm_runtime": {"enabled": "RUST_WASM" in runtimes},
        "python_runtime": {
            # Without a folder there is nothing that it could run.
            "enabled": "PYTHON" in runtimes and bool(settings.python_folders),
            "folders": tuple(str(folder) for folder in settings.python_folders),
        },
        "modelled_runtime": {"enabled": "MODELLED" in runtimes},
        "resources": resources_table(settings),
        "user_node_capabilities": declared,
        "edgeless_sim": ours,
    }
    return render_node_settings(NodeSettingsFile.model_validate(table))
