"""The gRPC transport in real time: the conformance suite, and what only gRPC has."""

import pytest

from edgeless_sim.kernel.loop import current_scheduler, run
from edgeless_transports import Address
from edgeless_transports.conformance import CHECKS, Check, Subject
from edgeless_transports.grpc import GrpcTransport


def _subject() -> Subject:
    transport = GrpcTransport(current_scheduler())
    return Subject(transport, transport, lambda: Address("http", "127.0.0.1:0"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_grpc_transport_does_what_every_transport_must(check: Check) -> None:
    async def main() -> None:
        await check(_subject())

    run(main, world="real")
