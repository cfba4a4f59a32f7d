"""The client of http-ingresses for the world that a cluster lives in."""

from collections.abc import Iterable

from edgeless_sim.cluster.cluster import Cluster
from edgeless_sim.kernel.actor import Spawn
from edgeless_sim.scenario.door_client import DoorClient
from edgeless_sim.scenario.observer import Observer
from edgeless_sim.scenario.web_client import WebClient

__all__ = ["web_client"]


def web_client(
    cluster: Cluster, observer: Observer, components: Iterable[str], spawn: Spawn
) -> WebClient:
    """The client for the world of *cluster*; *components* are the names of ingresses.

    *spawn* begins a task that ends before the client does.
    """
    if cluster.backends is not None:
        return DoorClient(cluster.backends)
    # aiohttp is loaded where there are sockets.
    from edgeless_sim.scenario.socket_client import SocketClient

    def candidates() -> list[str]:
        cluster.journal.flush()
        hosting = {observer.component(*each.split("/", 1)).node for each in components}
        urls = {name: node.http_ingress_url for name, node in cluster.nodes.items()}
        listening = [name for name, url in urls.items() if url]
        return [urls[name] for name in sorted(listening, key=lambda name: name not in hosting)]

    return SocketClient(lambda name: cluster.node(name).http_ingress_url, candidates, spawn)
