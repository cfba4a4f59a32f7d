"""What is wrong in a configuration file is refused: file, line, key, reason, remedy."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeless_sim.cluster.settings import (
    load_cli_settings,
    load_controller_settings,
    load_node_settings,
    load_orchestrator_settings,
)
from edgeless_sim.errors import SettingsError

WriteFile = Callable[[str], Path]

CONTROLLER = 'controller_url = "http://127.0.0.1:7001"\n'
REDIS = '[proxy]\nproxy_type = "Redis"\n'
ORCHESTRATOR = '[general]\ndomain_id = "d"\norchestrator_url = "http://127.0.0.1:7011"\n'
COLLECTOR = '[collector]\ncollector_type = "Redis"\n'
NODE = """\
[general]
node_id = "fda6ce79-46df-4f96-a0d2-456f720f606c"
agent_url = "http://127.0.0.1:7021"
invocation_url = "http://127.0.0.1:7002"
orchestrator_url = "http://127.0.0.1:7011"
"""
PROVIDER = "[resources.metrics_collector_provider]\n"
CLI = CONTROLLER


def refusal(load: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(SettingsError) as raised:
        load(path)
    text = str(raised.value)
    assert len(text.encode()) <= 1024
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = ", "x.toml:1: not TOML: Invalid value"),
        (CONTROLLER * 2, "x.toml:2:41: not TOML: Cannot overwrite a value"),
        ("[a]\n[a]\n", "x.toml:2:3: not TOML"),
        ("", "x.toml:1: controller_url: the key 'controller_url' is missing"),
        ("controller_url = 7001", "controller_url: expected a text in quotes, found a number"),
        (
            CONTROLLER + 'controler_url = "x"',
            "x.toml:2: controler_url: unknown key 'controler_url'; did you mean 'controller_url'?",
        ),
        (CONTROLLER + "[general]", "x.toml:2: general: unknown key 'general'; known: controller"),
        (CONTROLLER + "orchestrators = 3", "orchestrators: expected an array, found a number"),
        (
            CONTROLLER + "orchestrators = [3]",
            "x.toml:2: orchestrators[0]: expected a table, found a number",
        ),
        (
            CONTROLLER
            + 'orchestrators = [\n{domain_id = "d", orchestrator_uri = "http://127.0.0.1:1"}]',
            "x.toml:3: orchestrators[0].orchestrator_uri: unknown key 'orchestrator_uri'; "
            "did you mean 'orchestrator_url'?",
        ),
        (
            CONTROLLER
            + '[[orchestrators]]\ndomain_id = "d"\norchestrator_url = "http://127.0.0.1:1"\n'
            '[[orchestrators]]\ndomain_id = "d"\norchestrator_url = "http://127.0.0.1:2"\n',
            "x.toml:6: orchestrators[1].domain_id: 'd' is orchestrators[0].domain_id already",
        ),
        (
            CONTROLLER
            + '[[orchestrators]]\ndomain_id = "d"\norchestrator_url = "http://127.0.0.1:7001"\n',
            "there listens the component itself: controller_url",
        ),
        (CONTROLLER + 'domain_register_url = "http://localhost:7001"', "has that place already"),
        (CONTROLLER + 'persistence_filename = "a\\u0000b"', "it has a NUL character"),
        (CONTROLLER + '[edgeless_sim]\nname = "con!"', "edgeless_sim.name: 'con!': a name has"),
        (CONTROLLER + "[edgeless_sim]\nseed = -1", "edgeless_sim.seed: -1: it should be greater"),
        (
            CONTROLLER + "[edgeless_sim]\nseed = 99999999999999999999",
            "seed: it should be less",
        ),
        (CONTROLLER + "[edgeless_sim]\nfuel_per_event = 1", "unknown key 'fuel_per_event'"),
        ("x = " + "[" * 3000, "more than 16 brackets"),
        ("a." * 3000 + "b = 1", "a key of more than 16 parts"),
        ("x = " + "9" * 5000, "not TOML"),
        ("\0", "a NUL character is not text"),
    ],
)
def test_a_wrong_controller_file_is_refused(
    write_file: WriteFile, text: str, expected: str
) -> None:
    assert expected in refusal(load_controller_settings, write_file(text))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('domain_id = ""', "general.domain_id"),
        ("subscription_refresh_interval_sec = 0", "0: it should be greater than or equal to 1"),
        ("subscription_refresh_interval_sec = -3", "greater than or equal to 1"),
        ("subscription_refresh_interval_sec = 1e18", "expected an integer, found the number 1e+18"),
        ("subscription_refresh_interval_sec = inf", "expected an integer, found the number inf"),
        ("subscription_refresh_interval_sec = 1000000000000000000", "less than or equal to 86400"),
        ('node_register_url = "tcp://127.0.0.1:7011"', "orchestrator_url has that place already"),
        ('domain_register_url = "http://127.0.0.1:7011"', "the component itself"),
        ('orchestrator_coap_url = "coap://127.0.0.1:7050"', "CoAP is not available"),
        ('node_register_coap_url = "coap://127.0.0.1:7050"', "CoAP is not available"),
        ('[baseline]\nkeep_alive_interval_secs = "2"', "expected an integer, found the text '2'"),
        ("[baseline]\nkeep_alive_interval_secs = 0", "greater than or equal to 1"),
        ("[baseline]\nkeep_alive_interval_secs = true", "expected an integer, found true or false"),
        ('[baseline]\norchestration_strategy = "random"', "did you mean 'Random'?"),
        ('[baseline]\norchestration_strategy = "no_such:X"', "No module named 'no_such'"),
        (
            '[baseline]\nstrategy = "Random"',
            "'strategy'; known: orchestration_strategy",
        ),
        (
            '[proxy]\nproxy_type = "REDIS"',
            "proxy.redis_url: it is empty: write the URL",
        ),
        (REDIS + 'redis_url = "http://x:1"', "x.toml:6: proxy.redis_url: write redis://HOST:PORT"),
        (REDIS + 'redis_url = "redis://u:secret@"', "proxy.redis_url: the host is missing"),
        (
            REDIS + 'redis_url = "redis://h:99999"',
            "proxy.redis_url: no URL: ports are numbers",
        ),
        (REDIS + 'redis_url = "redis://h:1/x"', "the number of a database, nothing else"),
        (REDIS + 'redis_url = "redis://h:1?socket_timeout=0"', "the only parameter is db"),
        (REDIS + 'redis_url = "unix://"', "the path of the socket is missing"),
        (
            REDIS + 'redis_url = "redis://h:1"\nproxy_gc_period_seconds = -1',
            "greater than or equal",
        ),
        ("[edgeless_sim]\nflush_mirror = true", 'there is no mirror: proxy_type is "None"'),
        ('[proxy.dataset_settings]\nadditional_fields = "a\\nb"', "it has more than one line"),
        ('[edgeless_sim]\nfencing = "lease"', "edgeless_sim.fencing: fencing by leases is not"),
        ('[edgeless_sim]\nfencing = "lock"', "'lock': it should be 'none' or 'lease'"),
        ('[proxy]\nproxy_type = "Redsi"', "'Redsi': it should be 'None' or 'Redis'"),
        ("[proxy.dataset_settings]\nappnd = true", "did you mean 'append'?"),
        (f"{COLLECTOR}redis_url = 7", "x.toml:6: collector.redis_url: expected a text"),
        (COLLECTOR, "x.toml:4: collector.redis_url: it is needed, too: write redis://HOST:PORT"),
        (COLLECTOR, "general.agent_url: the collector's node needs it, too; write a URL with a"),
        (COLLECTOR, "general.invocation_url: the collector's node needs it, too; write a URL"),
        (f'{COLLECTOR}redis_url = "http://h"', "x.toml:6: collector.redis_url: write redis://"),
        (f'{COLLECTOR}redis_url = "redis://:geheim@h/x"', "the number of a database, nothing"),
        ('[collector]\ncollector_type = "Kafka"', "'Kafka': it should be 'None' or 'Redis'"),
        ('[collector]\nredis_ulr = "redis://h"', "did you mean 'redis_url'?"),
    ],
)
def test_a_wrong_orchestrator_file_is_refused(
    write_file: WriteFile, more: str, expected: str
) -> None:
    given = ORCHESTRATOR.replace('domain_id = "d"\n', "") if "domain_id" in more else ORCHESTRATOR
    assert expected in refusal(load_orchestrator_settings, write_file(f"{given}{more}\n"))


def test_the_password_of_a_collectors_redis_is_not_shown(write_file: WriteFile) -> None:
    text = f'{ORCHESTRATOR}{COLLECTOR}redis_url = "redis://:geheim@h:x"\n'
    found = refusal(load_orchestrator_settings, write_file(text))
    assert "collector.redis_url" in found
    assert "geheim" not in found


@pytest.mark.parametrize(
    ("line", "more", "expected"),
    [
        ("node_id", "", "the key 'node_id' is missing"),
        ("node_id", 'node_id = "00000000-0000-0000-0000-000000000000"', "means 'no node'"),
        ("node_id", 'node_id = "fda6ce7946df4f96a0d2456f720f606c"', "not a UUID"),
        ("node_id", "node_id = 3", "general.node_id"),
        ("orchestrator_url", "", "the key 'orchestrator_url' is missing: where does"),
        ("", 'node_register_url = "http://127.0.0.1:7004"', "remove one of them"),
        ("invocation_url", 'invocation_url = "tcp://127.0.0.1:7021"', "agent_url has that place"),
        ("", 'metrics_url = "http://127.0.0.1:7021"', "general.agent_url has that place already"),
        ("", 'metrics_url = "https://127.0.0.1:7021"', "it is served as http:// only"),
        ("", 'metrics_url = "tcp://127.0.0.1:7021"', "write http://host:port"),
        (
            "",
            'metrics_url = "http://127.0.0.1:1"\n[telemetry]\nmetrics_url = "http://127.0.0.1:2"',
            "telemetry.metrics_url: 'http://127.0.0.1:2': general.metrics_url says",
        ),
        ("orchestrator_url", 'orchestrator_url = "http://127.0.0.1:7021"', "component itself"),
        ("", 'invocation_url_coap = "coap://127.0.0.1:7002"', "CoAP is not available"),
        (
            "",
            f'{PROVIDER}provider = "c"',
            "metrics_collector_provider.redis_url: it is needed, too",
        ),
        ("", f'{PROVIDER}provider = "c"\nredis_url = "h:6379"', "redis_url: write redis://HOST"),
        ("", f'{PROVIDER}url = "redis://h"', "metrics_collector_provider.url: unknown key"),
        ("", '[telemetry]\nlog_level = "loud"', "telemetry.log_level: 'loud': it should be 'off'"),
        ("", "[wasm_runtime]", "the key 'enabled' is missing"),
        ("", "[wasm_runtime]\nenabled = 1", "expected true or false, found a number"),
        ("", "[container_runtime]\nenabled = true", "the container run-time is not available in"),
        ("", "[python_runtime]\nenabled = true", "name the folders that code may come from"),
        ("", '[python_runtime]\nfolders = [""]', "python_runtime.folders[0]: '': the path is empt"),
        ("", "[python_runtime]\nfolders = [3]", "python_runtime.folders[0]"),
        ("", "[user_node_capabilities]\nlabels = ['a,b']", "labels[0]: 'a,b': this is no label"),
        ("", '[user_node_capabilities]\nlabels = ["a\\tb"]', "it has a control character"),
        ("", "[user_node_capabilities]\nnum_cpus = -1", "greater than or equal to 0"),
        ("", "[user_node_capabilities]\nnum_cpus = 100000", "less than or equal to 65535"),
        ("", "[user_node_capabilities]\nclock_freq_cpu = nan", "it should be a finite number"),
        ("", "[user_node_capabilities]\nmem_sz = 3", "unknown key 'mem_sz'; did you mean"),
        ("", '[power_info]\nmodbus_endpoint = "127.0.0.1:502"\noutlet_number = 1', "power_info"),
        ("", "[power_info]\noutlet_number = 129", "less than or equal to 128"),
        ("", '[resources]\nfile_log_provder = "x"', "did you mean 'file_log_provider'?"),
        ("", '[resources]\nfile_log_provider = "a\\u0007"', "this is no name"),
        ("", '[resources.ollama_provider]\nprovider = ""\nport = 0', "greater than or equal to 1"),
        ("", '[resources.ollama_provider]\nhots = "x"', "did you mean 'host'?"),
        (
            "",
            '[[resources.serverless_provider]]\nclass_type = "file-log"\nprovider = "p"',
            "resources.serverless_provider[0].provider: 'p': the resource class serverless",
        ),
        ("", '[resources.ollama_provider]\nprovider = "o"\nhost = "a/b"', "ollama_provider.host: "),
        (
            "",
            '[resources.file_pusher_provider]\nprovider = "p"\ndirectory = ""',
            "x.toml:7: resources.file_pusher_provider.provider: it needs a directory, too",
        ),
        ("", '[resources.file_pusher_provider]\ndirectory = "a\\u0000"', "it has a NUL character"),
        (
            "",
            '[[resources.serverless_provider]]\nclass_type = "file-log"\nprovider = "p"',
            "resources.serverless_provider[0].class_type: 'file-log' is a class of its own",
        ),
        (
            "",
            '[[resources.serverless_provider]]\nclass_type = ""\nprovider = "p"',
            "resources.serverless_provider[0].class_type: '': this is no name",
        ),
        (
            "",
            '[[resources.serverless_provider]]\nclass_type = "f"\nprovider = "p"\n'
            'function_url = "x"',
            "resources.serverless_provider[0].function_url: 'x': write http://HOST",
        ),
        ("", '[resources]\nhttp_egress_allow = ["10.0.0.1"]', "resources.http_egress_allow: the"),
        ("", "[edgeless_sim]\nfuel_per_event = 10", "greater than or equal to 1000"),
        ("", "[edgeless_sim]\ncall_timeout_secs = 0", "greater than 0"),
        ("", "[edgeless_sim]\ncall_timeout_secs = inf", "it should be a finite number"),
        ("", '[edgeless_sim]\nstate_folder = ""', "the path is empty"),
        ("", '[edgeless_sim]\nstate_foldr = "x"', "did you mean 'state_folder'?"),
        ("", '[resource]\nfile_log_provider = "x"', "unknown key 'resource'; did you mean"),
    ],
)
@pytest.mark.usefixtures("_only_file_log")
def test_a_wrong_node_file_is_refused(
    write_file: WriteFile, line: str, more: str, expected: str
) -> None:
    kept = [each for each in NODE.splitlines() if not line or not each.startswith(f"{line} ")]
    assert expected in refusal(load_node_settings, write_file("\n".join([*kept, more, ""])))


@pytest.mark.usefixtures("_every_class")
def test_providers_do_not_share_a_name_and_ingress_needs_a_place(write_file: WriteFile) -> None:
    more = '[resources]\nfile_log_provider = "x"\nredis_provider = "x"\nhttp_ingress_provider = "y"'
    text = refusal(load_node_settings, write_file(f"{NODE}{more}\n"))
    assert "resources.redis_provider: 'x' is resources.file_log_provider already" in text
    assert "resources.http_ingress_provider: it needs an http_ingress_url, too" in text


def test_a_function_repository_is_refused_and_its_key_not_shown(write_file: WriteFile) -> None:
    more = '[function_repository]\nurl = "http://x"\napi_key = "hunter2"\n'
    text = refusal(load_cli_settings, write_file(CLI + more))
    assert "x.toml:4: function_repository.api_key: the function repository is not" in text
    assert "hunter2" not in text


def test_port_0_is_refused_unless_asked_for(write_file: WriteFile) -> None:
    path = write_file(CONTROLLER.replace("7001", "0"))
    assert "controller_url: 'http://127.0.0.1:0': the port 0 is not" in refusal(
        load_controller_settings, path
    )
    assert load_controller_settings(path, any_port=True).controller_url == "http://127.0.0.1:0"
    node = NODE.replace("7021", "0").replace("7002", "0")
    assert load_node_settings(write_file(node), any_port=True)
    # Where somebody else listens is known by then.
    never = write_file(node.replace("7011", "0"))
    with pytest.raises(SettingsError, match=r"orchestrator_url.*is not between 1 and 65535"):
        load_node_settings(never, any_port=True)


def test_where_a_component_serves_both_two_services_may_share_a_url(write_file: WriteFile) -> None:
    both = CONTROLLER + 'domain_register_url = "http://127.0.0.1:7001"'
    assert load_controller_settings(write_file(both)).registration_url == "http://127.0.0.1:7001"
    both = ORCHESTRATOR + 'node_register_url = "http://127.0.0.1:7011"'
    assert load_orchestrator_settings(write_file(both))
    assert load_node_settings(write_file(NODE.replace("7002", "7021")))


def test_a_byte_order_mark_is_accepted(write_file: WriteFile) -> None:
    assert load_cli_settings(write_file("\ufeff" + CLI)).controller_url


def test_many_problems_are_cut(write_file: WriteFile) -> None:
    lines = refusal(
        load_controller_settings, write_file("".join(f"key_{i} = 1\n" for i in range(500)))
    ).splitlines()
    assert 2 < len(lines) <= 11
    assert lines[0].startswith("x.toml:1: ")
    assert lines[-1] == "and many more"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * ((1 << 20) + 1))
    (tmp_path / "binary").write_bytes(b"\n\xff")
    for name, expected in (
        ("nothing", "no such file"),
        ("pipe", "is not a regular file"),
        (".", "is not a regular file"),
        ("large", "has more than 1048576 bytes"),
        ("binary", "line 2: not UTF-8"),
        ("a\0b", "null byte"),
    ):
        assert expected in refusal(load_node_settings, tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for the superuser")
def test_a_file_that_may_not_be_read_is_refused(write_file: WriteFile) -> None:
    path = write_file(CLI)
    path.chmod(0)
    assert "cannot be read: Permission denied" in refusal(load_cli_settings, path)
