"""What a simulated broker got is judged."""

from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.resources.simulated import kafka
from edgeless_sim.scenario import world_judge
from edgeless_sim.scenario.loader import parse_scenario
from edgeless_sim.scenario.outcome import Judgement
from edgeless_sim.scenario.runner import run_scenario

RELAY: Final = (Path(__file__).parents[2] / "functions/relay/relay.wasm").as_posix()
WORKFLOW: Final = f"""
{{"functions": [{{"name": "relay", "class_specification": {{"id": "relay",
"function_type": "RUST_WASM", "version": "0.1", "code": "{RELAY}", "outputs": ["out"]}},
"output_mapping": {{"out": "topic"}}, "annotations": {{}}}}],
"resources": [{{"name": "topic", "class_type": "kafka-egress", "output_mapping": {{}},
"configurations": {{"brokers": "one.lab,two.lab", "topic": "t"}}}}], "annotations": {{}}}}
"""
SCENARIO: Final = """
name = "x"
duration = "10s"
[[domain]]
name = "edge"
nodes = [{providers = ["kafka-egress"]}]
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


GOT: Final = 'what = "kafka_received"\nurl = "kafka://one.lab"\ntopic = "t"\n'


@pytest.mark.parametrize(
    ("expectation", "holds"),
    [
        (f"{GOT}exactly = 5", True),
        (f'{GOT}text = "val"\nmin = 5\nmax = 5', True),
        (f'{GOT}text = "x"\nmin = 1', False),
        (f"{GOT}min = 6", False),
        (f"{GOT}max = 4", False),
        (f"{GOT}min = 1".replace('"t"', '"u"'), False),
        (f"{GOT}min = 1".replace("one.lab", "two.lab"), False),
        (f"{GOT}exactly = 5".replace("one.lab", "one.lab:9092"), True),
    ],
)
def test_a_topic_is_looked_into(tmp_path: Path, expectation: str, holds: bool) -> None:
    judgement = judged(tmp_path, expectation)
    assert judgement.holds is holds, judgement.found


def test_records_that_may_be_forgotten_are_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (kafka, world_judge):
        monkeypatch.setattr(module, "RECORDS_KEPT", 3)
    assert judged(tmp_path, f"{GOT}min = 3").holds
    judgement = judged(tmp_path, f"{GOT}exactly = 3")
    assert (judgement.holds, judgement.found) == (False, "3 of the last 3 records")
