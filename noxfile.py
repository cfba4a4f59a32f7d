"""What is checked before a change goes in: lint, types, tests, and the package as users get it.

``nox`` runs everything on the current interpreter but what takes minutes or the guide's ports;
``nox -s tests`` runs the tests on every supported interpreter that is installed. In an environment
that already has ``.[dev]``, ``nox --no-venv --no-install`` makes no environments of its own. This
is not where tools are configured: that is pyproject.toml.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Final

import nox

PYTHONS: Final = ("3.11", "3.12", "3.13")
CURRENT: Final = f"{sys.version_info.major}.{sys.version_info.minor}"

nox.needs_version = ">=2025.2"
nox.options.sessions = ["lint", "types", f"tests-{CURRENT}", "package"]
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False

#: What an installed wheel must be able to do without any extra.
PLAIN_CHECK: Final = dedent("""
    from importlib.resources import files

    import edgeless_sim
    import edgeless_transports

    for package in (edgeless_sim, edgeless_transports):
        assert "site-packages" in package.__file__, package.__file__
        assert files(package).joinpath("py.typed").is_file(), package
        for name in package.__all__:
            getattr(package, name)
""")

#: A test suite that has nothing to do with us, in an environment where our plugin is installed.
UNRELATED_TEST: Final = dedent("""
    import sys

    # anyio is not among them: it brings a pytest plugin of its own.
    HEAVY = {"edgeless_sim.cluster", "hypothesis", "msgspec", "pydantic", "typer", "wasmtime"}


    def test_the_plugin_is_there(request):
        assert request.config.pluginmanager.has_plugin("edgeless-sim")


    def test_the_plugin_loaded_nothing_heavy():
        assert not HEAVY & sys.modules.keys()
""")

#: What a user's first test looks like; the workflow comes with the wheel.
CLUSTER_TEST: Final = dedent("""
    import sys
    from pathlib import Path

    SCENARIOS = Path(sys.prefix) / "share" / "edgeless-sim" / "scenarios"


    async def test_a_workflow_finds_a_node(cluster):
        await cluster.start_workflow(SCENARIOS / "noop" / "workflow.json", name="w")
        await cluster.settled()
        assert await cluster.host_of("w/noop") in cluster.nodes
""")

#: What Maven is told to fetch a broker: Apache's download has the same jars.
KAFKA_PROJECT: Final = dedent("""
    <project xmlns="http://maven.apache.org/POM/4.0.0">
      <modelVersion>4.0.0</modelVersion>
      <groupId>edgeless-sim</groupId>
      <artifactId>broker</artifactId>
      <version>1</version>
      <packaging>pom</packaging>
      <dependencies>
        <dependency>
          <groupId>org.apache.kafka</groupId>
          <artifactId>kafka_2.13</artifactId>
          <version>4.1.2</version>
        </dependency>
      </dependencies>
    </project>
""").strip()

CLUSTER_SETTINGS: Final = dedent("""
    [pytest]
    asyncio_default_fixture_loop_scope = function
    filterwarnings = error
""")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and the arrows between the layers."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types, tests included."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite; arguments after ``--`` go to pytest."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def worlds(session: nox.Session) -> None:
    """What is slow because its time is real: every scenario over tcp and gRPC; some minutes."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", "-m", "slow", *session.posargs)


@nox.session
def explore(session: nox.Session) -> None:
    """A thousand seeds of random operations and faults; some minutes. Arguments go to explore."""
    session.install("-e", ".[dev]")
    options = session.posargs or ("--seeds", "1000")
    session.run("python", "-m", "edgeless_sim", "explore", *options)


@nox.session
def kills(session: nox.Session) -> None:
    """The ε-CON of a deployment killed a hundred times; some minutes."""
    session.install("-e", ".[dev]")
    test = "tests/deployment/test_kills.py"
    options = ("-s", "-m", "slow or not slow")
    session.run("python", "-m", "pytest", *options, test, env={"EDGELESS_KILLS": "100"})


