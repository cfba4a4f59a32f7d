"""Whatever bytes a client sends, in whatever pieces: nothing is raised, nothing is kept."""

import asyncio
from random import Random
from typing import Any

import pytest

from edgeless_sim.resources.http_connection import Connection
from edgeless_sim.resources.http_listener import HttpListener
from edgeless_sim.resources.http_messages import RefusedError

GOOD = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n" + b"y" * 3000,
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nabc",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\nxx",
    b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff?\xfe#[ HTTP/1.1\r\nHost: x\r\n\r\n",
)
NOISE = (b"\r\n", b"\0", b":", b" ", b"\xff", b"Host: y\r\n", b"Content-Length: 1\r\n")


class Socket(asyncio.Transport):
    """Takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closing = False
        self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closing, "written after the end"
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closing = True


class Answers:
    """Admits and answers at once; knows whom it was not told the end of."""

    def __init__(self) -> None:
        self.open = 0
        self.connection: Connection | None = None

    def admit(self, message: Any, connection: Connection, *, has_body: bool) -> "Answers":
        if message.path == "/refused":
            raise RefusedError(404, "Not Found")
        self.open += 1
        self.connection = connection
        return self

    def serve(self, body: bytes) -> None:
        self.open -= 1
        assert self.connection is not None
        self.connection.respond(200, {}, body)

    def abandon(self) -> None:
        self.open -= 1


def garbled(dice: Random) -> bytes:
    text = bytearray(b"".join(dice.choices(GOOD, k=dice.choice((1, 2, 4, 60)))))
    for _ in range(dice.choice((0, 0, 1, 2, 5))):
        place = dice.randrange(len(text))
        change = dice.randrange(3)
        if change == 0:
            text[place] = dice.randrange(256)
        elif change == 1:
            del text[place : place + dice.randint(1, 8)]
        else:
            text[place:place] = dice.choice(NOISE)
        text = text or bytearray(b"G")
    return bytes(text)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_a_client_sends_each_request_ends_once(stage: Any, seed: int) -> None:
    dice = Random(seed)
    host = stage.host()
    answered = refused = 0
    for _ in range(1_000):
        answers, socket, text = Answers(), Socket(), garbled(dice)
        listener = HttpListener(answers.admit, host.clock, host.scheduler)
        listener.body_bytes_max = 1_000
        listener.linger_timeout_ns = -1
        connection = Connection(listener)
        connection.transport = socket
        at = 0
        while at < len(text) and not socket.closing:
            size = dice.choice((1, 7, 300, len(text)))
            connection.data_received(text[at : at + size])
            at += size
            assert not socket.paused or socket.closing, "nobody would read on"
        connection.connection_lost(None)
        assert answers.open == 0, text
        answered += socket.written.count(b"HTTP/1.1 200")
        refused += socket.written.count(b"HTTP/1.1 4")
    assert min(answered, refused) > 300, (answered, refused)
