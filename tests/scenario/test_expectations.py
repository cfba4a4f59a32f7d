"""Each expectation holds when it should, and does not hold when it should not."""

from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.scenario.loader import parse_scenario
from edgeless_sim.scenario.outcome import Judgement, Outcome, Verdict
from edgeless_sim.scenario.runner import run_scenario

ROOT: Final = Path(__file__).parents[2]
#: counter -> incr -> double -> file, one event a second from 1 s to 20 s.
CHAIN: Final = f"""
name = "x"
duration = "20s"
[[domain]]
name = "edge"
strategy = "RoundRobin"
nodes = [{{count = 3, providers = ["file-log"]}}]
[network]
latency = "5ms"
[[step]]
at = "1s"
do = "start_workflow"
file = "{(ROOT / "scenarios/chain/workflow.json").as_posix()}"
as = "w"
"""
CRASH: Final = '[[step]]\nat = "10s"\ndo = "crash_node"\nnode = "@w/double"\n'
STOP: Final = '[[step]]\nat = "15s"\ndo = "stop_workflow"\nworkflow = "w"\n'
CUT: Final = (
    '[[step]]\nat = "10s"\ndo = "partition"\nbetween = [["@w/double"], []]\nheal_after = "9s"\n'
)


def run(tmp_path: Path, steps: str, *expectations: str) -> Outcome:
    text = CHAIN + steps + "".join(f"[[expect]]\n{each}\n" for each in expectations)
    return run_scenario(parse_scenario(text.encode(), folder=tmp_path))


def judged(tmp_path: Path, steps: str, expectation: str) -> Judgement:
    (judgement,) = run(tmp_path, steps, expectation).judgements
    return judgement


SLOW: Final = '[[step]]\nat = "5s"\ndo = "degrade"\nlatency = "50ms"\n'
DOUBLE: Final = 'workflow = "w"\ncomponent = "double"\n'

HANDLED: Final = f'what = "events_handled"\n{DOUBLE}'
WITHIN: Final = f'what = "events_within"\n{DOUBLE}'


@pytest.mark.parametrize(
    ("expectation", "holds_with", "fails_with"),
    [
        ('what = "workflow_running"\nworkflow = "w"', "", STOP),
        ('what = "workflow_running"\nworkflow = "w"\nat = "11s"', "", CRASH),
        ('what = "workflow_stopped"\nworkflow = "w"', STOP, ""),
        (f'what = "moved"\n{DOUBLE}', CRASH, ""),
        ('what = "all_components_running"\nafter = "10s"\nwithin = "0.1s"', "", CRASH),
        ('what = "no_duplicates"\nat = "18s"', "", CUT),
        ('what = "no_losses"', "", CRASH),
        ('what = "losses_max"\ncount = 0\ncause = "nobody listens"', "", CRASH),
        (f'what = "events_handled"\n{DOUBLE}min = 15', "", STOP),
        (f'what = "events_handled"\n{DOUBLE}max = 15', STOP, ""),
        (f'what = "events_within"\n{DOUBLE}within = "6ms"\nshare = 0.9', "", SLOW),
        ('what = "file_contains"\nfile = "chain.log"\nlines_min = 16', "", STOP),
    ],
)
def test_an_expectation_holds_or_not(
    expectation: str, holds_with: str, fails_with: str, tmp_path: Path
) -> None:
    assert judged(tmp_path, holds_with, expectation).holds
    assert not judged(tmp_path, fails_with, expectation).holds


@pytest.mark.parametrize(
    ("holds", "fails"),
    [
        (f'what = "component_on"\n{DOUBLE}domain = "edge"', None),
        ('what = "file_contains"\nfile = "chain.log"\ntext = "\\n6\\n"', None),
        (None, 'what = "file_contains"\nfile = "chain.log"\ntext = "\\n7\\n"'),
        (None, 'what = "file_contains"\nfile = "other.log"\ntext = ""'),
        (f'{HANDLED}exactly = 19', f'{HANDLED}exactly = 18'),
        (f'{WITHIN}within = "6ms"\nshare = 0.9', f'{WITHIN}within = "4ms"'),
        ('what = "losses_explained"\nwithin = "1s"', None),
    ],
)  # fmt: skip
def test_an_expectation_looks_at_its_keys(
    holds: str | None, fails: str | None, tmp_path: Path
) -> None:
    if holds is not None:
        judgement = judged(tmp_path, "", holds)
        assert judgement.holds, judgement.found
    if fails is not None:
        assert not judged(tmp_path, "", fails).holds


def test_exactly_one_of_three_nodes_is_the_one(tmp_path: Path) -> None:
    on = [f'what = "component_on"\n{DOUBLE}node = "edge/{index}"' for index in range(3)]
    off = [f'what = "component_on"\n{DOUBLE}not_node = "edge/{index}"' for index in range(3)]
    judgements = run(tmp_path, "", *on, *off).judgements
    assert sum(each.holds for each in judgements[:3]) == 1
    assert [each.holds for each in judgements[3:]] == [not each.holds for each in judgements[:3]]


def test_a_failed_expectation_says_what_was_found_and_fails_the_run(tmp_path: Path) -> None:
    outcome = run(tmp_path, CRASH, 'what = "no_losses"')
    assert outcome.verdict is Verdict.FAILED
    assert outcome.judgements[0].expectation == "no_losses()"
    assert outcome.judgements[0].found.endswith("(nobody listens: 1)") or (
        "lost (" in outcome.judgements[0].found
    )


def test_an_expectation_with_a_time_is_judged_then(tmp_path: Path) -> None:
    early = f'what = "events_handled"\n{DOUBLE}max = 5\nat = "5s"'
    late = f'what = "events_handled"\n{DOUBLE}max = 5'
    one, two = run(tmp_path, "", early, late).judgements
    assert (one.holds, one.at_ns) == (True, 5_000_000_000)
    assert (two.holds, two.at_ns) == (False, 20_000_000_000)


def test_a_run_without_expectations_is_inconclusive(tmp_path: Path) -> None:
    assert run(tmp_path, "").verdict is Verdict.INCONCLUSIVE


def test_events_that_wait_for_a_slow_function_are_explained(tmp_path: Path) -> None:
    (tmp_path / "slow.json").write_text(
        '{"functions": [{"name": "f", "class_specification": {"id": "m", "function_type":'
        ' "MODELLED", "version": "1", "outputs": []}, "output_mapping": {}, "annotations":'
        ' {"init-payload": "service=c(5000)"}}], "resources": [], "annotations": {}}'
    )
    text = """
name = "x"
duration = "20s"
[[domain]]
name = "edge"
nodes = [{runtimes = ["MODELLED"]}]
[[step]]
at = "1s"
do = "start_workflow"
file = "slow.json"
as = "w"
[[step]]
at = "2s"
do = "send"
to = "w/f"
payload = "x"
count = 8
every = "1ms"
[[expect]]
what = "losses_explained"
"""
    (judgement,) = run_scenario(parse_scenario(text.encode(), folder=tmp_path)).judgements
    assert judgement.holds, judgement.found


def test_a_jitter_without_a_latency_delays(tmp_path: Path) -> None:
    step = '[[step]]\nat = "2s"\ndo = "degrade"\njitter = "50ms"\n'
    expectation = f'{WITHIN}within = "6ms"\nshare = 0.9'
    outcome = run(tmp_path, step, expectation)
    assert outcome.verdict is Verdict.FAILED, "it ran to its end, and the events took longer"
