"""What every resource provider does, whatever its class: the contract of `ResourceProvider`.

The classes, and how their back-ends fail, are in ``conftest.py``.
"""

import asyncio
from typing import Any

import pytest

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.annotations import REQUIREMENT_KEYS
from edgeless_sim.model.event import ERR, EventType
from edgeless_sim.model.resource import ResourceProviderSpecification
from edgeless_sim.resources.catalog import create_provider, provider_class

#: A use, and being well again, may take so long: some deadlines of the classes.
PATIENCE_S = 8.0


async def started(subject: Any) -> Any:
    provider = await subject.stage.open(subject.class_type, **subject.settings)
    await subject.stage.start(provider, subject.good)
    await subject.stage.patch(provider)
    return provider


async def test_it_announces_itself_as_edgeless_does(subject: Any) -> None:
    provider = await subject.stage.open(subject.class_type, **subject.settings)
    version, outputs = subject.announced
    assert provider.specification == ResourceProviderSpecification(
        f"{subject.class_type}-1", subject.announced_class or subject.class_type, outputs
    )
    assert (provider.version, provider_class(subject.class_type).outputs) == (version, outputs)


async def test_it_works_once_it_is_started_and_patched(subject: Any) -> None:
    provider = await started(subject)
    assert await subject.use(provider)
    assert await subject.use(provider)


async def test_a_bad_configuration_is_refused_and_nothing_is_started(subject: Any) -> None:
    provider = await subject.stage.open(subject.class_type, **subject.settings)
    for number, configuration in enumerate(subject.bad, 1):
        with pytest.raises(RejectedError) as refusal:
            await subject.stage.start(provider, configuration, number)
        assert refusal.value.summary.startswith(("Invalid resource", "Error when creating"))
        assert 0 < len(str(refusal.value).encode()) <= 1100
        assert await subject.stage.ask(provider, "x", number=number) == ERR


async def test_a_second_start_configures_anew_and_a_bad_one_changes_nothing(
    subject: Any,
) -> None:
    provider = await started(subject)
    for configuration in subject.bad:
        with pytest.raises(RejectedError):
            await subject.stage.start(provider, configuration)
    assert await subject.use(provider)
    await subject.stage.start(provider, subject.good)
    assert await subject.use(provider)


async def test_what_is_for_the_placement_is_no_matter_of_a_provider(subject: Any) -> None:
    provider = await subject.stage.open(subject.class_type, **subject.settings)
    wanted = {
        "max_instances": "1",
        "node_id_match_any": "edge/0",
        "label_match_all": "red",
        "resource_match_all": f"{subject.class_type}-1",
        "tee": "required",
        "tpm": "required",
    }
    assert set(wanted) == set(REQUIREMENT_KEYS)
    await subject.stage.start(provider, subject.good | wanted)
    await subject.stage.patch(provider)
    assert await subject.use(provider)


def test_it_says_what_it_does_and_what_its_keys_mean(subject: Any) -> None:
    twins = [provider_class(subject.class_type, simulated=simulated) for simulated in (True, False)]
    for found in twins:
        texts = (found.description, *found.configurations, *found.configurations.values())
        assert all(text and text.isprintable() and text == text.strip() for text in texts)
        assert set(subject.good) - {"methods"} <= set(found.configurations)
    [described] = {found.description for found in twins}
    assert described
    assert twins[0].configurations == twins[1].configurations


async def test_every_event_is_answered_exactly_once(subject: Any) -> None:
    provider = await started(subject)
    kinds = (EventType.CAST, EventType.CALL)
    answers = [subject.stage.send(provider, f"{n}", kinds[n % 2]) for n in range(200)]
    await subject.stage.until(lambda: all(answers))
    assert {len(each) for each in answers} == {1}


async def test_an_instance_that_does_not_exist_answers_err(subject: Any) -> None:
    provider = await started(subject)
    for kind in (EventType.CAST, EventType.CALL):
        assert await subject.stage.ask(provider, "x", kind, number=77) == ERR


async def test_a_stopped_instance_answers_err_and_stopping_twice_does_no_harm(
    subject: Any,
) -> None:
    provider = await started(subject)
    in_hand = [subject.stage.send(provider, f"{n}") for n in range(20)]
    await provider.stop(subject.stage.pid())
    await provider.stop(subject.stage.pid())
    assert await subject.stage.ask(provider, "x") == ERR
    await subject.stage.until(lambda: all(in_hand))
    assert {len(each) for each in in_hand} == {1}


async def test_instances_that_come_and_go_leave_nothing_behind(subject: Any) -> None:
    provider = await started(subject)
    tasks = subject.stage.supervisor.tasks_total
    for number in range(2, 52):
        await subject.stage.start(provider, subject.neighbour(), number)
        await provider.stop(subject.stage.pid(number))
    await subject.stage.until(lambda: subject.stage.supervisor.tasks_total == tasks)
    assert await subject.use(provider)


async def test_closing_ends_everything_with_events_in_hand_and_twice(subject: Any) -> None:
    provider = await started(subject)
    for number in range(20):
        subject.stage.send(provider, f"{number}")
    provider.close()
    provider.close()
    await subject.stage.until(lambda: subject.stage.supervisor.tasks_total == 0)


async def test_a_provider_that_never_opened_can_be_closed(subject: Any) -> None:
    host = subject.stage.host(**subject.settings)
    create_provider(subject.class_type, f"{subject.class_type}-1", host).close()


async def test_a_back_end_that_fails_fails_its_own_instance_only_and_not_for_ever(
    subject: Any, fault: str
) -> None:
    provider = await started(subject)
    await subject.stage.start(provider, subject.neighbour(), 2)
    await subject.stage.patch(provider, 2)
    assert await subject.use(provider)
    await subject.fail(fault)
    using = asyncio.get_running_loop().create_task(subject.use(provider))
    for _ in range(5 if subject.has_neighbour else 0):
        assert await subject.use(provider, 2)
    async with asyncio.timeout(PATIENCE_S):
        assert not await using
    if not subject.recovers:
        return
    await subject.fail("none")
    async with asyncio.timeout(PATIENCE_S):
        while not await subject.use(provider):  # noqa: ASYNC110 - a back-end has no event
            await asyncio.sleep(0.02)
