"""``edgeless_node_d --available-resources``: EDGELESS's formats and order (spec 9.1)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeless_sim.cli import available_resources as shown
from edgeless_sim.cli.available_resources import AvailableClass, as_text, available_classes
from edgeless_sim.errors import SettingsError
from edgeless_sim.resources.catalog import provider_class

NODE = """\
[general]
node_id = "fda6ce79-46df-4f96-a0d2-456f720f606c"
agent_url = "http://127.0.0.1:7021"
invocation_url = "http://127.0.0.1:7002"
orchestrator_url = "http://127.0.0.1:7011"
"""
ELSEWHERE = """
[[resources.serverless_provider]]
class_type = "resize"
version = "2.3"
function_url = "http://127.0.0.1:5000/function/resize"
provider = "resize-1"

[[resources.serverless_provider]]
class_type = "blur"
version = ""
function_url = ""
provider = ""
"""


def typed(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("edgeless_node_d"))
    done = subprocess.run(
        [program, *options], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def told(folder: Path) -> list[dict[str, Any]]:
    done = typed(folder, "--available-resources", "--output-json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_a_class_is_shown_in_the_form_of_edgeless() -> None:
    classes = [
        AvailableClass(
            "redis", "Keys\nand values", "1.2", ("a", "b"), {"url": "where", "key": "k"}
        ),
        AvailableClass("noop", "Nothing", "1.0", (), {}),
    ]
    assert as_text(classes) == (
        "----------\nclass_type: redis\nversion: 1.2\noutputs: [a,b]\n"
        "configurations:\n  - url: where\n  - key: k\n"
        "description:\nKeys\nand values\n\n"
        "----------\nclass_type: noop\nversion: 1.0\noutputs: []\n"
        "description:\nNothing\n"
    )


def test_all_classes_are_on_one_line_of_json_in_the_order_of_edgeless(tmp_path: Path) -> None:
    found = told(tmp_path)
    assert all(
        list(each) == ["class_type", "description", "version", "outputs", "configurations"]
        for each in found
    )
    names = [each["class_type"] for each in found]
    order = ["dda", "file-log", "http-egress", "http-ingress", "http-poster", "file-pusher"]
    order += ["ollama", "redis", "sqlx", "kafka-egress", "metrics-collector"]
    assert names == [name for name in order if name in names]
    assert {"file-log", "http-egress", "http-ingress", "http-poster", "file-pusher"} <= set(names)
    [pusher] = [each for each in found if each["class_type"] == "file-pusher"]
    assert (pusher["version"], pusher["outputs"]) == ("1.0", ["out"])
    assert set(pusher["configurations"]) == {"period-ms", "encode-base64"}


def test_the_text_says_the_same_for_people(tmp_path: Path) -> None:
    done = typed(tmp_path, "--available-resources")
    assert (done.returncode, done.stderr) == (0, "")
    blocks = done.stdout.split("----------\n")
    assert blocks[0] == ""
    assert all(block.endswith("\n\n") for block in blocks[1:])
    names = [block.splitlines()[0].removeprefix("class_type: ") for block in blocks[1:]]
    assert names == [each["class_type"] for each in told(tmp_path)]


def test_functions_that_run_elsewhere_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(NODE + ELSEWHERE)
    found = told(tmp_path)[-1]
    assert (found["class_type"], found["version"]) == ("resize", "2.3")
    assert found["outputs"] == ["err", "out"]
    assert [each["class_type"] for each in told(tmp_path)].count("blur") == 0


def test_a_file_that_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("nonsense = \n")
    done = typed(tmp_path, "-c", "x.toml", "--available-resources")
    assert done.returncode == 0
    assert "class_type: redis" in done.stdout
    assert done.stderr.startswith(
        "warning: its functions that run elsewhere are not listed: x.toml"
    )


def test_a_class_of_another_package_comes_last_and_one_that_is_broken_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str) -> Any:
        if name == "broken":
            raise SettingsError("resource class 'broken' cannot be loaded: no module")
        return provider_class("file-log")

    monkeypatch.setattr(shown, "known_classes", lambda: ("aaa", "broken", "redis"))
    monkeypatch.setattr(shown, "provider_class", found)
    warnings: list[str] = []
    classes = available_classes(tmp_path / "node.toml", warnings.append)
    assert [each.class_type for each in classes] == ["redis", "aaa"]
    assert warnings == ["warning: resource class 'broken' cannot be loaded: no module"]


def test_json_is_a_form_of_that_list_only_and_a_template_goes_before_it(tmp_path: Path) -> None:
    done = typed(tmp_path, "--output-json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--output-json is for --available-resources" in done.stderr
    done = typed(tmp_path, "--available-resources", "-t", "new.toml")
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "new.toml").exists()
