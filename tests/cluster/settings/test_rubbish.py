"""Whatever stands in a configuration file: settings, or an error of at most 1 KiB."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeless_sim.cluster.settings import (
    load_balancer_settings,
    load_cli_settings,
    load_controller_settings,
    load_node_settings,
    load_orchestrator_settings,
    load_tls,
)
from edgeless_sim.errors import SettingsError
from edgeless_sim.model.names import name_fault

FILES = sorted((Path(__file__).parent / "generations").glob("*/*.toml"))
LOADERS: dict[str, Callable[[Path], object]] = {
    "balancer.toml": load_balancer_settings,
    "cli.toml": load_cli_settings,
    "controller.toml": load_controller_settings,
    "node.toml": load_node_settings,
    "orchestrator.toml": load_orchestrator_settings,
}
#: What other values, keys and tables could be.
PIECES = (
    *(
        "=",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        '"""',
        ".",
        ",",
        "#",
        "\n",
        "\\",
        "\\u0000",
        "\\U00110000",
    ),
    *("[[general]]", "[edgeless_sim]", "general.", "0", "-1", "1e400", "nan", "true", "1979-05-27"),
    *("{a = {b = {}}}", "[[], [[]]]", "99999999999999999999", "é", "\x00", "\ufeff", "\u2028"),
)

pieces = st.sampled_from(PIECES) | st.text(max_size=3)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rubbish") / "x.toml"


def answer(load: Callable[[Path], object], path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        load(path)
    except SettingsError as error:
        text = str(error)
        assert text
        assert len(text.encode()) <= 1024
        # No line has a control character in it.
        assert [fault for line in text.split("\n") if (fault := name_fault(line, 1024))] == []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    file=st.sampled_from(FILES),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), pieces), min_size=1, max_size=3),
)
def test_a_file_with_changes(path: Path, file: Path, edits: list[tuple[float, int, str]]) -> None:
    text = file.read_text()
    for place, removed, piece in edits:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + removed :]
    answer(LOADERS[file.name], path, text.encode())


@settings(deadline=None)
@given(load=st.sampled_from([*LOADERS.values(), load_tls]), content=st.binary(max_size=200))
def test_any_bytes(path: Path, load: Callable[[Path], object], content: bytes) -> None:
    answer(load, path, content)
