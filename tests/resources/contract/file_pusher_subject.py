"""file-pusher under the contract: its back-end is a folder."""

import asyncio
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.resources.contract.subject import Subject

__all__ = ["FilePusherSubject"]

#: Of a turn, and how long a use waits: a listing may be a second old.
_PERIOD_MS = 20
_PATIENCE_S = 2.0


class FilePusherSubject(Subject):
    """A use is to wait for a file that was not there before."""

    class_type = "file-pusher"
    announced = ("1.0", ("out",))
    faults = ("down", "wrong")
    #: All instances of a provider have its folder.
    has_neighbour = False

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.folder = Path(mkdtemp(prefix="file-pusher-"))
        (self.folder / "file").write_text("0")
        self.uses = 0
        self.fault = "none"
        self.settings["file_pusher_directory"] = self.folder
        self.good = {"period-ms": str(_PERIOD_MS)}
        self.bad = [{"period-ms": period} for period in ("0", "-1", "NaN", "1e18", "")]

    async def use(self, provider: Any, number: int = 1) -> bool:
        self.uses += 1
        text = f"{self.uses}"
        if self.fault != "down":
            # Not all Latin-1 is UTF-8.
            content = text.encode() if self.fault == "none" else b"\xff"
            (self.folder / "file").write_bytes(content)
        return await self._arrives(text)

    async def _arrives(self, text: str) -> bool:
        sent = self.stage.function.sent
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while ("out", text) not in sent:  # noqa: ASYNC110 - a folder has no event
                    await asyncio.sleep(_PERIOD_MS / 1000)
        except TimeoutError:
            return False
        return True

    async def fail(self, fault: str) -> None:
        self.fault = fault
        if fault == "down":
            shutil.rmtree(self.folder)
        else:
            self.folder.mkdir(exist_ok=True)

    async def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
