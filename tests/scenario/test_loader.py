"""A TOML file becomes a scenario with all its defaults, or one error."""

from pathlib import Path

import pytest

from edgeless_sim.cluster.topology import BalancerTopology, LinkTopology, NodeGroup
from edgeless_sim.errors import ScenarioError
from edgeless_sim.resources.catalog import provider_class
from edgeless_sim.scenario.loader import load_scenario, parse_scenario
from edgeless_sim.scenario.model import Scenario

HEAD = 'name = "x"\nduration = "10s"\n[[domain]]\nname = "edge"\nnodes = [{count = 2}]\n'
WORKFLOW = '{"functions": [], "resources": [], "annotations": {}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "workflow.json").write_text(WORKFLOW)
    return tmp_path


def parse(folder: Path, more: str = "") -> Scenario:
    return parse_scenario((HEAD + more).encode(), folder=folder)


def refusal(folder: Path, more: str) -> str:
    with pytest.raises(ScenarioError) as raised:
        parse(folder, more)
    return str(raised.value)


def test_a_scenario_becomes_a_topology(folder: Path) -> None:
    text = """
name = "x"
duration = "1min"
call_timeout = "2s"
fuel_per_event = 5000
[[domain]]
name = "edge"
strategy = "RoundRobin"
keep_alive = "4s"
  [[domain.nodes]]
  count = 3
  labels = ["tier=edge"]
  cpus = 2
  clock_mhz = 1500
  memory = "2GiB"
  providers = ["file-log"]
  runtimes = ["RUST_WASM"]
  tee = true
  [[domain.nodes]]
[[domain]]
name = "cloud"
nodes = [{}]
[network]
latency = "5ms"
jitter = "1ms"
  [[network.link]]
  between = ["edge", "cloud"]
  latency = "30ms"
  loss = 0.01
  bandwidth = "10MB/s"
"""
    topology = parse_scenario(text.encode(), folder=folder).topology()
    edge, cloud = topology.domains
    assert (edge.name, edge.strategy, edge.keep_alive_s) == ("edge", "RoundRobin", 4.0)
    assert edge.nodes == (
        NodeGroup(3, 2, 1500.0, 2048, ("tier=edge",), ("RUST_WASM",), ("file-log",), tee=True),
        NodeGroup(),
    )
    assert (cloud.nodes, cloud.keep_alive_s) == ((NodeGroup(),), 2.0)
    assert topology.links == (
        LinkTopology("", "", 5_000_000, 1_000_000),
        LinkTopology("edge", "cloud", 30_000_000, 0, 0.01, 10_000_000),
    )
    assert (topology.call_timeout_s, topology.fuel_per_event) == (2.0, 5000)
    assert topology.python_folders == (folder.resolve(),)


def test_a_byte_order_mark_is_accepted(folder: Path) -> None:
    assert parse_scenario(b"\xef\xbb\xbf" + HEAD.encode(), folder=folder).name == "x"


def test_a_folder_stands_for_the_file_in_it(folder: Path) -> None:
    (folder / "scenario.toml").write_text(HEAD)
    assert load_scenario(folder).name == "x"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "scenario.toml")
    with pytest.raises(ScenarioError, match="not a regular file"):
        load_scenario(tmp_path / "scenario.toml")


def test_at_most_ten_problems_are_listed(folder: Path) -> None:
    lines = refusal(folder, '[[step]]\ndo = "heal"\n' * 30).splitlines()
    assert len(lines) == 11
    assert lines[0] == "scenario.toml:6: step[0].at: the key 'at' is missing"
    assert lines[10] == "and 20 more"


