"""Which wire is spoken follows from the URL and from the role."""

from uuid import UUID

import pytest

from edgeless_sim.api.event_frame import EventFrames
from edgeless_sim.api.protobuf import ProtobufWire
from edgeless_sim.api.wire import OUR_WIRE, OurWire
from edgeless_sim.api.wires import Role, Wires
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import Event, PatchRequest
from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId

NODE = NodeId(UUID(int=1 << 90))
PHYSICAL = InstanceId(NODE, FunctionId(UUID(int=2 << 90)))
LOGICAL = InstanceId(NodeId(UUID(int=0)), FunctionId(UUID(int=3 << 90)))
STOP = "/edgeless_api.FunctionInstance/Stop"
PATCH = "/edgeless_api.FunctionInstance/Patch"
EVENT = Event(1, bytes(32), bytes(range(32)), 0, "hi", 1_000_000_000, bytes(24), 3)


@pytest.mark.parametrize("url", ["memory://node/edge/0", "node/edge/0"])
def test_the_memory_network_speaks_our_wire_by_url_and_by_bare_location(url: str) -> None:
    assert Wires(Role.NODE).calling(url) is OUR_WIRE


def test_tcp_speaks_our_wire_with_headers_of_fixed_size_for_events() -> None:
    wire = Wires(Role.NODE, epoch_ns=7).calling("tls+tcp://a:1")
    assert isinstance(wire, OurWire)
    assert wire.encode_event(EVENT) == EventFrames(7).encode(EVENT)
    assert wire.decode_event(wire.encode_event(EVENT)) == EVENT


def test_http_speaks_edgelesss_own_and_one_wire_serves_all_peers() -> None:
    wires = Wires(Role.NODE)
    assert isinstance(wires.calling("https://a:1"), ProtobufWire)
    assert wires.calling("https://a:1") is wires.calling("https://b:2")


@pytest.mark.parametrize(
    ("role", "calls", "serves"),
    [
        (Role.CONTROLLER, LOGICAL, LOGICAL),
        (Role.ORCHESTRATOR, PHYSICAL, LOGICAL),
        (Role.NODE, PHYSICAL, PHYSICAL),
    ],
)
def test_each_role_speaks_of_the_ids_of_its_place(
    role: Role, calls: InstanceId, serves: InstanceId
) -> None:
    wires = Wires(role)
    for wire, known in (
        (wires.calling("http://a:1"), calls),
        (wires.serving("http://a:1"), serves),
    ):
        other = LOGICAL if known is PHYSICAL else PHYSICAL
        assert wire.decode_request(STOP, wire.encode_request(STOP, known)) == known
        other_wire = Wires(Role.NODE if other is PHYSICAL else Role.CONTROLLER).calling(
            "http://a:1"
        )
        with pytest.raises(RejectedError):
            wire.decode_request(STOP, other_wire.encode_request(STOP, other))


def test_a_node_completes_the_half_id_in_a_patch_from_edgeless() -> None:
    sender = Wires(Role.ORCHESTRATOR).calling("http://a:1")
    payload = sender.encode_request(PATCH, PatchRequest(PHYSICAL, {}, 0))
    found = Wires(Role.NODE, home=NODE).serving("http://a:1").decode_request(PATCH, payload)
    assert found.function_id == PHYSICAL


def test_deadlines_on_edgelesss_wire_are_calendar_time_so_nothing_is_said_twice() -> None:
    assert OUR_WIRE.repeatable
    assert not Wires(Role.NODE).calling("http://a:1").repeatable
