"""sqlx and its twin, as the contract sees them."""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.resources.contract.subject import Subject, let_fail

from edgeless_sim.model.event import NO_REPLY, EventType
from edgeless_sim.resources.simulated.backends import Backends

__all__ = ["SimulatedSqlxSubject", "SqlxSubject"]


class SqlxSubject(Subject):
    """Its database is replaced by a folder, locked by somebody else, or written over."""

    class_type = "sqlx"
    announced = ("1.1", ())

    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.settings["database_folder"] = self.folder
        self.uses = 0
        self.lock: sqlite3.Connection | None = None
        self.configure()

    def configure(self) -> None:
        self.good = {"url": "sqlite://a/b.db"}
        urls = ["", "sqlite://", "sqlite://../x.db", "sqlite:///etc/x.db", "redis://127.0.0.1"]
        self.bad = [{}, *({"url": url} for url in urls)]

    def neighbour(self) -> dict[str, str]:
        return {"url": "sqlite://c.db"}

    async def use(self, provider: Any, number: int = 1) -> bool:
        self.uses += 1
        mine = self.uses
        write = f"REPLACE INTO WorkflowState(id, metadata) VALUES ($1, '{mine}')"
        if await self.stage.ask(provider, write, EventType.CAST, number) != NO_REPLY:
            return False
        read = "SELECT id, metadata FROM WorkflowState WHERE id = $1"
        answer = await self.stage.ask(provider, read, number=number)
        return bool(answer.payload.endswith(f'"metadata":{mine}}}'))

    async def fail(self, fault: str) -> None:
        file = self.folder / "a/b.db"
        if fault == "down":
            file.unlink()
            file.mkdir()
        elif fault == "slow":
            self.lock = sqlite3.connect(file, isolation_level=None)
            self.lock.execute("BEGIN EXCLUSIVE")
        elif fault == "wrong":
            file.write_bytes(b"What is this? " * 1_000)
        elif self.lock is not None:
            self.lock.close()
        elif file.is_dir():
            file.rmdir()
        else:
            file.unlink()

    async def close(self) -> None:
        if self.lock is not None:
            self.lock.close()
        self.temporary.cleanup()


class SimulatedSqlxSubject(SqlxSubject):
    async def prepare(self, redis_server: Any, make_gate: Any) -> None:
        self.stage.backends = self.backends = Backends(self.stage.clock.scheduler)
        self.uses = 0
        self.configure()

    async def fail(self, fault: str) -> None:
        let_fail(self.backends, "sqlite://a/b.db", fault)

    async def close(self) -> None:
        """Nothing was begun."""
