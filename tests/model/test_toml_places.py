"""Where keys stand in a TOML text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_sim.model.toml_places import TomlPath, TomlPlaces

TEXT = '''\
name = "x"  # not [a.table]
text = """
[[domain]]
"""

[[domain]]
name = "edge"
  [[domain.nodes]]
  count = 3
  labels = ["a",
    "b"]
  [[domain.nodes]]
  clock_mhz = 1.5
[[domain]]
nodes = [{count = 1}, {cpus = 2,
  lables = []}]
[network]
latency = '5ms'
"odd key".inner = 1979-05-27T07:32:00Z
[[network.link]]
between = [["a"], ["b"]]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 1),
        (("text",), 2),
        (("domain", 0), 6),
        (("domain", 0, "name"), 7),
        (("domain", 0, "nodes", 0, "count"), 9),
        (("domain", 0, "nodes", 0, "labels", 1), 11),
        (("domain", 0, "nodes", 1), 12),
        (("domain", 0, "nodes", 1, "clock_mhz"), 13),
        (("domain", 1), 14),
        (("domain", 1, "nodes", 0, "count"), 15),
        (("domain", 1, "nodes", 1, "lables"), 16),
        (("network",), 17),
        (("network", "latency"), 18),
        (("network", "odd key", "inner"), 19),
        (("network", "link", 0), 20),
        (("network", "link", 0, "between", 1), 21),
    ],
)
def test_a_key_is_found_on_its_line(path: TomlPath, line: int) -> None:
    assert TomlPlaces(TEXT).line_of(path) == line


def test_what_is_not_there_has_the_line_of_what_is_around_it() -> None:
    places = TomlPlaces(TEXT)
    assert places.line_of(("domain", 1, "strategy")) == 14
    assert places.line_of(("step",)) == 1


def test_text_that_is_not_toml_still_has_places_before_the_fault() -> None:
    assert TomlPlaces("a = 1\nb = 2\n= = =\nc = 3").line_of(("b",)) == 2


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 17, "x = " + "{a=" * 17, "a" + ".a" * 17, "[a" + ".a" * 17]
)
def test_depth_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1: .*more than 16"):
        TomlPlaces(text)


@given(st.text(alphabet="a=.[]{}\"'\\#,\n 1", max_size=60))
def test_any_text_is_gone_through(text: str) -> None:
    TomlPlaces(text)
