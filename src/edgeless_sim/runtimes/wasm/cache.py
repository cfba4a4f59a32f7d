"""Compiled modules on disk, so that a second run need not compile again.

A compiled module is native code that runs with our rights, so the folder must be ours alone and
every entry is authenticated with a key that lies beside it: a file that somebody else put there,
or that was damaged, is compiled again instead of run.
"""

import hmac
import os
import secrets
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from edgeless_sim.errors import SettingsError
from edgeless_sim.runtimes.wasm.binding import WASMTIME_VERSION
from edgeless_sim.runtimes.wasm.engine import CompileError, Engine, Load

__all__ = ["module_loader"]

_KEY_FILE: Final = "key"
_KEY_BYTES: Final = 32
_SEAL_BYTES: Final = 32
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600


def module_loader(folder: Path | None) -> Callable[[Engine], Load]:
    """Return what makes an engine's modules: by compiling, or through the cache in *folder*.

    The loader raises SettingsError if *folder* cannot be used safely.
    """
    if folder is None:
        return lambda engine: engine.compile
    return lambda engine: _DiskCache(folder, engine).load


class _DiskCache:
    """The cache of one folder for one engine."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._folder = folder
        self._engine = engine
        _make_private(folder)
        self._key = _read_key(folder / _KEY_FILE)

    def load(self, code: bytes) -> int:
        """Return the module of *code*; raise CompileError."""
        identity = sha256(code).hexdigest()
        path = self._folder / f"{identity}.{WASMTIME_VERSION}.{self._engine.identity}.cwasm"
        compiled = self._read(path)
        if compiled is not None:
            try:
                return self._engine.deserialize(compiled)
            except CompileError:
                pass  # Made on a machine with other instructions: as good as absent.
        module = self._engine.compile(code)
        self._write(path, self._engine.serialize(module))
        return module

    def _seal(self, path: Path, compiled: bytes) -> bytes:
        # The name is sealed too: an entry must not pass for another one.
        return hmac.digest(self._key, path.name.encode() + b"\0" + compiled, "sha256")

    def _read(self, path: Path) -> bytes | None:
        try:
            content = path.read_bytes()
        except OSError:
            return None
        seal, compiled = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
        return compiled if hmac.compare_digest(seal, self._seal(path, compiled)) else None

    def _write(self, path: Path, compiled: bytes) -> None:
        try:
            _write_private(path, self._seal(path, compiled) + compiled)
        except OSError:
            return  # A full disk costs time at the next start, nothing now.


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise SettingsError(f"the module cache {folder} cannot be used: {error}") from error
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise SettingsError(
            f"the module cache {folder} can be written by others: chmod 700 it, or name another"
        )


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
        if len(key) == _KEY_BYTES:
            return key
    except FileNotFoundError:
        pass
    # Not from the seeded dice: the key must be unknown to others, and no result depends on it.
    key = secrets.token_bytes(_KEY_BYTES)
    _write_private(path, key)
    return key


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only we can read, whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    part.replace(path)
