"""What one ε-ORC is told at its start. Not here: the file that says so."""

from typing import Final

import msgspec

from edgeless_sim.api.clients import RPC_TIMEOUT_S
from edgeless_sim.model.compat import Profile
from edgeless_sim.model.ids import DomainId

__all__ = ["DatasetSettings", "OrchestratorSettings", "RedisMirrorSettings"]

_INTERVAL_S: Final = 2.0


class RedisMirrorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The Redis that an ε-ORC mirrors its domain to."""

    url: str
    """May have a password: never shown, see `shown_url`."""
    gc_period_s: float = 0.0
    """How long health and measurements are kept there; 0 = for ever."""
    flush: bool = False
    """Empty its database at start, as EDGELESS does; else only the mirror's own keys go."""

    @property
    def shown_url(self) -> str:
        """`url` without user and password."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


class DatasetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The CSV files of an ε-ORC (spec 7.3)."""

    path: str
    """What the names of the files begin with; to be in a folder, it ends with a slash."""
    append: bool = True
    """Go on with files that are there; else they begin anew."""
    header: str = ""
    """What the header of each file begins with: names of columns, with commas between them."""
    fields: str = ""
    """What each row begins with: the values of these columns."""


class OrchestratorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one ε-ORC. Times are in seconds."""

    domain_id: DomainId
    url: str
    """Where this ε-ORC listens, as the ε-CON is told."""
    node_url: str = ""
    """Where nodes register; empty = at `url`."""
    domain_register_url: str = ""
    """Where the ε-CON takes registrations; empty = this ε-ORC waits until it is asked."""
    strategy: str = "Random"
    keep_alive_s: float = 2.0
    """0 = nodes are believed as long as they announce."""
    subscription_interval_s: float = 0.0
    """How often it tells the ε-CON that it is there; 0 = as often as its nodes keep alive."""
    rpc_timeout_s: float = RPC_TIMEOUT_S
    gc_period_s: float = 0.0
    """How long its mirror keeps health and measurements; 0 = EDGELESS's default."""
    profile: Profile = Profile.STRICT

    @property
    def announcement_interval_s(self) -> float:
        """How often the ε-CON hears of the domain."""
        return self.subscription_interval_s or self.keep_alive_s or _INTERVAL_S
