"""What the tests of configuration files share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeless_sim.cluster.settings import checks, unavailable

#: All that the files of EDGELESS can name.
EVERY_CLASS = (
    "dda",
    "file-log",
    "file-pusher",
    "http-egress",
    "http-ingress",
    "http-poster",
    "kafka-egress",
    "ollama",
    "redis",
    "serverless",
    "sqlx",
)

WriteFile = Callable[[str], Path]


@pytest.fixture
def write_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteFile:
    """Write a text into the file ``x.toml`` of the working directory; its relative path."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        path = Path("x.toml")
        path.write_text(text)
        return path

    return write


@pytest.fixture
def _only_file_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unavailable, "known_classes", lambda: ("file-log",))
    monkeypatch.setattr(checks, "known_classes", lambda: ("file-log",))


@pytest.fixture
def _every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unavailable, "known_classes", lambda: EVERY_CLASS)
