"""``[resources]`` of ``node.toml``: which providers a node offers (spec 6.0).

A provider is offered when its key names it. Not here: which classes can be made (`unavailable`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from pydantic import Field

from edgeless_sim.cluster.settings.urls import PORT_MAX, OptionalHttpUrl
from edgeless_sim.cluster.settings.values import OptionalName, Text
from edgeless_sim.model.toml_places import TomlPath
from edgeless_sim.model.toml_table import Few, Table, Texts
from edgeless_sim.resources.base import KAFKA_ALLOW, REDIS_ALLOW, OllamaSettings, ServerlessSettings

__all__ = [
    "FilePusherTable",
    "MetricsCollectorTable",
    "NamedProvider",
    "OllamaTable",
    "ResourcesTable",
    "ServerlessTable",
]

_MESSAGES_MAX: Final = 1_000_000
_VERSION: Final = "1.0"


class NamedProvider(NamedTuple):
    """A provider that a node is to offer."""

    class_type: str
    provider_id: str
    #: The key that names it, within ``[resources]``.
    path: TomlPath


class FilePusherTable(Table):
    """``[resources.file_pusher_provider]``."""

    directory: Text = ""
    provider: OptionalName = ""

    @property
    def folder(self) -> Path | None:
        """The directory, if there is a provider that has a use for it."""
        return Path(self.directory) if self.provider and self.directory else None


class MetricsCollectorTable(Table):
    """``[resources.metrics_collector_provider]``: ours; EDGELESS has it beside the ε-ORC only."""

    redis_url: Text = Field(default="", repr=False)
    provider: OptionalName = ""

    @property
    def url(self) -> str:
        """The Redis, if there is a provider that has a use for it; else empty."""
        return self.redis_url if self.provider else ""


class OllamaTable(Table):
    """``[resources.ollama_provider]``."""

    host: Text = "localhost"
    port: Annotated[int, Field(ge=1, le=PORT_MAX)] = 11_434
    messages_number_limit: Annotated[int, Field(ge=0, le=_MESSAGES_MAX)] = 30
    provider: OptionalName = ""

    def settings(self) -> OllamaSettings:
        """The same for the node's provider."""
        return OllamaSettings(self.host, self.port, self.messages_number_limit)


class ServerlessTable(Table):
    """An entry of ``[[resources.serverless_provider]]``."""

    class_type: Text = ""
    version: Text = ""
    function_url: Text = ""
    provider: OptionalName = ""


class ResourcesTable(Table):
    """``[resources]``: the providers of a node; an empty name is none."""

    prepend_hostname: bool = False
    """Whether provider ids become ``HOST-NAME``."""
    http_ingress_url: OptionalHttpUrl = None
    """Where http-ingress takes requests."""
    http_ingress_provider: OptionalName = ""
    http_egress_provider: OptionalName = ""
    http_egress_allow: Texts = ()
    """Ours: private addresses that http-egress and http-poster may send to."""
    redis_allow: Texts = REDIS_ALLOW
    """Ours: private addresses that redis may connect to."""
    kafka_allow: Texts = KAFKA_ALLOW
    """Ours: private addresses that kafka-egress may connect to."""
    http_poster_provider: OptionalName = ""
    file_log_provider: OptionalName = ""
    file_pusher_provider: FilePusherTable = FilePusherTable()
    redis_provider: OptionalName = ""
    dda_provider: OptionalName = ""
    ollama_provider: OllamaTable = OllamaTable()
    serverless_provider: Annotated[tuple[ServerlessTable, ...], Few] = ()
    kafka_egress_provider: OptionalName = ""
    sqlx_provider: OptionalName = ""
    metrics_collector_provider: MetricsCollectorTable = MetricsCollectorTable()

    def providers(self, hostname: str = "") -> tuple[NamedProvider, ...]:
        """What the node offers, in the order of EDGELESS's classes (spec 6.0).

        *hostname* is put before each name if `prepend_hostname` says so.
        """
        prefix = self._prefix(hostname)
        return tuple(
            NamedProvider(class_type, prefix + provider_id, path)
            for class_type, provider_id, path in self._named()
            if provider_id
        )

    def serverless(self, hostname: str = "") -> tuple[ServerlessSettings, ...]:
        """What providers of the class ``serverless`` stand for; *hostname* as in `providers`."""
        prefix = self._prefix(hostname)
        return tuple(
            ServerlessSettings(
                provider_id=prefix + each.provider,
                class_type=each.class_type,
                function_url=each.function_url,
                version=each.version or _VERSION,
            )
            for each in self.serverless_provider
            if each.provider
        )

    def _prefix(self, hostname: str) -> str:
        return f"{hostname}-" if self.prepend_hostname and hostname else ""

    def _named(self) -> Iterator[NamedProvider]:
        for class_type, key in (
            ("http-ingress", "http_ingress_provider"),
            ("http-egress", "http_egress_provider"),
            ("http-poster", "http_poster_provider"),
            ("file-log", "file_log_provider"),
            ("redis", "redis_provider"),
            ("dda", "dda_provider"),
            ("kafka-egress", "kafka_egress_provider"),
            ("sqlx", "sqlx_provider"),
        ):
            yield NamedProvider(class_type, getattr(self, key), (key,))
        pusher, ollama = self.file_pusher_provider, self.ollama_provider
        yield NamedProvider("file-pusher", pusher.provider, ("file_pusher_provider", "provider"))
        yield NamedProvider("ollama", ollama.provider, ("ollama_provider", "provider"))
        collector = self.metrics_collector_provider
        path = ("metrics_collector_provider", "provider")
        yield NamedProvider("metrics-collector", collector.provider, path)
        for place, each in enumerate(self.serverless_provider):
            # Its class has a name of the user's; what makes it is this one.
            yield NamedProvider(
                "serverless", each.provider, ("serverless_provider", place, "provider")
            )
