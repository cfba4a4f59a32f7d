"""The three worlds: what a cluster stands on in each (design, decision 1).

The actors do not know which it is.
"""

from dataclasses import dataclass
from typing import BinaryIO, Final

from edgeless_sim.cluster.capture import Capture
from edgeless_sim.cluster.hosts import ComponentHost
from edgeless_sim.cluster.local_host import LocalHost
from edgeless_sim.cluster.local_surroundings import MakeContext
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
from edgeless_sim.resources.simulated.backends import Backends

__all__ = ["Foundation", "lay_foundation"]

_DICE: Final = "network"


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
    backends: Backends | None = None
    """What resources meet in simulation."""


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
        processes = False
        virtual_loop()
    clock = LoopClock.running()
    entropy = Entropy(seed)
    journal = (MergedJournal if processes else Journal)(
        clock.scheduler, sink=journal_sink, enabled=journal_enabled
    )

    def make_context(name: str) -> ActorContext:
        return ActorContext(name, clock, clock.scheduler, entropy, journal, supervisor.spawn)

    if world == SIM:
        return _simulated(topology, clock, entropy, journal, make_context, capture)
    # Sockets are loaded where there are any.
    from edgeless_sim.cluster.wire_network import WireNetwork

    dice = entropy.stream(_DICE)
    wires = WireNetwork(
        world, clock, supervisor.spawn, journal, dice, topology.links, in_path=in_path
    )
    ports, folder = (None, None) if site is None else (site.ports, site.folder)
    wires.assign(locations_of(topology), ports)
    if capture is not None:
        wires.recorder = capture.begin(world, clock, wires.location)
    if isinstance(journal, MergedJournal):
        from edgeless_sim.cluster.process_host import ProcessHost

        host: ComponentHost = ProcessHost(
            topology, wires, journal, clock, supervisor.spawn, seed, capture, folder
        )
    else:
        host = LocalHost(topology, wires, make_context, backends=None, folder=folder)
    settling = RealSettling(clock, current_scheduler(), journal, host.caught_up)
    return Foundation(world, clock, entropy, journal, wires, host, settling)


def _simulated(
    topology: Topology,
    clock: LoopClock,
    entropy: Entropy,
    journal: Journal,
    make_context: MakeContext,
    capture: Capture | None,
) -> Foundation:
    network = NetworkHandle(clock.scheduler, journal, entropy.stream(_DICE), topology.links)
    if capture is not None:
        network.recorder = capture.begin(SIM, clock, network.location)
    backends = Backends(clock.scheduler)
    host = LocalHost(topology, network, make_context, backends=backends)
    return Foundation(SIM, clock, entropy, journal, network, host, VirtualSettling(), backends)