@nox.session
def kafka(session: nox.Session) -> None:
    """kafka-egress beside Apache Kafka, which is fetched (45 MB); needs Java 17 and Maven."""
    session.install("-e", ".[dev]")
    with TemporaryDirectory(prefix="edgeless-sim-kafka-") as folder:
        project, jars = Path(folder) / "pom.xml", Path(folder) / "jars"
        project.write_text(KAFKA_PROJECT, encoding="utf-8")
        fetch = ("dependency:copy-dependencies", f"-DoutputDirectory={jars}")
        session.run("mvn", "-B", "-q", "-f", str(project), *fetch, external=True)
        test = "tests/resources/test_kafka_broker.py"
        command = ("python", "-m", "pytest", "-m", "slow", test, *session.posargs)
        session.run(*command, env={"EDGELESS_KAFKA_JARS": str(jars)})


@nox.session
def guide(session: nox.Session) -> None:
    """docs/guide.md typed with the ports that it names, which must be free."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", "tests/guide", env={"EDGELESS_GUIDE_PORTS": "1"})


@nox.session
def package(session: nox.Session) -> None:
    """Build sdist and wheel and use the wheel far from this repository, as a stranger would."""
    session.install("build")
    with TemporaryDirectory(prefix="edgeless-sim-package-") as folder:
        place = Path(folder)
        wheel = _build(session, place / "dist")
        user = _User(session, place / "home")
        _the_plain_wheel_works(user, wheel)
        _unrelated_tests_still_run(user)
        _the_cluster_fixture_works(user, wheel)


@nox.session(name="functions-rust")
def functions_rust(session: nox.Session) -> None:
    """Rebuild the functions in Rust and compare; needs Debian 12's compiler, which it names."""
    session.install("-e", ".[dev]")
    session.run("python", "functions/build.py", "--check", "--language", "rust")
    session.run("python", "-m", "pytest", "tests/functions/test_sdk_rust.py", "tests/guide")


class _User:
    """Somebody with an environment and a folder of their own, outside the repository."""

    def __init__(self, session: nox.Session, home: Path) -> None:
        self._session = session
        self._home = home
        self._programs = home / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        home.mkdir()
        session.run("python", "-m", "venv", str(home / "venv"))

    def install(self, *what: str) -> None:
        self.run("python", "-m", "pip", "install", "--quiet", *what)

    def run(self, program: str, *arguments: str) -> None:
        command = (str(self._programs / program), *arguments)
        with self._session.chdir(self._home):
            # A PYTHONPATH of ours would hide what the wheel forgot.
            self._session.run(*command, env={"PYTHONPATH": None}, external=True)

    def run_tests(self, name: str, **files: str) -> None:
        """Write *files* (name without dot -> text) into a fresh folder *name* and run pytest."""
        folder = self._home / name
        folder.mkdir()
        for file, text in files.items():
            suffix = "py" if file.startswith("test_") else "ini"
            (folder / f"{file}.{suffix}").write_text(text, encoding="utf-8")
        self.run("python", "-m", "pytest", "-q", f"--rootdir={folder}", str(folder))


def _build(session: nox.Session, dist: Path) -> Path:
    """Build an sdist, and from it the wheel: what the sdist lacks, the wheel lacks too."""
    session.run("python", "-m", "build", "--outdir", str(dist))
    sdists, wheels = sorted(dist.glob("*.tar.gz")), sorted(dist.glob("*.whl"))
    if len(sdists) != 1 or len(wheels) != 1:
        session.error(f"expected one sdist and one wheel, found {sdists + wheels}")
    return wheels[0]


def _the_plain_wheel_works(user: _User, wheel: Path) -> None:
    user.install(str(wheel))
    user.run("python", "-W", "error", "-c", PLAIN_CHECK)
    user.run("edgeless-sim", "--help")


def _unrelated_tests_still_run(user: _User) -> None:
    user.install("pytest")
    user.run_tests("unrelated", test_unrelated=UNRELATED_TEST)


def _the_cluster_fixture_works(user: _User, wheel: Path) -> None:
    user.install(f"{wheel}[test]")
    user.run_tests("own", test_own=CLUSTER_TEST, pytest=CLUSTER_SETTINGS)
