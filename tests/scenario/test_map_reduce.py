"""Map-reduce workflows of drawn shapes are EDGELESS's, the same for the same seed (spec 11.3)."""

from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgeless_sim.errors import SpecError
from edgeless_sim.model.workflow import validate_workflow
from edgeless_sim.scenario.map_reduce import (
    MapReduceClasses,
    MapReduceMaker,
    MapReduceTable,
    model_service_ms,
)

FUNCTIONS: Final = Path(__file__).parents[2] / "functions"
CLASSES: Final = MapReduceClasses.read(FUNCTIONS)


def maker(seed: int = 1, **table: Any) -> MapReduceMaker:
    return MapReduceMaker(MapReduceTable(**table), CLASSES, seed)


def test_one_stage_of_two_processes_is_wired_as_edgeless_does() -> None:
    request = maker(
        stages=[1, 1],
        fan_out=[2, 2],
        input_size=[50, 50],
        work=[1000, 1000],
        transaction_interval=["700ms", "700ms"],
        process="wasm",
    ).request(3)
    found = {each.name: each for each in request.functions}
    assert {name: each.output_mapping for name, each in found.items()} == {
        "trigger": {"out": "s0"},
        "s0": {"out-0": "p0-0", "out-1": "p0-1"},
        "p0-0": {"out": "s1"},
        "p0-1": {"out": "s1"},
        "s1": {},
    }
    payloads = {name: each.annotations["init-payload"] for name, each in found.items()}
    assert payloads["trigger"] == "out_type=rand_vec,use_base64=true,size=50,arrival=c(700)"
    assert payloads["s0"] == (
        "init_id_from_redis=false,is_first=true,is_last=false,use_base64=true,inputs=,outputs=0:1"
    )
    assert payloads["s1"] == (
        "init_id_from_redis=false,is_first=false,is_last=true,use_base64=true,inputs=0:1,outputs="
    )
    assert payloads["p0-0"] == "forward=true,fibonacci=1000,allocate=0"
    assert request.resources == ()


def test_with_redis_the_first_and_the_last_stage_know_it() -> None:
    request = maker(stages=[2, 2], redis_url="redis://cache:6379").request(0)
    knows = [each.name for each in request.functions if "redis" in each.output_mapping]
    assert knows == ["s0", "s2"]
    (redis,) = request.resources
    assert redis.configurations == {
        "url": "redis://cache:6379",
        "key": "last_transaction_id",
        "add-workflow-id": "true",
    }


@given(seed=st.integers(0, 1 << 60), number=st.integers(0, 10_000))
def test_every_draw_is_a_good_workflow_within_its_ranges(seed: int, number: int) -> None:
    made = maker(seed, stages=[1, 4], fan_out=[1, 4], work=[5_000, 50_000])
    request = made.request(number)
    validate_workflow(request)
    stages = [each for each in request.functions if each.name.startswith("s")]
    assert 2 <= len(stages) <= 5
    assert all(len(each.output_mapping) <= 4 for each in stages)
    assert made.request(number) == request


def test_other_seeds_and_numbers_give_other_workflows() -> None:
    drawn = {str(maker(seed).request(number)) for seed in range(5) for number in range(5)}
    assert len(drawn) > 20


def test_a_model_takes_the_time_of_the_computation() -> None:
    # edgeless-sim invoke functions/bench_process --init "fibonacci=5000": 2.149 ms.
    assert model_service_ms(5_000) == pytest.approx(2.149, rel=0.01)
    request = maker(work=[5_000, 5_000], stages=[1, 1], fan_out=[1, 1]).request(0)
    (process,) = (each for each in request.functions if each.name == "p0-0")
    assert process.class_specification.function_type == "MODELLED"
    assert process.annotations["init-payload"] == "service=c(2.150000)"


@pytest.mark.parametrize(
    "table",
    [
        {"stages": [3, 1]},
        {"fan_out": [0, 1]},
        {"fan_out": [1, 21]},
        {"work": [1, 10**9]},
        {"work": [1]},
        {"stage": [1, 1]},
        {"process": "docker"},
    ],
    ids=str,
)
def test_ranges_that_make_no_sense_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MapReduceTable(**table)


def test_a_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        MapReduceClasses.read(tmp_path)
