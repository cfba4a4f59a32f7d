"""What a simulated Redis holds, and how often it was written, is judged."""

from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.resources.simulated import redis
from edgeless_sim.scenario import world_judge
from edgeless_sim.scenario.loader import parse_scenario
from edgeless_sim.scenario.outcome import Judgement
from edgeless_sim.scenario.runner import run_scenario

RELAY: Final = (Path(__file__).parents[2] / "functions/relay/relay.wasm").as_posix()
WORKFLOW: Final = f"""
{{"functions": [{{"name": "relay", "class_specification": {{"id": "relay",
"function_type": "RUST_WASM", "version": "0.1", "code": "{RELAY}", "outputs": ["out"]}},
"output_mapping": {{"out": "cache"}}, "annotations": {{}}}}],
"resources": [{{"name": "cache", "class_type": "redis", "output_mapping": {{}},
"configurations": {{"url": "redis://cache.lab/3", "key": "last"}}}}], "annotations": {{}}}}
"""
SCENARIO: Final = """
name = "x"
duration = "10s"
[[domain]]
name = "edge"
nodes = [{providers = ["redis"]}]
[[step]]
at = "1s"
do = "start_workflow"
as = "w"
[[workload]]
name = "load"
kind = "event"
to = "w/relay"
payload = "a value"
interarrival = "500ms"
start = "2s"
count = 5
[[expect]]
"""


def judged(tmp_path: Path, expectation: str) -> Judgement:
    (tmp_path / "workflow.json").write_text(WORKFLOW)
    scenario = parse_scenario((SCENARIO + expectation).encode(), folder=tmp_path)
    (judgement,) = run_scenario(scenario).judgements
    return judgement


VALUE: Final = 'what = "redis_value"\nurl = "redis://cache.lab/3"\n'
WRITES: Final = 'what = "redis_writes"\nurl = "redis://cache.lab/3"\n'


@pytest.mark.parametrize(
    ("expectation", "holds"),
    [
        (f'{VALUE}key = "last"\nvalue = "a value"', True),
        (f'{VALUE}key = "last"\nvalue = "a"', False),
        (f'{VALUE}key = "last"\ncontains = "val"', True),
        (f'{VALUE}key = "last"\ncontains = "x"', False),
        (f'{VALUE}key = "first"\ncontains = ""', False),
        (f'{VALUE}key = "last"\nvalue = "a value"'.replace("/3", ""), False),
        (f'{VALUE}key = "last"\nvalue = "a value"'.replace("cache.lab", "other"), False),
        (f"{WRITES}exactly = 5", True),
        (f'{WRITES}key = "last"\nmin = 6', False),
        (f'{WRITES}key = "first"\nexactly = 0', True),
        (f"{WRITES}min = 1".replace("/3", ""), False),
    ],
)
def test_a_redis_is_looked_into(tmp_path: Path, expectation: str, holds: bool) -> None:
    judgement = judged(tmp_path, expectation)
    assert judgement.holds is holds, judgement.found


def test_writes_that_may_be_forgotten_are_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (redis, world_judge):
        monkeypatch.setattr(module, "WRITES_KEPT", 3)
    assert judged(tmp_path, f"{WRITES}min = 3").holds
    judgement = judged(tmp_path, f"{WRITES}exactly = 3")
    assert (judgement.holds, judgement.found) == (False, "3 of the last 3 writes")
