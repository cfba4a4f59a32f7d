"""Looks at domains from outside, over the wire: asks their ε-ORCs for what they show.

Not here: the same from a Redis (`orchestrator.redis_mirror`).
"""

from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Protocol

from edgeless_sim.api.clients import DomainMirrorClient
from edgeless_sim.api.messages import MirrorPart, MirrorQuery
from edgeless_sim.cluster.deployment_client import open_connection
from edgeless_sim.cluster.settings.tls import ComponentTls
from edgeless_sim.errors import RejectedError, UnreachableError
from edgeless_sim.model.ids import DomainId, InstanceId
from edgeless_sim.model.intent import Intent
from edgeless_sim.model.mirror import DomainMirror, Point, Series

__all__ = ["PAGES_MAX", "MirrorReader", "WireMirrorReader", "merged_mirrors", "open_wire_mirror"]

#: Pages of one part of a mirror.
PAGES_MAX: Final = 10_000
_TIMEOUT_S: Final = 5.0
#: How each wire says that nobody serves a method.
_UNKNOWN: Final = "unimplemented"


class MirrorReader(Protocol):
    """Where a domain can be looked at, and be given intents."""

    async def mirror(
        self, *, since_s: float = 0.0, parts: Sequence[MirrorPart] = tuple(MirrorPart)
    ) -> DomainMirror:
        """The *parts* of the domain as it is now; the others are empty.

        No health and no measurements from before *since_s* (seconds since 1970). Raises
        `UnreachableError` or `RejectedError`.
        """
        ...

    async def submit(self, intent: Intent) -> None:
        """Leave *intent*; raises as `mirror`."""
        ...


class WireMirrorReader:
    """A `MirrorReader` of an ε-ORC; *place* is how it is called in messages."""

    def __init__(self, client: DomainMirrorClient, place: str) -> None:
        self._client = client
        self._place = place

    async def mirror(
        self, *, since_s: float = 0.0, parts: Sequence[MirrorPart] = tuple(MirrorPart)
    ) -> DomainMirror:
        """See `MirrorReader.mirror`; page by page, so not of one moment."""
        pages: list[DomainMirror] = []
        for part in parts:
            after = ""
            for _ in range(PAGES_MAX):
                with self._told():
                    page = await self._client.mirror(MirrorQuery(part, after, since_s))
                pages.append(page.mirror)
                if not page.next:
                    break
                if page.next == after:
                    detail = f"it repeats a page of its {part}"
                    raise RejectedError(f"the ε-ORC at {self._place} shows no end", detail)
                after = page.next
            else:
                detail = f"more than {PAGES_MAX} pages of its {part}"
                raise RejectedError(f"the ε-ORC at {self._place} shows no end", detail)
        return merged_mirrors(pages)

    async def submit(self, intent: Intent) -> None:
        """See `MirrorReader.submit`."""
        with self._told():
            await self._client.submit(intent)

    @contextmanager
    def _told(self) -> Generator[None]:
        """Say who does not answer, or does not know the question."""
        try:
            yield
        except UnreachableError as error:
            raise UnreachableError(f"no ε-ORC answers at {self._place}: {error}") from None
        except RejectedError as error:
            if _UNKNOWN not in (error.detail or "").lower():
                raise
            raise RejectedError(
                f"{self._place} shows no domain",
                "it is no ε-ORC of ours; EDGELESS's own are looked at through their Redis",
            ) from None


@asynccontextmanager
async def open_wire_mirror(
    url: str, *, tls: ComponentTls | None = None, timeout_s: float = _TIMEOUT_S
) -> AsyncGenerator[WireMirrorReader]:
    """The mirror of the ε-ORC at *url*, which is looked for at the first request.

    Needs a loop in real time. *timeout_s* is for each request. Raises `SettingsError` for a text
    that is no URL.
    """
    async with open_connection(url, tls=tls) as (connection, wire):
        yield WireMirrorReader(DomainMirrorClient(connection, wire, timeout_s=timeout_s), url)


def merged_mirrors(mirrors: Iterable[DomainMirror]) -> DomainMirror:
    """*mirrors* as one: pages of a domain, or domains, whose names are joined by commas.

    Of what occurs twice, the last one counts; points of one series come one after the other.
    """
    names: dict[DomainId, None] = {}
    nodes, components, updates = {}, {}, {}
    points: dict[tuple[InstanceId, str], list[Point]] = {}
    for mirror in mirrors:
        names[mirror.domain_id] = None
        nodes.update({node.node_id: node for node in mirror.nodes})
        components.update({each.logical_id: each for each in mirror.components})
        updates.update(mirror.last_updates)
        for series in mirror.series:
            points.setdefault((series.instance, series.name), []).extend(series.points)
    return DomainMirror(
        DomainId(",".join(name for name in names if name)),
        tuple(nodes[node_id] for node_id in sorted(nodes)),
        tuple(components[logical_id] for logical_id in sorted(components)),
        tuple(
            Series(instance, name, tuple(points[instance, name]))
            for instance, name in sorted(points)
        ),
        updates,
    )
