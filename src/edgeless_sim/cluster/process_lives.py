"""The lives of a component in processes of its own; see `process_host`."""

from collections.abc import Sequence
from typing import Protocol

from edgeless_sim.cluster.component_settings import ComponentSettings
from edgeless_sim.cluster.supervision import ComponentProcess
from edgeless_sim.errors import RejectedError
from edgeless_sim.kernel.journal import Journal

__all__ = ["Launcher", "Lives"]


class Launcher(Protocol):
    """What begins lives."""

    @property
    def journal(self) -> Journal:
        """Where it is written down what is done to components."""
        ...

    async def launch(
        self, location: str, settings: ComponentSettings, speaking: Sequence[str] = ()
    ) -> ComponentProcess:
        """See `ProcessHost.launch`."""
        ...


class Lives:
    """The lives of one component: at most one process at a time."""

    def __init__(
        self, names: Sequence[str], location: str, host: Launcher, speaking: Sequence[str] = ()
    ) -> None:
        """*names* are what the journal calls it; *speaking*: see `ProcessHost.launch`."""
        self.names = names
        self._speaking = speaking
        self.location = location
        self._host = host
        self.present: ComponentProcess | None = None

    @property
    def alive(self) -> bool:
        """Whether a process is there and was not told to end."""
        return self.present is not None and self.present.alive

    async def begin(self, settings: ComponentSettings) -> None:
        """Start a process."""
        assert self.present is None, "started twice"
        self.present = await self._host.launch(self.location, settings, self._speaking)

    async def crash(self) -> None:
        """Kill it; raise `RejectedError` if there is none."""
        process = self._leaving()
        self._note("crash")
        process.kill()
        await process.ended()

    async def stop(self) -> None:
        """Ask it to stop and wait for its end; raise `RejectedError` if there is none."""
        process = self._leaving()
        self._note("stop")
        process.terminate()
        await process.ended()

    async def restart(self, settings: ComponentSettings) -> None:
        """Begin another life; raise `RejectedError` if there is one."""
        if self.alive:
            raise RejectedError("the component is up", self.names[0])
        self.present = None
        self._note("restart")
        await self.begin(settings)

    def _leaving(self) -> ComponentProcess:
        process, self.present = self.present, None
        if process is None or not process.alive:
            raise RejectedError("the component is down", self.names[0])
        return process

    def _note(self, what: str) -> None:
        for name in self.names:
            self._host.journal.record("fault", what, name)
