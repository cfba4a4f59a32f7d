"""``controller.toml`` as a value (spec 8.0, 8.1). Not here: reading and writing it (`file`)."""

from typing import Annotated, Final

from edgeless_sim.cluster.settings.urls import BoundUrl, OptionalBoundUrl, Url
from edgeless_sim.cluster.settings.values import ControlEdgelessSimTable, Text
from edgeless_sim.model.toml_table import Few, Name, Table

__all__ = ["PERSISTENCE_FILENAME", "ControllerSettingsFile", "StaticOrchestrator"]

PERSISTENCE_FILENAME: Final = "controller.save"


class StaticOrchestrator(Table):
    """An entry of ``orchestrators``: an ε-ORC that the ε-CON asks for its domain by itself."""

    domain_id: Name
    """The name of the domain."""
    orchestrator_url: Url
    """Where its ε-ORC listens."""


class ControllerSettingsFile(Table):
    """The settings of an ε-CON."""

    controller_url: BoundUrl
    """Where clients start workflows."""
    domain_register_url: OptionalBoundUrl = None
    """Where ε-ORCs register their domains; absent or empty = at *controller_url*."""
    persistence_filename: Text = PERSISTENCE_FILENAME
    """Where active workflows are stored; "" = nowhere."""
    orchestrators: Annotated[tuple[StaticOrchestrator, ...], Few] = ()
    """The domains that do not register themselves."""
    edgeless_sim: ControlEdgelessSimTable = ControlEdgelessSimTable()

    @property
    def name(self) -> str:
        """What people and the journal call the ε-CON."""
        return self.edgeless_sim.name or "con"

    @property
    def registration_url(self) -> str:
        """Where ε-ORCs register."""
        return self.domain_register_url or self.controller_url
