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
        ("world='mars'", "'world' is one of sim, tcp, grpc"),
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


@pytest.mark.parametrize("world", ["tcp", "grpc"])
def test_a_cluster_runs_in_the_world_of_the_option(pytester: pytest.Pytester, world: str) -> None:
    text = outcome(pytester, "", "assert cluster.world == 'sim'", f"--edgeless-world={world}")
    assert f"assert '{world}' == 'sim'" in text
    command = f"--edgeless-seed 0 --edgeless-world {world}"
    assert f"world {world}, seed 0; repeat it with: pytest" in text
    assert command in text


def test_the_markers_world_goes_before_the_options_and_markers_add_up(
    pytester: pytest.Pytester,
) -> None:
    marker = (
        "pytestmark = pytest.mark.edgeless(scenario='noop', world='grpc')\n"
        "@pytest.mark.parametrize('w', [pytest.param(1, marks=pytest.mark.edgeless(world='tcp'))])"
    )
    pytester.makepyfile(
        f"import pytest\n{marker}\nasync def test_it(cluster, w):\n"
        "    assert (cluster.world, list(cluster.nodes)) == ('tcp', ['edge/0'])\n"
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--edgeless-world=sim")
    result.assert_outcomes(passed=1)


def test_a_world_that_does_not_exist_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--edgeless-world=mars")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "'mars' is none of sim, tcp, grpc" in result.stderr.str()


def test_virtual_time_and_a_real_world_do_not_go_together(pytester: pytest.Pytester) -> None:
    text = outcome(
        pytester,
        "@pytest.mark.edgeless(world='tcp')\n@pytest.mark.usefixtures('virtual_time')",
    )
    assert "a cluster in the world tcp is in real time" in text


def test_a_bug_in_a_callback_fails_the_test_in_real_time_too(pytester: pytest.Pytester) -> None:
    body = "cluster.scheduler.call_soon(lambda: 1 / 0); await cluster.clock.sleep(0.05)"
    assert "ZeroDivisionError" in outcome(pytester, "", body, "--edgeless-world=tcp")
