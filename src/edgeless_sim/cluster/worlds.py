"""The three worlds: what a cluster stands on in each (design, decision 1).

The actors do not know which it is.
"""

from dataclasses import dataclass
from typing import BinaryIO

from edgeless_sim.cluster.capture import Capture, Recorder
from edgeless_sim.cluster.hosts import ComponentHost
from edgeless_sim.cluster.local_host import LocalHost
from edgeless_sim.cluster.network import NetworkHandle
from edgeless_sim.cluster.network_base import Network
from edgeless_sim.cluster.settling import RealSettling, Settling, VirtualSettling, virtual_loop
from edgeless_sim.cluster.site import Site
from edgeless_sim.cluster.topology import Topology
from edgeless_sim.cluster.ways import locations_of
from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.clock import LoopClock
from edgeless_sim.kernel.context import ActorContext
from edgeless_sim.kernel.entropy import Entropy
from edgeless_sim.kernel.journal import Journal
from edgeless_sim.kernel.loop import current_scheduler
from edgeless_sim.kernel.merge import MergedJournal
from edgeless_sim.kernel.supervisor import Supervisor
from edgeless_sim.model.worlds import SIM, WORLDS

__all__ = ["Foundation", "lay_foundation"]


@dataclass(frozen=True, slots=True)
class Foundation:
    """What a cluster stands on."""

    world: str
    clock: LoopClock
    entropy: Entropy
    journal: Journal
    network: Network
    host: ComponentHost
    settling: Settling


def lay_foundation(
    topology: Topology,
    supervisor: Supervisor,
    *,
    world: str,
    seed: int,
    journal_sink: BinaryIO | None,
    journal_enabled: bool,
    processes: bool,
    in_path: bool,
    capture: Capture | None = None,
    site: Site | None = None,
) -> Foundation:
    """What *world* gives to a cluster; see `edgeless_sim.cluster.cluster.open_topology`."""
    if world not in WORLDS:
        raise SettingsError(f"there is no world {world!r}; there are: {', '.join(WORLDS)}")
    if world == SIM:
        virtual_loop()
    clock = LoopClock.running()
    entropy = Entropy(seed)
    kind = MergedJournal if processes and world != SIM else Journal
    journal = kind(clock.scheduler, sink=journal_sink, enabled=journal_enabled)

    def make_context(name: str) -> ActorContext:
        return ActorContext(name, clock, clock.scheduler, entropy, journal, supervisor.spawn)

    dice = entropy.stream("network")
    network: Network
    host: ComponentHost
    if world == SIM:
        network = NetworkHandle(clock.scheduler, journal, dice, topology.links)
        network.recorder = _recorder(capture, world, clock, network)
        host = LocalHost(topology, network, make_context, real_time=False)
        return Foundation(world, clock, entropy, journal, network, host, VirtualSettling())
    # Sockets are loaded where there are any.
    from edgeless_sim.cluster.wire_network import WireNetwork

    network = wires = WireNetwork(
        world, clock, supervisor.spawn, journal, dice, topology.links, in_path=in_path
    )
    wires.assign(locations_of(topology), None if site is None else site.ports)
    folder = None if site is None else site.folder
    network.recorder = _recorder(capture, world, clock, network)
    if isinstance(journal, MergedJournal):
        from edgeless_sim.cluster.process_host import ProcessHost

        host = ProcessHost(topology, wires, journal, clock, supervisor.spawn, seed, capture, folder)
    else:
        host = LocalHost(topology, network, make_context, real_time=True, folder=folder)
    settling = RealSettling(clock, current_scheduler(), journal, host.caught_up)
    return Foundation(world, clock, entropy, journal, network, host, settling)


def _recorder(
    capture: Capture | None, world: str, clock: LoopClock, network: Network
) -> Recorder | None:
    return None if capture is None else capture.begin(world, clock, network.location)
