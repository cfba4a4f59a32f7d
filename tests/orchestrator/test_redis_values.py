"""What stands in a Redis is read, or refused with ValueError; nothing else ever happens."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeless_sim.model.ids import LogicalId, NodeId
from edgeless_sim.model.intent import Cordon, Migrate, Uncordon
from edgeless_sim.model.mirror import Point
from edgeless_sim.orchestrator.redis_values import (
    read_capabilities,
    read_component,
    read_health,
    read_outputs,
    read_point,
    read_provider,
    read_series_key,
    read_text,
    read_time,
    written_intent,
)

LID: Final = LogicalId(UUID("d65ae2b9-0b15-4ab6-8a06-cf52287d0276"))
NODE: Final = NodeId(UUID("9ba123fd-e697-4e92-8413-ff63fd70ae9c"))
OTHER: Final = NodeId(UUID("1ba123fd-e697-4e92-8413-ff63fd70ae9d"))
READERS: Final[list[Callable[[bytes], object]]] = [
    read_text,
    read_time,
    read_capabilities,
    read_health,
    read_outputs,
    lambda value: read_provider("p", value),
    lambda value: read_component(LID, value),
    lambda value: read_point("function_init_time", value, 1.0),
    lambda value: read_point("log", value, 1.0),
    lambda value: read_series_key(value.decode(errors="replace")),
]
JSON_LIKE: Final = st.lists(
    st.sampled_from(
        [
            *'{}[]:,"',
            '"Function"',
            '"Resource"',
            '"node_id"',
            '"mem_free"',
            "null",
            "1e999",
            "9" * 400,
            "true",
            "InstanceId(",
            "\xff",
        ]
    ),
    max_size=12,
).map(lambda parts: "".join(parts).encode("latin-1"))


@given(st.sampled_from(READERS), st.binary(max_size=40) | JSON_LIKE)
def test_any_bytes_are_a_value_or_a_short_refusal(
    read: Callable[[bytes], object], value: bytes
) -> None:
    try:
        read(value)
    except ValueError as error:
        assert 0 < len(str(error)) < 400  # noqa: PT017 - that it is raised is not demanded


@pytest.mark.parametrize("value", [b"[" * 100_000, b'{"x":' * 100_000])
def test_deep_nesting_is_refused(value: bytes) -> None:
    for read in (read_capabilities, read_health, read_outputs):
        with pytest.raises(ValueError, match=r"nested too deep|Expected|not JSON"):
            read(value)


def test_a_log_may_have_colons_wherever_it_likes() -> None:
    key = read_series_key(f"{LID}:a::b")
    assert (str(key.function_id), key.name) == (str(LID), "a::b")
    # As our own ε-ORC writes it.
    assert read_series_key(f"{LID}:a%3A%3Ab%25") == (key.function_id, "a::b%")
    assert read_point("a::b", b"1.5:x: y", 1.5) == Point(1.5, "x: y")
    assert read_point("function_init_time", b"1.5:0.25", 1.5) == Point(1.5, 0.25)


@pytest.mark.parametrize("member", [b"1.5", b"1.5:", b"1.5:nan", b"1.5:x", b"1.5:1e999"])
def test_a_measurement_is_a_finite_number(member: bytes) -> None:
    with pytest.raises(ValueError, match=r"TIME:VALUE|number"):
        read_point("function_init_time", member, 1.5)


def test_intents_are_written_as_edgeless_reads_them() -> None:
    assert written_intent(Migrate(LID, (NODE, OTHER))) == (
        f"intent:migrate:{LID}",
        f"{NODE},{OTHER}",
    )
    assert written_intent(Migrate(LID, ())) == (f"intent:migrate:{LID}", "")
    assert written_intent(Cordon(NODE)) == (f"intent:cordon:{NODE}", "yes")
    assert written_intent(Uncordon(NODE)) == (f"intent:cordon:{NODE}", "no")
