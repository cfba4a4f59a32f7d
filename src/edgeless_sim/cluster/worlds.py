"""The three worlds: what a cluster stands on in each (design, decision 1).

The actors do not know which it is.
"""

from dataclasses import dataclass
from typing import BinaryIO

from edgeless_sim.cluster.capture import Capture
from edgeless_sim.cluster.hosts import ComponentHost
from edgeless_sim.cluster.local_host import LocalHost
from edgeless_sim.cluster.network import NetworkHandle
from edgeless_sim.cluster.network_base import Network
from edgeless_sim.cluster.settling import RealSettling, Settling, VirtualSettling, virtual_loop
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
    if world == SIM:
        simulated = NetworkHandle(clock.scheduler, journal, dice, topology.links)
        if capture is not None:
            simulated.recorder = capture.begin(world, clock, simulated.location)
        backends = Backends(clock.scheduler)
        host: ComponentHost = LocalHost(topology, simulated, make_context, backends=backends)
        settled = VirtualSettling()
        return Foundation(world, clock, entropy, journal, simulated, host, settled, backends)
    # Sockets are loaded where there are any.
    from edgeless_sim.cluster.wire_network import WireNetwork

    wires = WireNetwork(
        world, clock, supervisor.spawn, journal, dice, topology.links, in_path=in_path
    )
    wires.assign(locations_of(topology))
    if capture is not None:
        wires.recorder = capture.begin(world, clock, wires.location)
    if isinstance(journal, MergedJournal):
        from edgeless_sim.cluster.process_host import ProcessHost

        host = ProcessHost(topology, wires, journal, clock, supervisor.spawn, seed, capture)
    else:
        host = LocalHost(topology, wires, make_context, backends=None)
    settling = RealSettling(clock, current_scheduler(), journal, host.caught_up)
    return Foundation(world, clock, entropy, journal, wires, host, settling)
