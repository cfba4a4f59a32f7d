"""A file-pusher in virtual time, and the files that it is given."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from edgeless_sim.kernel import LoopClock, current_scheduler, run
from edgeless_sim.model.event import (
    METADATA_ROOT,
    CallReturn,
    Event,
    EventType,
    PatchRequest,
    Target,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import ResourceHost, ResourceSettings
from edgeless_sim.resources.file_pusher import FilePusherProvider
from edgeless_sim.resources.files import VirtualFiles

FUNCTION: Final = InstanceId(NodeId(UUID(int=3)), FunctionId(UUID(int=4)))


class Bench:
    """A provider in virtual time, and what its instances cast: (milliseconds, payload)."""

    def __init__(self, folder: Path | None) -> None:
        self.clock = LoopClock.running()
        self.warnings: list[str] = []
        self.cast_by: dict[int, list[tuple[int, str]]] = {}
        settings = ResourceSettings(file_pusher_directory=folder)
        self.provider = FilePusherProvider(
            "file-pusher-1",
            ResourceHost(
                "edge/0",
                self.clock,
                current_scheduler(),
                VirtualFiles(),
                warn=lambda pid, message: self.warnings.append(message),
                settings=settings,
            ),
        )

    def pid(self, number: int) -> InstanceId:
        return InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=number)))

    def answers(self, kind: EventType) -> list[CallReturn]:
        """What an event to instance 1 is answered at once."""
        answers: list[CallReturn] = []
        event = Event(kind, self.pid(1).key, FUNCTION.key, 0, "x", 0, METADATA_ROOT, 1)
        self.provider.handle(event, answers.append)
        return answers

    async def start(self, number: int = 1, **configuration: str) -> None:
        named = {key.replace("_", "-"): value for key, value in configuration.items()}
        specification = ResourceInstanceSpecification(
            "file-pusher", named, WorkflowId(UUID(int=9)), output_mapping=None
        )
        await self.provider.start(self.pid(number), specification, Sink(self, number))

    async def patch(self, number: int = 1, channel: str = "out") -> None:
        mapping = {channel: Target(FUNCTION, "memory://x")} if channel else {}
        await self.provider.patch(PatchRequest(self.pid(number), mapping, 1))

    async def begin(self, number: int = 1, **configuration: str) -> None:
        await self.start(number, **configuration)
        await self.patch(number)

    async def after(self, milliseconds: int) -> list[tuple[int, str]]:
        """What instance 1 has cast when this time has passed."""
        await self.clock.sleep(milliseconds / 1000)
        return self.cast_by.get(1, [])

    async def payloads(self, count: int) -> list[str]:
        """The first *count* casts of instance 1, one per second; there must be no more."""
        found = await self.after(1000 * count - 500)
        return [payload for _, payload in found]


class Sink:
    """Where an instance casts."""

    def __init__(self, bench: Bench, number: int) -> None:
        self.bench = bench
        self.number = number

    def cast(self, channel: str, payload: str) -> None:
        assert channel == "out"
        now_ms = self.bench.clock.now_ns() // 1_000_000
        self.bench.cast_by.setdefault(self.number, []).append((now_ms, payload))

    async def call(self, channel: str, payload: str, *, timeout_s: float) -> CallReturn:
        raise AssertionError("a file-pusher does not call")

    def call_nowait(self, channel: str, payload: str, answer: object, *, timeout_s: float) -> None:
        raise AssertionError("a file-pusher does not call")


Story = Callable[[Bench], Coroutine[Any, Any, None]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    return made


@pytest.fixture
def play(folder: Path) -> Callable[[Story], None]:
    """Play a story with a provider of the files in *folder*."""

    def play_story(story: Story) -> None:
        async def main() -> None:
            bench = Bench(folder)
            await bench.provider.open()
            await story(bench)
            bench.provider.close()
            bench.provider.close()

        run(main)

    return play_story


@pytest.fixture
def make_bench() -> type[Bench]:
    """Make a provider, on a virtual loop."""
    return Bench


@pytest.fixture
def fill(folder: Path) -> Callable[..., None]:
    """Write files: ``fill(name="content")``."""

    def write(**contents: str) -> None:
        for name, content in contents.items():
            (folder / name).write_text(content)

    return write
