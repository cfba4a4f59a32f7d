"""What a simulated database holds is judged: per node, per workflow, by a text."""

from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.scenario.loader import parse_scenario
from edgeless_sim.scenario.outcome import Judgement
from edgeless_sim.scenario.runner import run_scenario

FUNCTION: Final = (Path(__file__).parents[2] / "functions/sqlx_test/sqlx_test.wasm").as_posix()
WORKFLOW: Final = f"""
{{"functions": [{{"name": "tester", "class_specification": {{"id": "sqlx_test",
"function_type": "RUST_WASM", "version": "0.2", "code": "{FUNCTION}", "outputs": ["database"]}},
"output_mapping": {{"database": "db"}}, "annotations": {{"init-payload": "7"}}}}],
"resources": [{{"name": "db", "class_type": "sqlx", "output_mapping": {{}},
"configurations": {{"url": "sqlite://a/State.db"}}}}], "annotations": {{}}}}
"""
SCENARIO: Final = """
name = "x"
duration = "10s"
[[domain]]
name = "edge"
nodes = [{providers = ["sqlx"]}, {}]
[[step]]
at = "1s"
do = "start_workflow"
as = "w"
[[step]]
at = "2s"
do = "start_workflow"
as = "gone"
[[step]]
at = "3s"
do = "backend"
url = "sqlite://a/State.db"
condition = "down"
[[step]]
at = "4s"
do = "stop_workflow"
workflow = "gone"
[[step]]
at = "9s"
do = "start_workflow"
as = "never"
may_fail = true
[[expect]]
"""
ROW: Final = 'what = "sql_row"\nurl = "sqlite://a/State.db"\n'


def judged(tmp_path: Path, expectation: str) -> Judgement:
    (tmp_path / "workflow.json").write_text(WORKFLOW)
    scenario = parse_scenario((SCENARIO + expectation).encode(), folder=tmp_path)
    (judgement,) = run_scenario(scenario).judgements
    return judgement


@pytest.mark.parametrize(
    ("expectation", "holds"),
    [
        (f"{ROW}exactly = 2", True),
        (f"{ROW}max = 1", False),
        (f'{ROW}workflow = "w"\nexactly = 1', True),
        (f'{ROW}workflow = "w"\ntext = \'"foo":7.0\'\nexactly = 1', True),
        (f'{ROW}workflow = "w"\ntext = \'"foo":8.0\'\nmin = 1', False),
        # It could not delete its row, since the database was down when it was stopped.
        (f'{ROW}workflow = "gone"\ntext = "initial"\nexactly = 1', True),
        (f'{ROW}workflow = "never"\nexactly = 1', False),
        (f'{ROW}id = "somebody"\nexactly = 0', True),
        (f'{ROW}node = "edge/0"\nexactly = 2', True),
        (f'{ROW}node = "edge/1"\nmin = 1', False),
        (f"{ROW}min = 1".replace("State", "state"), False),
        (f"{ROW}min = 1".replace("a/", ""), False),
    ],
)
def test_a_database_is_looked_into(tmp_path: Path, expectation: str, holds: bool) -> None:
    judgement = judged(tmp_path, expectation)
    assert judgement.holds is holds, judgement.found
