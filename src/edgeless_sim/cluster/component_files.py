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

from edgeless_sim.cluster.component_settings import (
    ComponentSettings,
    ControllerComponent,
    NodeComponent,
    OrchestratorComponent,
)
from edgeless_sim.cluster.resources_file import resources_table
from edgeless_sim.cluster.settings import (
    ComponentTls,
    ControllerSettingsFile,
    NodeSettingsFile,
    OrchestratorSettingsFile,
    load_controller_settings,
    load_node_settings,
    load_orchestrator_settings,
    load_tls,
    render_controller_settings,
    render_node_settings,
    render_orchestrator_settings,
)
from edgeless_sim.cluster.settings.tls import TLS_FILE
from edgeless_sim.cluster.settings.unavailable import Fault
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.json_text import path_text
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.toml_document import read_toml_file
from edgeless_sim.node.capabilities import detected_capabilities

__all__ = ["FILES", "KINDS", "load_component", "write_component"]

KINDS: Final[dict[type, str]] = {
    ControllerComponent: "con",
    OrchestratorComponent: "orc",
    NodeComponent: "node",
}
#: The guide's names of files, by kind.
FILES: Final = {"con": "controller.toml", "orc": "orchestrator.toml", "node": "node.toml"}
#: Of a node, and of the collector's beside an ε-ORC.
_AGENT_URLS: Final = {
    "agent_url": "agent_url",
    "agent_announced_url": "agent_url_announced",
    "invocation_url": "invocation_url",
    "invocation_announced_url": "invocation_url_announced",
}
#: The keys of the URLs that a component is told; nodes may write node_register_url.
_URLS: Final[dict[type, dict[str, str]]] = {
    ControllerComponent: {"url": "controller_url", "domain_url": "domain_register_url"},
    OrchestratorComponent: {
        "url": "orchestrator_url",
        "announced_url": "orchestrator_url_announced",
        "node_url": "node_register_url",
        "domain_register_url": "domain_register_url",
        **_AGENT_URLS,
    },
    NodeComponent: {**_AGENT_URLS, "orchestrator_url": "orchestrator_url"},
}
_SERVED: Final[dict[type, tuple[str, ...]]] = {
    ControllerComponent: ("url", "domain_url"),
    OrchestratorComponent: ("url", "announced_url", "node_url", *_AGENT_URLS),
    NodeComponent: tuple(_AGENT_URLS),
}
_NO_SOCKET: Final = "memory:// is for simulations; write tcp, tls+tcp, http or https"


def load_component(kind: str, path: Path) -> ComponentSettings:
    """What the file at *path* tells a component of *kind*: ``con``, ``orc`` or ``node``.

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
    table = () if isinstance(settings, ControllerComponent) else ("general",)
    for field, key in _URLS[type(settings)].items():
        url = getattr(settings, field)
        scheme = url.partition("://")[0]
        listens = field in _SERVED[type(settings)] and not key.endswith("_announced")
        lacking = settings.tls is None or settings.tls.server is None
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
    keys = _SERVED[type(settings)]
    changed: dict[str, Any] = {key: tls.served_url(getattr(settings, key)) for key in keys}
    return replace(settings, **changed)


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


def _orchestrator(path: Path) -> OrchestratorComponent:
    file = load_orchestrator_settings(path)
    general, ours = file.general, file.edgeless_sim
    keep_alive_s = ours.keep_alive_secs or float(file.baseline.keep_alive_interval_secs)
    told = "subscription_refresh_interval_sec" in general.model_fields_set
    return OrchestratorComponent(
        domain_id=general.domain_id,
        url=general.orchestrator_url,
        announced_url=general.orchestrator_url_announced,
        node_url=general.node_register_url or "",
        domain_register_url=general.domain_register_url or "",
        strategy=file.baseline.orchestration_strategy,
        keep_alive_s=keep_alive_s,
        subscription_interval_s=float(general.subscription_refresh_interval_sec) if told else 0.0,
        metrics_url=ours.metrics_url or "",
        name=file.name,
        seed=ours.seed,
        **_collector(file),
    )


def _collector(file: OrchestratorSettingsFile) -> dict[str, Any]:
    """What is opened only with a collector."""
    if file.collector.collector_type == "None":
        return {}
    urls = {field: getattr(file.general, key) or "" for field, key in _AGENT_URLS.items()}
    return urls | {"collector_redis_url": file.collector.redis_url}


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
    "orc": _orchestrator,
    "node": _node,
}


# Writing.


def _text(settings: ComponentSettings) -> str:
    ours: dict[str, Any] = {"name": settings.name}
    if settings.metrics_url and not isinstance(settings, NodeComponent):
        ours["metrics_url"] = settings.metrics_url
    if settings.seed is not None:
        ours["seed"] = settings.seed
    match settings:
        case ControllerComponent():
            return _controller_text(settings, ours)
        case OrchestratorComponent():
            return _orchestrator_text(settings, ours)
        case NodeComponent():
            return _node_text(settings, ours)


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


def _orchestrator_text(settings: OrchestratorComponent, ours: dict[str, Any]) -> str:
    general: dict[str, Any] = {
        "domain_id": settings.domain_id,
        "orchestrator_url": settings.url,
        "orchestrator_url_announced": settings.announced_url,
        "node_register_url": settings.node_url,
        "domain_register_url": settings.domain_register_url,
    }
    if settings.subscription_interval_s:
        general["subscription_refresh_interval_sec"] = int(settings.subscription_interval_s)
    table = {
        "general": general,
        "baseline": {"orchestration_strategy": settings.strategy},
        "edgeless_sim": {**ours, "keep_alive_secs": settings.keep_alive_s},
    }
    if settings.collector_redis_url:
        general |= {key: getattr(settings, field) for field, key in _AGENT_URLS.items()}
        table["collector"] = {
            "collector_type": "Redis",
            "redis_url": settings.collector_redis_url,
        }
    return render_orchestrator_settings(OrchestratorSettingsFile.model_validate(table))


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