def test_a_field_name_is_no_key(folder: Path) -> None:
    assert "unknown key 'steps'; did you mean 'step'?" in refusal(folder, "[steps]\n")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('at = "1s"', "the key 'do' is missing; known values: start_workflow, stop_workflow"),
        ('at = "1s"\ndo = "heal"\nnode = "edge/0"', "unknown key 'node'"),
        ('at = "1s"\ndo = "cordon"\nnode = 3', "expected a text in quotes, found a number"),
        ('at = "1s"\ndo = "cordon"\nnode = "@work/x"', "unknown workflow"),
        ('at = "1s"\ndo = "cordon"\nnode = "edge/00"', "'edge/0' to 'edge/1'"),
        ('at = "1s"\ndo = "migrate"\ncomponent = "x"\nto = "edge/0"', "is not WORKFLOW/COMPONENT"),
        ('at = "1s"\ndo = "migrate"\ncomponent = "x/y"\nto = "edge/0"', "unknown workflow"),
        ('at = "1s"\ndo = "migrate"\ncomponent = "x/y"\nto = "edge/00"', "'edge/0' to 'edge/1'"),
        ('at = "1s"\ndo = "restart_node"\nnode = "edge/0"', "'edge/0' is up at 1s"),
        ('at = "1s"\ndo = "crash_orchestrator"\ndomain = "egde"', "did you mean 'edge'?"),
        ('at = "1s"\ndo = "partition"\nbetween = [[], []]', "at least one side"),
        ('at = "1s"\ndo = "partition"\nbetween = ["edge"]', "expected an array, found the text"),
        ('at = "1s"\ndo = "degrade"', "one of 'loss', 'latency', 'jitter', 'bandwidth', "),
        ('at = "1s"\ndo = "degrade"\nduplicate = 2', "less than or equal to 1"),
        ('at = "1s"\ndo = "degrade"\nreorder = 0.1\nreorder_window = "0s"', "greater than 0"),
        ('at = "1s"\ndo = "degrade"\nloss = 0.1\nreorder_window = "1s"', "without 'reorder'"),
        ('at = "1s"\ndo = "degrade"\nbandwidth = "10"', "a rate with its unit"),
        ('at = "1s"\ndo = "degrade"\nloss = nan', "number"),
        ('at = "1s"\ndo = "send"\nto = "x"', "is not WORKFLOW/COMPONENT"),
        ('at = "1s"\ndo = "start_workflow"', "the key 'as' is missing"),
    ],
)
def test_a_wrong_step_is_refused(folder: Path, more: str, reason: str) -> None:
    text = refusal(folder, f"[[step]]\n{more}\n")
    assert reason in text
    assert text.startswith("scenario.toml:")


JOINED = """
[[domain]]
name = "hub"
nodes = [{}]
[[balancer]]
domain = "edge"
portal = "hub"
"""


def test_balancers_join_domains_and_are_at_the_ends_of_links(folder: Path) -> None:
    link = '[[network.link]]\nbetween = ["edge/bal-hub", "hub/bal-edge"]\n'
    scenario = parse(folder, JOINED + link)
    assert scenario.topology().balancers == (BalancerTopology("edge", "hub"),)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('[[balancer]]\ndomain = "edge"', "the key 'portal' is missing"),
        ('[[balancer]]\ndomain = "edge"\nportal = "hbu"', "did you mean 'hub'?"),
        ('[[balancer]]\ndomain = "hub"\nportal = "hub"', "'hub' is joined to itself"),
        ('[[balancer]]\ndomain = "edge"\nportal = "hub"', "two balancers join 'edge' to 'hub'"),
        (
            '[[step]]\nat = "1s"\ndo = "crash_balancer"\ndomain = "hub"\nportal = "edge"',
            "no balancer joins 'hub' to 'edge'; known: edge to hub",
        ),
        (
            '[[step]]\nat = "1s"\ndo = "restart_balancer"\ndomain = "edge"\nportal = "hub"',
            "'bal/edge/hub' is up at 1s",
        ),
        ('[[step]]\nat = "1s"\ndo = "crash_node"\nnode = "edge/bal-hub"', "unknown node"),
        ('[[network.link]]\nbetween = ["edge/bal-lab", "hub"]', "unknown node"),
    ],
)
def test_a_balancer_that_joins_nothing_is_refused(folder: Path, more: str, reason: str) -> None:
    assert reason in refusal(folder, f"{JOINED}{more}\n")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('what = "component_on"\nworkflow = "w"\ncomponent = "c"', "exactly one of"),
        ('what = "events_handled"\nworkflow = "w"', "one of 'min', 'max', 'exactly'"),
        ('what = "events_handled"\nworkflow = "w"\nmin = 3\nmax = 2', "min = 3 is more than"),
        ('what = "file_contains"\nfile = "f"', "one of 'text', 'lines_min' is needed"),
        ('what = "file_contains"\nfile = "f"\ntext = ""\nnode = "x/0"', "unknown node 'x/0'"),
        ('what = "events_handled"\nworkflow = "w"\nmin = 3\nexactly = 3', "remove 'min'"),
        ('what = "losses_max"\ncount = 1\ncause = "partitoin"', "did you mean 'partition'?"),
        ('what = "no_losses"\nat = "11s"', "the run ends before that, at 10s"),
        ('what = "all_components_running"\nafter = "5s"\nwithin = "6s"', "beyond the end"),
        ('what = "no_loss"', "did you mean 'no_losses'?"),
    ],
)
def test_a_wrong_expectation_is_refused(folder: Path, more: str, reason: str) -> None:
    start = '[[step]]\nat = "1s"\ndo = "start_workflow"\nas = "w"\n'
    assert reason in refusal(folder, f"{start}[[expect]]\n{more}\n")


