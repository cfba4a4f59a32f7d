"""The ε-BAL: joins two domains by being a node in both (spec 6.13).

Here is what its two nodes share. That it is two nodes is the business of `cluster`.
"""

from edgeless_sim.balancer.exchange import Exchange
from edgeless_sim.balancer.provider import PortalProvider

__all__ = ["Exchange", "PortalProvider"]
