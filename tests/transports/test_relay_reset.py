"""A relay whose upstream resets the connection at the worst moment complains to nobody."""

import asyncio
import socket
import struct
from random import Random
from typing import Any

from edgeless_transports.relay import Conditions, Relay

LATENCY_S = 0.05


async def test_an_end_that_comes_right_after_a_reset_is_no_error() -> None:
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        relay = Relay("127.0.0.1", listening.getsockname()[1], Random(1))
        port = await relay.start()
        relay.set(Conditions(latency_ns=round(LATENCY_S * 1e9)), Conditions())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        upstream, _ = await loop.sock_accept(listening)
        (connection,) = relay._connections
        writer.write_eof()
        while not connection._forward._waiting:  # noqa: ASYNC110 - a relay tells nobody
            await asyncio.sleep(0)
        due, _ = connection._forward._waiting[0]

        # Just before the end is passed on, in the same turn of the loop: nobody has looked yet.
        reset = asyncio.Event()

        def take_back() -> None:
            while loop.time() < due:
                pass
            upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            upstream.close()
            loop.call_soon(reset.set)
            connection._forward.pump()

        loop.call_soon(take_back)
        await reset.wait()
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await relay.close()
    assert complaints == []