def test_a_workflow_may_not_be_used_before_it_starts(folder: Path) -> None:
    more = (
        '[[step]]\nat = "5s"\ndo = "start_workflow"\nas = "w"\n'
        '[[step]]\nat = "4s"\ndo = "stop_workflow"\nworkflow = "w"\n'
    )
    assert "'w' is started later, at 5s" in refusal(folder, more)


def test_a_name_is_not_started_twice_unless_it_was_stopped(folder: Path) -> None:
    start = '[[step]]\nat = "{}s"\ndo = "start_workflow"\nas = "w"\n'
    stop = '[[step]]\nat = "2s"\ndo = "stop_workflow"\nworkflow = "w"\n'
    assert "is running already" in refusal(folder, start.format(1) + start.format(3))
    assert len(parse(folder, start.format(1) + stop + start.format(3)).steps) == 3


def test_an_outage_that_ends_by_itself_is_no_contradiction(folder: Path) -> None:
    crash = '[[step]]\nat = "{}s"\ndo = "crash_node"\nnode = "edge/0"\nrestart_after = "2s"\n'
    assert len(parse(folder, crash.format(1) + crash.format(3)).steps) == 2
    assert "is down already at 2s" in refusal(folder, crash.format(1) + crash.format(2))


def test_what_happens_after_the_end_is_a_warning(folder: Path) -> None:
    more = '[[step]]\nat = "5s"\ndo = "partition"\nbetween = [["edge"], []]\nheal_after = "6s"\n'
    warnings = parse(folder, more).warnings
    assert "step[0].heal_after: the run ends before that" in warnings
    assert len([w for w in warnings if "inconclusive" in w]) == 2


def test_a_jitter_above_the_latency_is_refused_with_its_place(folder: Path) -> None:
    more = '[network]\nlatency = "1ms"\njitter = "2ms"\n'
    text = refusal(folder, more)
    assert "network.jitter: more than the latency, 1ms: raise 'latency' to 2ms" in text
    link = '[[network.link]]\nbetween = ["edge", "con"]\njitter = "2ms"\n'
    assert "network.link[0].jitter: more than the latency" in refusal(folder, link)


def test_a_cause_of_a_refused_output_is_known(folder: Path) -> None:
    more = '[[expect]]\nwhat = "losses_max"\ncount = 1\ncause = "cast: the payload is larger"\n'
    assert len(parse(folder, more).expectations) == 1


