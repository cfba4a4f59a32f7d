"""``balancer.toml`` as a value (spec 8.5). Not here: reading and writing it (`file`)."""

from typing import Annotated

from pydantic import Field

from edgeless_sim.cluster.settings.node import CALL_TIMEOUT_S_MAX, NodeGeneral, TelemetryTable
from edgeless_sim.cluster.settings.values import ComponentName, EdgelessSimTable, Text
from edgeless_sim.dataplane.correlation import CALL_TIMEOUT_S
from edgeless_sim.model.toml_table import Name, Table

__all__ = ["BalancerEdgelessSimTable", "BalancerGeneral", "BalancerSettingsFile"]


class BalancerGeneral(Table):
    """``[general]``: what is joined to the portal domain."""

    domain: Name
    """The name of the local domain."""


class BalancerEdgelessSimTable(EdgelessSimTable):
    """``[edgeless_sim]`` of a balancer."""

    portal_domain: Name | None = None
    """The name of the portal domain; needed where a domain has balancers to several."""
    local_name: ComponentName | None = None
    """What people and the journal call its node in the local domain."""
    portal_name: ComponentName | None = None
    """The same in the portal domain."""
    call_timeout_secs: Annotated[float, Field(gt=0, le=CALL_TIMEOUT_S_MAX)] = CALL_TIMEOUT_S
    """How long an event waits, and a call for its answer, in s."""


class BalancerSettingsFile(Table):
    """The settings of a balancer. Its tables are checked in `checks`: a file of EDGELESS's first
    generation has none."""

    general: BalancerGeneral | None = None
    local: NodeGeneral | None = None
    """What it is in the local domain: the keys are those of a node."""
    portal: NodeGeneral | None = None
    """What it is in the portal domain."""
    telemetry: TelemetryTable = TelemetryTable()
    edgeless_sim: BalancerEdgelessSimTable = BalancerEdgelessSimTable()
    balancer_id: Text = ""
    """Of EDGELESS's first generation, whose balancer does nothing: not available."""
    invocation_url: Text = ""
    """As *balancer_id*."""

    @property
    def domain(self) -> str:
        """The name of the local domain."""
        assert self.general is not None, "checked when the file was read"
        return self.general.domain

    @property
    def sides(self) -> tuple[NodeGeneral, NodeGeneral]:
        """What it is in the local and in the portal domain."""
        assert self.local is not None, "checked when the file was read"
        assert self.portal is not None, "checked when the file was read"
        return self.local, self.portal

    @property
    def name(self) -> str:
        """What people and the journal call the balancer."""
        return self.edgeless_sim.name or f"bal/{self.domain}"
