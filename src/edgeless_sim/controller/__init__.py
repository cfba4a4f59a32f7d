"""The ε-CON: accepts workflows, gives each an orchestration domain, and keeps it that way."""

from edgeless_sim.controller.controller import Controller, ControllerSettings

__all__ = ["Controller", "ControllerSettings"]
