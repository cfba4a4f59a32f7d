"""metrics-collector in virtual time: what is kept, and what becomes of it when Redis is away.

The logic is that of the real class (spec 6.14). How much of anything there may be is in
``test_simulated_collector_limits.py``.
"""

import pytest
from tests.resources.simulated.collector_stage import ADDRESS, FUNCTION, Stage, played

from edgeless_sim.model.event import ERR, NO_REPLY, EventType
from edgeless_sim.resources.simulated.redis import RedisServer


def test_a_transaction_becomes_a_sample_with_its_time_and_a_moving_average() -> None:
    async def body(stage: Stage) -> None:
        await stage.start(alpha="0.25")
        await stage.clock.sleep(2)
        for seconds in (0.1, 0.2, 0.0049):
            await stage.measure(seconds)
        await stage.clock.sleep(1)
        assert stage.samples() == ["100,1767225602.100", "200,1767225602.300", "4,1767225602.304"]
        # 100; then 100 + (200 - 100) / 4 = 125; then 125 + (4 - 125) / 4.
        assert stage.held(f"{FUNCTION}:average") == "94.75"
        assert stage.counters == {"samples_written": 3}
        assert stage.warnings == []

    played(body)


def test_the_newest_sample_weighs_nine_tenths_unless_told_otherwise() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        await stage.measure(1.0)
        await stage.measure(2.0)
        await stage.clock.sleep(1)
        assert stage.held(f"{FUNCTION}:average") == "1900.0"

    played(body)


def test_functions_are_told_apart_by_who_sends_and_transactions_by_number() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        stage.send("function:begin:1", source=3)
        await stage.clock.sleep(0.01)
        stage.send("function:begin:1", source=4)
        stage.send("function:begin:2", source=3)
        await stage.clock.sleep(0.01)
        stage.send("function:end:2", EventType.CAST, source=3)
        stage.send("function:end:1", source=3)
        stage.send("function:end:1", source=4)
        await stage.clock.sleep(1)
        assert [text.split(",")[0] for text in stage.samples()] == ["10", "20"]
        [other] = stage.samples("function:00000000-0000-0000-0000-000000000004")
        assert other.startswith("10,")

    played(body)


def test_a_workflow_has_keys_of_its_name_in_the_database_of_the_url() -> None:
    async def body(stage: Stage) -> None:
        await stage.start(wf_name="wf0")
        await stage.measure(0.5, element="workflow")
        await stage.clock.sleep(1)
        assert stage.held("workflow:wf0:samples", 3) == "500,1767225600.500"
        assert stage.held("workflow:wf0:average", 3) == "500.0"
        assert stage.held("workflow:wf0:average") is None

    played(body, url="redis://store.lab/3")


def test_without_wf_name_messages_about_the_workflow_are_skipped_and_answered() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        assert stage.send("workflow:begin:1") == ERR
        assert stage.send("workflow:end:1", EventType.CAST) == ERR
        assert stage.counters == {"messages_skipped": 2}
        assert "no 'wf_name' is configured" in stage.warnings[0]

    played(body)


def test_a_malformed_message_and_an_end_without_a_begin_are_counted_and_harm_nobody() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        assert stage.send("function:begin") == ERR
        assert stage.send("x" * 100_000, EventType.CAST) == ERR
        assert stage.send("function:end:5") == ERR
        await stage.measure(0.1)
        assert stage.send("function:end:1") == ERR
        assert stage.counters | {"samples_written": 1} == {
            "messages_malformed": 2,
            "ends_without_begin": 2,
            "samples_written": 1,
        }
        assert max(map(len, stage.warnings)) < 200
        assert stage.warnings[2:] == [
            f"metrics-collector: the transaction 5 of {FUNCTION} has not begun",
            f"metrics-collector: the transaction 1 of {FUNCTION} has not begun",
        ]

    played(body)


def test_a_transaction_that_begins_again_counts_from_there() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        stage.send("function:begin:1")
        await stage.clock.sleep(1)
        await stage.measure(0.25)
        await stage.clock.sleep(1)
        assert [text.split(",")[0] for text in stage.samples()] == ["250"]

    played(body)


def test_a_reset_deletes_what_was_kept_and_nothing_is_kept_for_a_while() -> None:
    async def body(stage: Stage) -> None:
        await stage.start(wf_name="w")
        await stage.start(12)
        await stage.measure(0.1)
        await stage.measure(0.1, element="workflow")
        await stage.clock.sleep(1)
        server = stage.backends.of(RedisServer, ADDRESS)
        server.set(0, "foreign", "stays", at_ns=0)
        assert stage.send("reset:500", EventType.CAST, target=12) == NO_REPLY
        await stage.clock.sleep(0.2)
        assert (server.databases, server.lists) == ({0: {"foreign": "stays"}}, {0: {}})
        await stage.measure(0.1)
        assert stage.samples() == []
        await stage.clock.sleep(0.3)
        await stage.measure(0.3)
        await stage.clock.sleep(1)
        # The average begins anew: those of the last epoch, and of the pause, are not in it.
        assert [text.split(",")[0] for text in stage.samples()] == ["300"]
        assert stage.held(f"{FUNCTION}:average") == "300.0"

    played(body)


def test_a_reset_while_redis_is_away_is_made_up_for() -> None:
    async def body(stage: Stage) -> None:
        await stage.start()
        await stage.measure(0.1)
        await stage.clock.sleep(1)
        stage.state.down = True
        await stage.measure(0.2)
        stage.send("reset:0")
        await stage.measure(0.3)
        stage.state.down = False
        await stage.clock.sleep(3)
        assert [text.split(",")[0] for text in stage.samples()] == ["300"]

    played(body)


@pytest.mark.parametrize("fault", ["down", "wrong", "slow"])
def test_while_redis_is_away_samples_wait_and_are_written_in_their_order_later(fault: str) -> None:
    async def body(stage: Stage) -> None:
        stage.state.down, stage.state.wrong = fault == "down", fault == "wrong"
        stage.state.delay_ns = 10**13 if fault == "slow" else 0
        # Neither instances nor what they are told wait for it.
        await stage.start()
        for number in range(300):
            await stage.measure(0.01, number)
        assert stage.samples() == []
        assert stage.counters["attempts_failed"] >= 1
        stage.backends.state(ADDRESS).down = stage.state.wrong = False
        stage.state.delay_ns = 0
        await stage.clock.sleep(5)
        times = [text.split(",")[1] for text in stage.samples()]
        assert len(times) == 300
        assert times == sorted(times)
        assert times[0] == "1767225600.010"
        assert stage.counters["samples_written"] == 300
        assert all(text.endswith(" samples wait") for text in stage.warnings)

    played(body)
