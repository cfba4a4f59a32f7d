"""Actors: one request at a time, in order, each call with an end."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from edgeless_sim.errors import (
    EdgelessError,
    RejectedError,
    UnknownComponentError,
    UnreachableError,
)
from edgeless_sim.kernel.actor import MAILBOX_MAX, Actor
from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_sim.kernel.supervisor import Supervisor

S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Work:
    """Takes some time, then answers or fails."""

    name: str
    seconds: float = 0
    error: Exception | None = None


class Worker(Actor[Work]):
    """Does its work and keeps a record of it."""

    def __init__(self, supervisor: Supervisor, **options: Any) -> None:
        super().__init__("worker", supervisor.spawn, **options)
        self.seen: list[str] = []
        self.active = 0
        self.cast_errors: list[tuple[str, str]] = []

    async def handle(self, request: Work) -> str:
        self.active += 1
        assert self.active == 1, "two requests at a time"
        self.seen.append(request.name)
        try:
            if request.seconds:
                await anyio.sleep(request.seconds)
            if request.error is not None:
                raise request.error
        finally:
            self.active -= 1
        return request.name.upper()

    def on_cast_error(self, request: Work, error: EdgelessError) -> None:
        self.cast_errors.append((request.name, str(error)))


def now_ns() -> int:
    return current_scheduler().now_ns()


def with_worker(
    main: Callable[[Worker, Supervisor], Coroutine[Any, Any, None]], **options: Any
) -> None:
    async def outer() -> None:
        async with Supervisor.open() as supervisor:
            await main(Worker(supervisor, **options), supervisor)

    run(outer)


def test_a_call_returns_what_the_handler_returns() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        assert await worker.call(Work("a", 1), timeout_s=5) == "A"
        assert now_ns() == S

    with_worker(main)


def test_requests_are_served_one_at_a_time_in_their_order() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(lambda name: worker.call(Work(name, 1), timeout_s=9), name)
            await anyio.lowlevel.checkpoint()
            worker.cast(Work("d", 1))
        await anyio.sleep(10)
        assert worker.seen == ["a", "b", "c", "d"]

    with_worker(main)


def test_an_edgeless_error_is_raised_at_the_caller_and_the_actor_goes_on() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        refusal = UnknownComponentError("no such thing", "x")
        with pytest.raises(UnknownComponentError) as caught:
            await worker.call(Work("a", error=refusal), timeout_s=5)
        assert caught.value is refusal
        assert await worker.call(Work("b"), timeout_s=5) == "B"

    with_worker(main)


def test_a_refused_cast_is_told_to_the_actor_only() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        worker.cast(Work("a", error=RejectedError("no")))
        worker.cast(Work("b"))
        await anyio.sleep(1)
        assert worker.cast_errors == [("a", "no")]
        assert worker.seen == ["a", "b"]

    with_worker(main)


def test_a_call_ends_at_its_deadline_and_the_request_is_served_all_the_same() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        with pytest.raises(UnreachableError, match=r"worker did not answer within 0\.5 s"):
            await worker.call(Work("slow", 2), timeout_s=0.5)
        assert now_ns() == S // 2
        assert await worker.call(Work("next"), timeout_s=5) == "NEXT"
        assert now_ns() == 2 * S
        assert worker.seen == ["slow", "next"]

    with_worker(main)


def test_an_answered_call_leaves_no_timer() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        await worker.call(Work("a"), timeout_s=60)
        await anyio.lowlevel.checkpoint()
        assert current_scheduler().foreground_pending() == 0

    with_worker(main)


def test_a_caller_that_goes_away_disturbs_nobody() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        with anyio.move_on_after(1):
            await worker.call(Work("a", 2), timeout_s=60)
        with anyio.move_on_after(0.5):
            await worker.call(Work("b", error=RejectedError("no")), timeout_s=60)
        assert await worker.call(Work("c"), timeout_s=60) == "C"
        assert worker.seen == ["a", "b", "c"]

    with_worker(main)


def test_a_full_mailbox_refuses() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        worker.cast(Work("served", 1))
        await anyio.lowlevel.checkpoint()
        for number in range(3):
            worker.cast(Work(str(number)))
        with pytest.raises(RejectedError, match="mailbox full"):
            worker.cast(Work("too many"))
        with pytest.raises(RejectedError, match="mailbox full"):
            await worker.call(Work("too many"), timeout_s=1)
        await anyio.sleep(2)
        worker.cast(Work("again"))
        await anyio.lowlevel.checkpoint()
        assert worker.seen == ["served", "0", "1", "2", "again"]

    with_worker(main, mailbox_max=3)


def test_a_mailbox_is_bounded_unless_told_otherwise() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        for number in range(MAILBOX_MAX):
            worker.cast(Work(str(number)))
        with pytest.raises(RejectedError):
            worker.cast(Work("too many"))

    with_worker(main)


def test_an_idle_actor_has_no_task() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        assert (supervisor.tasks_total, worker.idle) == (0, True)
        worker.cast(Work("a", 1))
        worker.cast(Work("b", 1))
        assert (supervisor.tasks_total, worker.idle) == (1, False)
        await anyio.sleep(3)
        assert (supervisor.tasks_total, worker.idle) == (0, True)

    with_worker(main)


def test_stopping_answers_those_who_wait_and_refuses_others() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        ends: list[tuple[str, int]] = []

        async def call(name: str) -> None:
            try:
                ends.append((await worker.call(Work(name, 2), timeout_s=60), now_ns()))
            except UnreachableError as error:
                ends.append((f"{name}: {error}", now_ns()))

        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(call, name)
            await anyio.sleep(1)
            worker.stop()
            worker.stop()
            group.start_soon(call, "d")
            with pytest.raises(UnreachableError, match="worker has stopped"):
                worker.cast(Work("e"))
        # The one that was being served is answered.
        assert sorted(ends) == [
            ("A", 2 * S),
            ("b: worker has stopped", S),
            ("c: worker has stopped", S),
            ("d: worker has stopped", S),
        ]
        assert worker.seen == ["a"]

    with_worker(main)


def test_a_bug_ends_the_run_bare_although_somebody_waits_for_the_answer() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        await worker.call(Work("a", 1, AssertionError("a bug")), timeout_s=60)

    with pytest.raises(AssertionError, match="a bug"):
        with_worker(main)


def test_a_bug_leaves_no_caller_waiting_and_serves_nothing_more() -> None:
    seen: list[tuple[str, str, int]] = []

    async def call(worker: Worker, work: Work) -> None:
        try:
            await worker.call(work, timeout_s=60)
        except UnreachableError as error:
            seen.append((work.name, str(error), now_ns()))

    async def main(worker: Worker, supervisor: Supervisor) -> None:
        supervisor.spawn(call(worker, Work("a", 1, AssertionError("a bug"))), "first")
        supervisor.spawn(call(worker, Work("b")), "second")
        supervisor.on_stop("the end", lambda: check(worker))
        await anyio.sleep(1000)

    async def check(worker: Worker) -> None:
        assert worker.seen == ["a"]
        with pytest.raises(UnreachableError):
            worker.cast(Work("c"))
        seen.append(("end", "", now_ns()))

    with pytest.raises(AssertionError, match="a bug"):
        with_worker(main)
    assert sorted(seen) == [
        ("a", "worker failed: AssertionError('a bug')", S),
        ("b", "worker has stopped", S),
        ("end", "", S),
    ]


def test_a_bug_in_a_cast_ends_the_run_too() -> None:
    async def main(worker: Worker, supervisor: Supervisor) -> None:
        worker.cast(Work("a", 1, ValueError("a bug")))
        await anyio.sleep(1000)

    with pytest.raises(ValueError, match="a bug"):
        with_worker(main)


@pytest.mark.parametrize("world", ["sim", "tcp"])
def test_actors_call_each_other_in_either_world(world: str) -> None:
    class Upper(Actor[int]):
        def __init__(self, supervisor: Supervisor, lower: Worker) -> None:
            super().__init__("upper", supervisor.spawn)
            self.lower = lower

        async def handle(self, request: int) -> str:
            replies = [
                await self.lower.call(Work(f"x{number}"), timeout_s=5) for number in range(request)
            ]
            return " ".join(replies)

    async def main() -> str:
        async with Supervisor.open() as supervisor:
            upper = Upper(supervisor, Worker(supervisor))
            answer: str = await upper.call(3, timeout_s=5)
            return answer

    assert run(main, world=world) == "X0 X1 X2"
