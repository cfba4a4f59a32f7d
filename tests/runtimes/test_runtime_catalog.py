"""Run-times are found by entry points, made once and closed together."""

from pathlib import Path

import pytest

from edgeless_sim.errors import RejectedError, SettingsError
from edgeless_sim.runtimes.base import RuntimeSettings
from edgeless_sim.runtimes.catalog import RuntimeCatalog

FOREIGN = """
class Runtime:
    function_type = "FOREIGN"
    closed = []
    def __init__(self, settings):
        self.settings = settings
    def instantiate(self, pid, request, dice):
        raise NotImplementedError
    def close(self):
        self.closed.append(self)
"""


def install(folder: Path, package: str, entries: str, source: str = FOREIGN) -> None:
    """Put a package with *entries* into *folder*, as an installer would."""
    (folder / f"{package}.py").write_text(source, encoding="utf-8")
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgeless.runtimes]\n{entries}\n", encoding="utf-8")


def test_the_shipped_run_times_are_known_in_order() -> None:
    assert RuntimeCatalog(RuntimeSettings()).known() == ("MODELLED", "PYTHON", "RUST_WASM")


def test_a_run_time_is_made_once() -> None:
    catalog = RuntimeCatalog(RuntimeSettings())
    made = catalog.get("MODELLED")
    assert made.function_type == "MODELLED"
    assert catalog.get("MODELLED") is made


def test_an_unknown_type_is_refused_in_the_words_of_edgeless() -> None:
    with pytest.raises(RejectedError) as refusal:
        RuntimeCatalog(RuntimeSettings()).get("CONTAINER")
    assert refusal.value.summary == "Error when creating a function instance"
    assert refusal.value.detail == "Could not find runner for CONTAINER"


def test_a_very_long_type_does_not_make_a_very_long_refusal() -> None:
    with pytest.raises(RejectedError) as refusal:
        RuntimeCatalog(RuntimeSettings()).get("X" * 10_000)
    assert len(str(refusal.value.detail)) <= 1024


def test_a_run_time_of_another_package_is_found_and_closed_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "foreign_runtime_a", "FOREIGN = foreign_runtime_a:Runtime")
    monkeypatch.syspath_prepend(tmp_path)
    settings = RuntimeSettings(fuel_per_event=7)
    catalog = RuntimeCatalog(settings)
    assert "FOREIGN" in catalog.known()
    made = catalog.get("FOREIGN")
    assert vars(made)["settings"] is settings
    catalog.close()
    catalog.close()
    assert vars(type(made))["closed"] == [made]


def test_a_run_time_that_cannot_be_imported_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "foreign_runtime_b", "BROKEN = foreign_runtime_b:R", "import not_installed_x")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RejectedError, match="No module named 'not_installed_x'"):
        RuntimeCatalog(RuntimeSettings()).get("BROKEN")


def test_two_packages_that_offer_the_same_type_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "foreign_runtime_c", "MODELLED = foreign_runtime_c:Runtime")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match="two packages offer the run-time 'MODELLED'"):
        RuntimeCatalog(RuntimeSettings())
