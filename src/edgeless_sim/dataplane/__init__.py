"""Events between instances: handles, links, open calls. Nothing here knows what a function is."""

from edgeless_sim.dataplane.handle import DataplaneHandle
from edgeless_sim.dataplane.links import Inbox
from edgeless_sim.dataplane.plane import Dataplane

__all__ = ["Dataplane", "DataplaneHandle", "Inbox"]
