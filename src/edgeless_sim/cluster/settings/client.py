"""``cli.toml`` as a value (spec 8.4). Not here: reading and writing it (`file`)."""

from edgeless_sim.cluster.settings.urls import Url
from edgeless_sim.cluster.settings.values import Text
from edgeless_sim.model.toml_table import Table

__all__ = ["CliSettingsFile", "FunctionRepository"]


class FunctionRepository(Table):
    """``[function_repository]``: not available, all is empty."""

    url: Text = ""
    api_key: Text = ""
    basic_auth_user: Text = ""
    basic_auth_pass: Text = ""


class CliSettingsFile(Table):
    """The settings of a client."""

    controller_url: Url
    """The ε-CON."""
    function_repository: FunctionRepository = FunctionRepository()
