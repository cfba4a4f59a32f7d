"""The pytest plugin, as a project that uses it sees it."""

import pytest

pytest_plugins = ["pytester"]


def outcome(pytester: pytest.Pytester, marker: str, body: str = "pass", *options: str) -> str:
    pytester.makepyfile(f"import pytest\n{marker}\nasync def test_it(cluster):\n    {body}\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)
    return result.stdout.str()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("sed=3", "unknown keyword 'sed'; did you mean 'seed'?"),
        ("'noop'", "takes keywords only"),
        ("seed='3'", "'seed' is a whole number"),
        ("seed=True", "'seed' is a whole number"),
        ("scenario='nop'", "did you mean 'noop'?"),
    ],
)
def test_a_wrong_marker_is_refused(pytester: pytest.Pytester, arguments: str, reason: str) -> None:
    assert reason in outcome(pytester, f"@pytest.mark.edgeless({arguments})")


def test_a_shipped_scenario_runs_by_name_with_its_own_seed(pytester: pytest.Pytester) -> None:
    text = outcome(pytester, "@pytest.mark.edgeless(scenario='noop')", "assert 0")
    assert "seed 1; repeat it with: pytest" in text


def test_the_option_replaces_the_seed_of_the_scenario(pytester: pytest.Pytester) -> None:
    marker = "@pytest.mark.edgeless(scenario='noop')"
    assert "seed 9; repeat" in outcome(pytester, marker, "assert 0", "--edgeless-seed=9")


def test_a_failing_setup_says_how_to_repeat_it(pytester: pytest.Pytester) -> None:
    fixture = "@pytest.fixture(autouse=True)\ndef bad(cluster):\n    assert 0\n"
    assert "seed 0; repeat it with: pytest" in outcome(pytester, fixture)
