"""What the checker of the journal takes for explained, and what not."""

from typing import Any, Final

from edgeless_sim.testing.journal_checker import JournalChecker

SENT: Final[tuple[tuple[Any, ...], ...]] = (
    (1, "def", 1, "instance", "aa"),
    (1, "def", 2, "instance", "bb"),
    (2, "send", 7, 1, 2, 0, 5),
    (3, "send", 8, 1, 2, 0, 5),
)


def told(*records: tuple[Any, ...]) -> JournalChecker:
    checker = JournalChecker()
    checker((*SENT, *records))
    checker.check()
    return checker


def test_an_event_that_nobody_mentions_again_is_unexplained() -> None:
    assert told().unexplained() == [7, 8]


def test_a_loss_is_explained_by_its_cause() -> None:
    checker = told((4, "drop", 7, 2, "node crashed"))
    assert checker.unexplained() == [8]
    assert checker.dropped == 1


def test_what_a_dying_node_was_handing_on_may_be_lost() -> None:
    assert told((4, "state", 2, "cut off", "7")).unexplained() == [8]


def test_what_a_dying_node_was_handing_on_may_have_arrived() -> None:
    checker = told(
        (4, "state", 2, "cut off", "7"),
        (5, "recv", 7, 2),
        (6, "begin", 7, 2, 1, 4),
        (7, "end", 7, 2, 0, 0, "ok"),
    )
    assert checker.unexplained() == [8]
    assert checker.handled == 1
