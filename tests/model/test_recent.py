"""Recent remembers the last values that were added, and no more than it may."""

from edgeless_sim.model.recent import Recent


def test_the_oldest_value_is_forgotten() -> None:
    recent: Recent[int] = Recent(2)
    for value in (1, 2, 3):
        recent.add(value)
    assert [value in recent for value in (1, 2, 3)] == [False, True, True]
    assert len(recent) == 2


def test_a_value_that_is_added_again_is_the_latest() -> None:
    recent: Recent[int] = Recent(2)
    for value in (1, 2, 1, 3):
        recent.add(value)
    assert [value in recent for value in (1, 2, 3)] == [True, False, True]
