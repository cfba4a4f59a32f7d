"""Resource providers are found by entry points."""

from pathlib import Path

import pytest

from edgeless_sim.errors import SettingsError
from edgeless_sim.kernel.clock import EPOCH, LoopClock
from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_sim.resources import catalog
from edgeless_sim.resources.base import ResourceHost
from edgeless_sim.resources.catalog import create_provider, known_classes, provider_class
from edgeless_sim.resources.file_log import FileLogProvider
from edgeless_sim.resources.files import VirtualFiles


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path; what was known before is forgotten, and forgotten again."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(catalog, "_installed", catalog._installed.__wrapped__)
    return tmp_path


def install(folder: Path, package: str, entries: str) -> None:
    """Announce *entries* in *folder*, as an installer would."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgeless.resources]\n{entries}\n", encoding="utf-8")


def test_the_shipped_classes_are_known() -> None:
    assert "file-log" in known_classes()
    assert list(known_classes()) == sorted(known_classes())


def test_a_provider_is_made_of_its_class() -> None:
    time = TimerQueue()
    host = ResourceHost("edge/0", LoopClock(time, EPOCH), time, VirtualFiles())
    made = create_provider("file-log", "file-log-7", host)
    assert isinstance(made, FileLogProvider)
    assert made.specification.provider_id == "file-log-7"


def test_a_class_tells_version_and_outputs_before_it_is_made() -> None:
    found = provider_class("file-log")
    assert (found.class_type, found.version, found.outputs) == ("file-log", "1.1", ())


def test_an_unknown_class_is_refused_with_the_nearest_one_and_all_known() -> None:
    with pytest.raises(SettingsError) as refusal:
        provider_class("filelog")
    assert "unknown resource class 'filelog'; did you mean 'file-log'? (known: " in str(
        refusal.value
    )


def test_a_class_of_another_package_is_found(path: Path) -> None:
    install(
        path, "foreign_resource_a", "smoke-signal = edgeless_sim.resources.file_log:FileLogProvider"
    )
    assert "smoke-signal" in known_classes()
    assert provider_class("smoke-signal") is FileLogProvider


def test_a_class_that_cannot_be_imported_is_refused_with_the_reason(path: Path) -> None:
    install(path, "foreign_resource_b", "broken = not_installed_y:Provider")
    with pytest.raises(SettingsError, match="'broken' cannot be loaded: No module named"):
        provider_class("broken")


def test_two_packages_that_offer_the_same_class_are_refused(path: Path) -> None:
    install(path, "foreign_resource_c", "file-log = not_installed_y:Provider")
    with pytest.raises(SettingsError, match="two packages offer the resource class 'file-log'"):
        known_classes()
