"""Functions without code: what they forward, answer and cost."""

from random import Random
from uuid import UUID

import pytest

from edgeless_sim.errors import BadCodeError
from edgeless_sim.model.event import CallReturn
from edgeless_sim.model.function import (
    FunctionClassSpecification,
    SpawnFunctionRequest,
    StateSpecification,
)
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId, WorkflowId
from edgeless_sim.runtimes.base import Cast, Done, GuestEvent, GuestEventKind, RuntimeSettings
from edgeless_sim.runtimes.modelled import ModelledInstance, ModelledRuntime

PID = InstanceId(NodeId(UUID(int=1)), FunctionId(UUID(int=2)))
CAST = GuestEvent(GuestEventKind.CAST, b"s" * 32, "hello")
CALL = GuestEvent(GuestEventKind.CALL, b"s" * 32, "hello")


def modelled(parameters: str | None, seed: int = 1) -> ModelledInstance:
    request = SpawnFunctionRequest(
        code=FunctionClassSpecification("m", "MODELLED", "1"),
        annotations={} if parameters is None else {"init-payload": parameters},
        state_specification=StateSpecification(UUID(int=3)),
        workflow_id=WorkflowId(UUID(int=4)),
    )
    return ModelledRuntime(RuntimeSettings()).instantiate(PID, request, Random(seed))


def test_a_cast_is_forwarded_on_each_channel_in_the_order_of_their_names() -> None:
    instance = modelled("service=c(5)")
    instance.patched(("b", "c", "a"))
    assert instance.dispatch(CAST) == Done(
        [Cast("a", "hello"), Cast("b", "hello"), Cast("c", "hello")], None, 0, 5_000_000
    )


def test_a_cast_is_forwarded_on_the_only_channel() -> None:
    instance = modelled("service=c(0.25)")
    instance.patched(("out",))
    assert instance.dispatch(CAST) == Done([Cast("out", "hello")], None, 0, 250_000)


def test_before_the_first_patch_nothing_is_forwarded_but_time_passes() -> None:
    assert modelled("service=c(5)").dispatch(CAST) == Done([], None, 0, 5_000_000)


def test_a_patch_replaces_all_channels() -> None:
    instance = modelled("service=c(0)")
    instance.patched(("a", "b"))
    instance.patched(("c",))
    assert instance.dispatch(CAST) == Done([Cast("c", "hello")], None, 0, 0)
    instance.patched(())
    assert instance.dispatch(CAST) == Done([], None, 0, 0)


def test_a_call_is_answered_with_its_payload() -> None:
    instance = modelled("service=c(5)")
    instance.patched(("out",))
    assert instance.dispatch(CALL) == Done([], CallReturn.reply("hello"), 0, 5_000_000)


@pytest.mark.parametrize("kind", [GuestEventKind.INIT, GuestEventKind.STOP])
def test_beginning_and_stopping_cost_nothing(kind: GuestEventKind) -> None:
    instance = modelled("service=c(5)")
    instance.patched(("out",))
    assert instance.dispatch(GuestEvent(kind)) == Done([], None, 0, 0)


def test_outputs_of_two_events_share_nothing_that_can_change() -> None:
    instance = modelled("service=c(5)")
    instance.patched(("out",))
    first, second = instance.dispatch(CAST), instance.dispatch(CAST)
    first.outputs.clear()
    assert second.outputs == [Cast("out", "hello")]


def test_each_event_draws_its_own_service_time() -> None:
    instance, twin = modelled("service=e(5)", seed=9), modelled("service=e(5)", seed=9)
    drawn = [instance.dispatch(CAST).service_ns for _ in range(20)]
    assert len(set(drawn)) == 20
    assert [twin.dispatch(CALL).service_ns for _ in range(20)] == drawn


def test_it_waits_for_no_call_and_can_be_discarded_twice() -> None:
    instance = modelled("service=c(5)")
    with pytest.raises(AssertionError, match="waits for no call"):
        instance.resume(CallReturn.reply("x"))
    instance.discard()
    instance.discard()


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        (None, "needs its service time"),
        ("", "needs its service time"),
        ("service", "'service' is not key=value"),
        ("service=", "key 'service': '' is not a duration"),
        ("service=5", "key 'service': '5' is not a duration"),
        ("service=c(5),service=c(6)", "key 'service' occurs twice"),
        ("service=c(5),", "'' is not key=value"),
        ("servcie=c(5)", "unknown key 'servcie'"),
        ("service=c(5)" + " " * 2000, "more than 1024 characters"),
    ],
)
def test_bad_parameters_are_refused_before_anything_starts(
    parameters: str | None, fault: str
) -> None:
    with pytest.raises(BadCodeError, match=fault):
        modelled(parameters)
