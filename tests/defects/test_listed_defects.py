"""Each listed defect of EDGELESS, planted into the product, makes the test of the behaviour fail.

Spec of the defects: conformance cases, section 5 (U01 ...). A test that passes with a defect in the
product looks at something else than it says.
"""

import re
from typing import Final

import pytest
from tests.defects.catalog import LISTED, Listed
from tests.defects.planting import tried

#: What issue 7 asks for.
CODES: Final = [
    *(f"U{number:02}" for number in (*range(1, 8), *range(20, 25), 27, 28, *range(30, 39))),
]


def named(listed: Listed) -> str:
    return f"{listed.code}_{listed.what.replace(' ', '_')}"


def is_right(listed: Listed, failure: str) -> bool:
    """Whether the test fails because it sees the defect, not because it cannot run any more."""
    if listed.shows:
        return listed.shows in failure
    return re.match(r"\S*tests/\S+: AssertionError$", failure.splitlines()[-1]) is not None


@pytest.mark.parametrize("listed", LISTED, ids=named)
def test_a_listed_defect_makes_its_test_fail(listed: Listed) -> None:
    trial = tried(listed.test, listed.plant)
    if any(each.startswith("skipped") for each in trial.sound):
        pytest.skip(trial.sound[0][-200:])
    assert not any(trial.sound), trial.sound
    failures = [each for each in trial.planted if each]
    assert failures, f"{listed.test} passes although {listed.what}"
    assert any(is_right(listed, each) for each in failures), failures[0]


def test_every_listed_defect_is_planted() -> None:
    assert sorted({listed.code for listed in LISTED}) == CODES
