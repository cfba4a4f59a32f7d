"""What a scenario says about its world is read with defaults, or refused with place and remedy."""

from pathlib import Path
from typing import Final

import pytest

from edgeless_sim.errors import ScenarioError
from edgeless_sim.scenario.loader import parse_scenario
from edgeless_sim.scenario.model import Scenario

HEAD: Final = """name = "x"
duration = "10s"
{worlds}
[[domain]]
name = "edge"
nodes = [{{providers = ["http-ingress"]}}, {{}}]
[[step]]
at = "1s"
do = "start_workflow"
as = "w"
"""
WORKFLOW: Final = """{"functions": [], "annotations": {}, "resources": [{"name": "in-@WF_ID",
"class_type": "http-ingress", "output_mapping": {}, "configurations": {}}]}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "workflow.json").write_text(WORKFLOW)
    (tmp_path / "trace.csv").write_text("0,1\n")
    (tmp_path / "bad.csv").write_text("0,1\nx,2\n")
    return tmp_path


def parse(folder: Path, more: str, worlds: str = "") -> Scenario:
    return parse_scenario((HEAD.format(worlds=worlds) + more).encode(), folder=folder)


def refusal(folder: Path, more: str, worlds: str = "") -> str:
    with pytest.raises(ScenarioError) as raised:
        parse(folder, more, worlds)
    return str(raised.value)


def test_workloads_have_defaults(folder: Path) -> None:
    more = '[[workload]]\nname = "a"\nkind = "http"\nmodel = "trace"\ntrace = "trace.csv"\n'
    scenario = parse(folder, more)
    (table,) = scenario.workloads
    assert table.kind == "http"
    assert (table.method, table.path, table.timeout, table.waiting_max) == (
        "GET",
        "/",
        30_000_000_000,
        1_000,
    )
    assert table.end_ns(scenario.duration) == 10_000_000_000
    assert list(scenario.files.traces) == ["trace.csv"]


def test_a_template_is_filled_for_each_number(folder: Path) -> None:
    text = '[[workload]]\nname = "a"\nkind = "workflow"\ninterarrival = "1s"\nlifetime = "1s"\n'
    template = parse(folder, text).files.templates["workflow.json"]
    assert [template.request(n).resources[0].name for n in (0, 1, 12)] == ["in-0", "in-1", "in-12"]


HTTP: Final = 'name = "a"\nkind = "http"\n'
EVERY: Final = f'{HTTP}interarrival = "1s"\n'
FLEET: Final = 'name = "a"\nkind = "workflow"\ninterarrival = "1s"\nlifetime = "1s"\n'


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('name = "a"', "the key 'kind' is missing; known values: http, event, workflow"),
        ('name = "a"\nkind = "htpp"', "unknown kind = 'htpp'; did you mean 'http'?"),
        (f'{EVERY}interarival = "1s"', "unknown key 'interarival'; did you mean 'interarrival'?"),
        (f'{EVERY}model = "poison"', "it should be 'burst', 'constant', 'diurnal'"),
        (f'{HTTP}interarrival = "0s"', "interarrival: '0s': it should be greater than 0"),
        (f"{EVERY}interarrival = 5", "TOML"),
        (HTTP, "workload[0]: the model constant needs 'interarrival'"),
        (f'{EVERY}model = "single"', "interarrival: it has no meaning for the model single"),
        (f'{EVERY}model = "burst"', "the model burst needs 'burst'"),
        (f"{EVERY}burst = 2", "workload[0].burst: it is for the model burst only"),
        (f'{EVERY}period = "1s"', "workload[0].period: it is for the model diurnal only"),
        (f'{EVERY}model = "diurnal"\namplitude = 1.5', "it should be less than or equal to 1"),
        (f'{HTTP}model = "trace"', "the model trace needs 'trace'"),
        (f'{HTTP}model = "trace"\ntrace = "no.csv"', "workload[0].trace: 'no.csv': no such file"),
        (f'{HTTP}model = "trace"\ntrace = "bad.csv"', "'bad.csv': line 2: 'x' is no number"),
        (f'{EVERY}model = "incremental-and-keep"', "needs 'warmup': it adds something until then"),
        (f'{EVERY}start = "11s"', "workload[0].start: the run ends before that, at 10s"),
        (f'{EVERY}end = "11s"', "workload[0].end: the run ends before that, at 10s"),
        (f'{EVERY}start = "5s"\nend = "5s"', "workload[0].start: it starts at its end, 5s"),
        (f'{EVERY}end = "5s"\nduration = "5s"', "one of 'end' and 'duration' is enough"),
        (f'{EVERY}duration = "2s"\nwarmup = "2s"', "as long as the workload, 2s: nothing is"),
        (f"{EVERY}count = 0", "it should be greater than or equal to 1"),
        (f"{EVERY}waiting_max = 100000", "it should be less than or equal to 10000"),
        (f'{EVERY}path = "hello"', "workload[0].path: 'hello': a path begins with '/'"),
        (f'{EVERY}path = "/a b"', "write '%20' for one"),
        (f'{EVERY}host = "a b"', "this is no host"),
        (f'{EVERY}method = "get"', "'get': string should match pattern"),
        (f'{EVERY}headers = {{"a b" = "c"}}', "the header 'a b' is not allowed"),
        (f'{EVERY}headers = {{Host = "x"}}', "write host = ... beside headers"),
        (f'{EVERY}headers = {{Content-Length = "9"}}', "it is the connection's"),
        (f"{EVERY}headers = {{a = 1}}", "workload[0].headers.a: expected a text in quotes"),
        (f'{EVERY}node = "edge/7"', "'edge/0' to 'edge/1'"),
        (f'{EVERY}node = "edge/1"', "'edge/1' offers no http-ingress ('providers')"),
        (f"{EVERY}[[workload]]\n{EVERY}", "workload[1].name: two workloads are called 'a'"),
        ('name = "a"\nkind = "event"\ninterarrival = "1s"\nto = "w"', "'w' is not WORKFLOW/"),
        ('name = "a"\nkind = "event"\ninterarrival = "1s"\nto = "v/x"', "unknown workflow"),
        ('name = "a"\nkind = "event"\ninterarrival = "1s"\nto = "w/x"', "unknown component of 'w'"),
        ('name = "a"\nkind = "workflow"\ninterarrival = "1s"', "model constant needs 'lifetime'"),
        (f'{FLEET}file = "no.json"', "workload[0].file: 'no.json': no such file"),
        (f'{FLEET}prefix = "w"\n[[step]]\nat = "1s"\ndo = "start_workflow"\nas = "w-1"',
         "workload[0].prefix: a start_workflow calls a workflow 'w-1', too"),
    ],
)  # fmt: skip
def test_a_wrong_workload_is_refused(folder: Path, keys: str, reason: str) -> None:
    text = refusal(folder, f"[[workload]]\n{keys}\n")
    assert reason in text
    assert text.startswith("scenario.toml:")


def test_two_workloads_do_not_share_a_prefix(folder: Path) -> None:
    other = FLEET.replace('"a"', '"b"')
    more = f'[[workload]]\n{FLEET}[[workload]]\n{other}prefix = "a"\n'
    assert "workload[1].prefix: two workloads call their workflows 'a'-0" in refusal(folder, more)


WORKLOAD: Final = f"[[workload]]\n{EVERY}"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('[[step]]\nat = "1s"\ndo = "http_request"\nstatus = 99', "greater than or equal to 100"),
        ('[[step]]\nat = "1s"\ndo = "http_request"\nnode = "edge/1"', "offers no http-ingress"),
        ('[[step]]\nat = "1s"\ndo = "http_request"\nbody_contains = "x"', "unknown key"),
        ('[[step]]\nat = "1s"\ndo = "backend"\nurl = "cache"\ncondition = "up"', "scheme://host"),
        ('[[step]]\nat = "1s"\ndo = "backend"\nurl = "http://a"\ncondition = "bad"', "'down'"),
        ('[[step]]\nat = "1s"\ndo = "backend"\nurl = "http://a:x"\ncondition = "up"', "[1].url"),
        ('[[step]]\nat = "1s"\ndo = "backend"\nurl = "http://a"\ncondition = "slow"',
         "'slow' needs 'delay'"),
        ('[[step]]\nat = "1s"\ndo = "backend"\nurl = "http://a"\ncondition = "up"\ndelay = "1s"',
         "step[1].delay: it has no meaning for 'up'"),
        ('[[step]]\nat = "1s"\ndo = "http_reply"\nurl = "redis://a"', "is no web server"),
        ('[[step]]\nat = "1s"\ndo = "http_reply"\nurl = "http://a"\npath = "/a?b"',
         "compared without the query"),
        ('[[step]]\nat = "1s"\ndo = "http_reply"\nurl = "http://a"\nstatus = 100', "equal to 200"),
        ('[[backend]]\nurl = "http://a"\nlatencyy = "1s"', "did you mean 'latency'?"),
        ('[[backend]]\nurl = "http://a"\n[[backend]]\nurl = "http://a:80/x"',
         "backend[1].url: two back-ends are at http://a:80"),
        ('[[backend]]\nurl = "redis://a"\nreplies = [{}]', "backend[0].replies: 'redis://a' is no"),
        ('[[backend]]\nurl = "http://a"\nreplies = [{statuss = 1}]', "did you mean 'status'?"),
        ('[[expect]]\nwhat = "workload"\nworkload = "b"\nmin = 1', "unknown workload 'b'"),
        ('[[expect]]\nwhat = "workload"\nworkload = "a"', "one of 'min', 'max', 'exactly'"),
        ('[[expect]]\nwhat = "workload"\nworkload = "a"\nstatus = "200"', "'status' needs one of"),
        ('[[expect]]\nwhat = "workload"\nworkload = "a"\nblocking_max = 0.1', "'workflow' only"),
        ('[[expect]]\nwhat = "workload"\nworkload = "a"\nmin = 2\nmax = 1', "min = 2 is more than"),
        ('[[expect]]\nwhat = "http_received"\nurl = "http://a"', "one of 'min', 'max', 'exactly'"),
        ('[[expect]]\nwhat = "http_received"\nurl = "redis://a"\nmin = 1', "is no web server"),
        ('[[expect]]\nwhat = "kafka_received"\nurl = "http://a"\ntopic = "t"\nmin = 1',
         "expect[0].url: 'http://a' is no broker: write kafka://HOST:PORT"),
        ('[[expect]]\nwhat = "kafka_received"\nurl = "kafka://a"\ntopic = "a b"\nmin = 1',
         "expect[0].topic: 'a b' is no name of a topic"),
        ('[[expect]]\nwhat = "kafka_received"\nurl = "kafka://a"\ntopic = "t"', "one of 'min'"),
        ('[[expect]]\nwhat = "redis_value"\nurl = "redis://a"\nkey = "k"', "'value', 'contains'"),
        ('[[expect]]\nwhat = "redis_value"\nurl = "http://a"\nkey = "k"\nvalue = ""', "redis://"),
        ('[[expect]]\nwhat = "redis_writes"\nurl = "redis://a"', "one of 'min', 'max', 'exactly'"),
        ('[[expect]]\nwhat = "sql_row"\nurl = "sqlite://a"', "one of 'min', 'max', 'exactly'"),
        ('[[expect]]\nwhat = "sql_row"\nurl = "redis://a"\nmin = 1', "write sqlite://FILE"),
        ('[[expect]]\nwhat = "sql_row"\nurl = "sqlite://../a"\nmin = 1', "has the part '..'"),
        ('[[expect]]\nwhat = "sql_row"\nurl = "sqlite://a"\nmin = 1\nnode = "edge/7"',
         "has the nodes"),
        ('[[expect]]\nwhat = "sql_row"\nurl = "sqlite://a"\nmin = 1\nworkflow = "x"',
         "'x'; known: 'w'"),
        ('[[expect]]\nwhat = "sql_row"\nurl = "sqlite://a"\nmin = 1\nworkflow = "w"\nid = "x"',
         "remove one of the two"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(folder: Path, more: str, reason: str) -> None:
    text = refusal(folder, f"{WORKLOAD}{more}\n")
    assert reason in text
    assert text.startswith("scenario.toml:")


@pytest.mark.parametrize(
    "more",
    [
        '[[backend]]\nurl = "http://a"',
        '[[step]]\nat = "1s"\ndo = "backend"\nurl = "http://a"\ncondition = "down"',
        '[[step]]\nat = "1s"\ndo = "http_reply"\nurl = "http://a"',
        '[[expect]]\nwhat = "http_received"\nurl = "http://a"\nmin = 1',
        '[[expect]]\nwhat = "kafka_received"\nurl = "kafka://a"\ntopic = "t"\nmin = 1',
        '[[expect]]\nwhat = "redis_value"\nurl = "redis://a"\nkey = "k"\nvalue = ""',
        '[[expect]]\nwhat = "redis_writes"\nurl = "redis://a"\nmin = 1',
        '[[expect]]\nwhat = "sql_row"\nurl = "sqlite://a"\nmin = 1',
    ],
)
def test_back_ends_are_for_the_simulated_world_only(folder: Path, more: str) -> None:
    parse(folder, f"{more}\n")
    text = refusal(folder, f"{more}\n", 'worlds = ["sim", "tcp"]')
    assert "back-ends are simulated in the world sim only; 'worlds' has tcp, too" in text


def test_requests_need_an_ingress_somewhere(folder: Path) -> None:
    text = HEAD.format(worlds="").replace('providers = ["http-ingress"]', "")
    with pytest.raises(ScenarioError, match="no node offers http-ingress"):
        parse_scenario(f"{text}{WORKLOAD}".encode(), folder=folder)


def test_workflows_of_a_workload_can_be_named(folder: Path) -> None:
    fleet = f'[[workload]]\n{FLEET}start = "2s"\n'
    check = '[[expect]]\nwhat = "workflow_running"\nworkflow = "{}"\n'
    parse(folder, fleet + check.format("a-17"))
    for wrong in ("a", "a-", "a-x", "a-07", "b-1"):
        assert "unknown workflow" in refusal(folder, fleet + check.format(wrong))
    moved = '[[expect]]\nwhat = "moved"\nworkflow = "a-0"\ncomponent = "{}"\n'
    assert "unknown component of 'a-0'" in refusal(folder, fleet + moved.format("out"))