@pytest.mark.parametrize("class_type", ["redis"])
def test_a_class_that_needs_real_sockets_is_refused_for_the_world_sim(
    folder: Path, class_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = provider_class(class_type, simulated=True)
    monkeypatch.setattr(twin, "real_time_only", True)
    nodes = f'nodes = [{{providers = ["file-log", "{class_type}"]}}]\n'
    text = HEAD.replace("nodes = [{count = 2}]\n", nodes)
    with pytest.raises(ScenarioError) as raised:
        parse_scenario(text.encode(), folder=folder)
    assert "domain[0].nodes[0].providers[1]" in str(raised.value)
    assert f"the resource class {class_type} is not available in the world sim" in str(raised.value)
    scenario = parse_scenario(f'worlds = ["tcp", "grpc"]\n{text}'.encode(), folder=folder)
    assert scenario.domains[0].nodes[0].group().providers == ("file-log", class_type)


def test_nodes_say_where_they_take_requests_and_what_they_may_reach(folder: Path) -> None:
    nodes = 'nodes = [{http_ingress_url = "http://[::1]:7", http_egress_allow = ["::1"]}]\n'
    text = HEAD.replace("nodes = [{count = 2}]\n", nodes)
    group = parse_scenario(text.encode(), folder=folder).domains[0].nodes[0].group()
    assert (group.http_ingress_url, group.http_egress_allow) == ("http://[::1]:7", ("::1",))


def test_nodes_say_where_their_metrics_collector_keeps_samples_and_no_password_is_shown(
    folder: Path,
) -> None:
    nodes = 'nodes = [{providers = ["metrics-collector"], collector_redis_url = "URL"}]\n'
    text = HEAD.replace("nodes = [{count = 2}]\n", nodes)
    good = text.replace("URL", "redis://store.lab/3").encode()
    group = parse_scenario(good, folder=folder).domains[0].nodes[0].group()
    assert group.collector_redis_url == "redis://store.lab/3"
    with pytest.raises(ScenarioError) as refusal:
        parse_scenario(text.replace("URL", "http://:geheim@h").encode(), folder=folder)
    assert "nodes[0].collector_redis_url: write redis://HOST:PORT" in str(refusal.value)
    assert "geheim" not in str(refusal.value)


def test_nodes_have_the_files_of_a_folder_beside_the_scenario(folder: Path) -> None:
    (folder / "in").mkdir()
    nodes = 'nodes = [{providers = ["file-pusher"], file_pusher_directory = "in"}]\n'
    text = HEAD.replace("nodes = [{count = 2}]\n", nodes)
    topology = parse_scenario(text.encode(), folder=folder).topology()
    assert topology.domains[0].nodes[0].file_pusher_directory == folder.resolve() / "in"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (
            'providers = ["file-log", "file-pusher"]',
            "domain[0].nodes[0].providers[1]: name the folder of its files: file_pusher_directory",
        ),
        (
            'file_pusher_directory = "in"',
            "nodes[0].file_pusher_directory: 'file-pusher' is not among the providers",
        ),
        (
            'providers = ["file-pusher"], file_pusher_directory = "gone"',
            "nodes[0].file_pusher_directory: ",
        ),
        (
            'providers = ["file-pusher"], file_pusher_directory = "in/file"',
            "/in/file: Not a directory",
        ),
    ],
)
def test_a_file_pusher_without_a_folder_is_refused_with_its_place(
    folder: Path, node: str, expected: str
) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "file").touch()
    text = HEAD.replace("nodes = [{count = 2}]\n", f"nodes = [{{{node}}}]\n")
    with pytest.raises(ScenarioError) as raised:
        parse_scenario(text.encode(), folder=folder)
    assert expected in str(raised.value)


def test_nodes_name_functions_that_run_elsewhere(folder: Path) -> None:
    one = '{class_type = "resize", function_url = "http://functions.lab/resize"}'
    text = HEAD.replace("nodes = [{count = 2}]\n", f"nodes = [{{serverless = [{one}]}}]\n")
    group = parse_scenario(text.encode(), folder=folder).domains[0].nodes[0].group()
    assert group.providers_of("a/0") == {"a/0/resize": "serverless"}
    [told] = group.serverless_of("a/0")
    assert (told.class_type, told.function_url) == ("resize", "http://functions.lab/resize")


@pytest.mark.parametrize(
    ("nodes", "place", "reason"),
    [
        ('providers = ["serverless"]', "nodes[0].providers[0]", "name the function"),
        (
            'serverless = [{class_type = "redis", function_url = "http://x/"}]',
            "nodes[0].serverless[0].class_type",
            "'redis' is a class of its own",
        ),
        (
            'serverless = [{class_type = "f", function_url = "x"}]',
            "nodes[0].serverless[0].function_url",
            "write http://HOST:PORT/PATH",
        ),
    ],
)
def test_a_function_that_runs_elsewhere_needs_a_name_and_a_url(
    folder: Path, nodes: str, place: str, reason: str
) -> None:
    text = HEAD.replace("nodes = [{count = 2}]\n", f"nodes = [{{{nodes}}}]\n")
    with pytest.raises(ScenarioError) as raised:
        parse_scenario(text.encode(), folder=folder)
    assert place in str(raised.value)
    assert reason in str(raised.value)
