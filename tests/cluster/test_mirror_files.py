"""``[proxy]`` of an ε-ORC's file, read and written."""

from pathlib import Path

from edgeless_sim.cluster.component_files import load_component, write_component
from edgeless_sim.cluster.component_settings import OrchestratorComponent
from edgeless_sim.orchestrator.settings import DatasetSettings

GENERAL = '[general]\ndomain_id = "d"\norchestrator_url = "tcp://127.0.0.1:1"\n'


def test_the_mirror_of_an_orchestrator_is_read_and_its_password_not_shown(tmp_path: Path) -> None:
    proxy = """
[proxy]
proxy_type = "redis"
proxy_gc_period_seconds = 360
redis_url = "redis://u:secret@127.0.0.1:6379/1"

[proxy.dataset_settings]
dataset_path = "out/"
append = false
additional_fields = "1,2"
additional_header = "seed,run"

[edgeless_sim]
flush_mirror = true
"""
    path = tmp_path / "orchestrator.toml"
    path.write_text(GENERAL + proxy, encoding="utf-8")
    found = load_component("orc", path)
    assert isinstance(found, OrchestratorComponent)
    assert found.redis_url == "redis://u:secret@127.0.0.1:6379/1"
    assert (found.mirror_gc_period_s, found.flush_mirror) == (360, True)
    assert found.datasets == DatasetSettings(
        path="out/", append=False, header="seed,run", fields="1,2"
    )
    assert "secret" not in repr(found)
    assert load_component("orc", write_component(found, tmp_path)) == found
