import pytest

from edgeless_sim.kernel.scheduler import TimerQueue
from edgeless_transports import (
    Address,
    AddressError,
    MemoryTransport,
    create_transport,
    known_schemes,
)


def test_the_memory_transport_is_found_by_its_scheme(queue: TimerQueue) -> None:
    transport = create_transport("memory", scheduler=queue, location="con")
    assert isinstance(transport, MemoryTransport)
    assert transport.location == "con"
    assert "memory" in known_schemes()


def test_an_unknown_scheme_names_the_nearest_and_the_known(queue: TimerQueue) -> None:
    with pytest.raises(AddressError, match=r"did you mean 'memory'.*known: .*memory"):
        create_transport("memroy", scheduler=queue)


def test_an_address_is_a_scheme_and_a_location() -> None:
    address = Address.parse("tls+tcp://host:7001")
    assert (address.scheme, address.location) == ("tls+tcp", "host:7001")
    assert str(address) == "tls+tcp://host:7001"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "con",
        "://con",
        "memory://",
        "memory:con",
        "Memory://con",
        "me mory://con",
        "7://con",
        "memory://a b",
        "memory://a\nb",
        "memory://\x00",
    ],
)
def test_anything_else_is_not_an_address(text: str) -> None:
    with pytest.raises(AddressError, match="is not"):
        Address.parse(text)


def test_an_address_error_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match="is not an address"):
        Address.parse("con")
