"""The functions between HTTP resources: requests and responses to the byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.functions.conftest import Loader

INFO, ERROR = 3, 1
NOT_REQUESTS = ["", "7", "{}", '{"method":"Get"}', "[" * 100_000]


def request(path: str = "/", body: bytes | None = b"") -> str:
    """What http-ingress calls a function with."""
    return json.dumps(
        {
            "method": "Post",
            "protocol": "Unknown",
            "host": "node:7008",
            "path": path,
            "body": None if body is None else list(body),
            "headers": {"accept": "*/*", "x-ü": '"\\'},
        }
    )


def response(status: int, body: str | None = None) -> str:
    """What a function replies to http-ingress, as EDGELESS's functions write it."""
    numbers = None if body is None else list(body.encode())
    parts: dict[str, object] = {"body": numbers, "status": status, "headers": {}}
    return json.dumps(parts, separators=(",", ":"))


def sent(outputs: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """*outputs* without the log."""
    return [output for output in outputs if output[0] != "log"]


@pytest.mark.function("http_extractor")
@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        (b"21", [("cast", "out", "21")]),
        ("grüße".encode(), [("cast", "out", "grüße")]),
        (b"", [("cast", "out", "")]),
        (None, []),
    ],
)
def test_http_extractor_casts_bodies(
    load: Loader, body: bytes | None, outputs: list[tuple[object, ...]]
) -> None:
    guest = load("http_extractor")
    guest.init()
    assert guest.call(request("/anything?x=1", body)) == (1, response(200))
    assert guest.outputs == outputs
    guest.outputs.clear()
    assert guest.cast(request("/", body)) == []


@pytest.mark.function("http_extractor")
def test_http_extractor_refuses_a_body_that_is_no_text(load: Loader) -> None:
    guest = load("http_extractor")
    guest.init()
    assert guest.call(request("/", b"\xff")) == (1, response(400, "the body is not a text"))
    assert guest.outputs == []


@pytest.mark.function("http_extractor", "http_processor", "http_read_number")
@pytest.mark.parametrize("name", ["http_extractor", "http_processor", "http_read_number"])
@pytest.mark.parametrize("message", NOT_REQUESTS)
def test_what_is_no_request_is_answered_with_400(load: Loader, name: str, message: str) -> None:
    guest = load(name)
    guest.init()
    assert guest.call(message) == (1, response(400, "not a request"))
    assert sent(guest.outputs) == []


@pytest.mark.function("http_processor")
@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/hello", response(200, "World")),
        ("/", response(404, "Not Found")),
        ("/hello?x", response(404, "Not Found")),
    ],
)
def test_http_processor_knows_one_path(load: Loader, path: str, answer: str) -> None:
    guest = load("http_processor")
    guest.init()
    assert guest.call(request(path)) == (1, answer)
    assert sent(guest.cast(request(path))) == []


@pytest.mark.function("http_read_number")
@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/read_number", b"-42", 200, None),
        ("/read_number", b"+7", 200, None),
        ("/read_number", b"2147483648", 400, "the body is not an integer"),
        ("/read_number", b"1.5", 400, "the body is not an integer"),
        ("/read_number", b"", 400, "the body is not an integer"),
        ("/read_number", b"\xc3", 400, "the body is not a text"),
        ("/read_number", None, 400, "no body"),
        ("/write_number", b"7", 404, "no such path"),
    ],
)
def test_http_read_number_casts_integers(
    load: Loader, path: str, body: bytes | None, status: int, text: str | None
) -> None:
    guest = load("http_read_number")
    guest.init()
    assert guest.call(request(path, body)) == (1, response(status, text))
    cast = [("cast", "parsed_value", (body or b"").decode())] if status == 200 else []
    assert sent(guest.outputs) == cast


def asked(host: str, path: str) -> str:
    """The request of http_requestor."""
    return (
        f'{{"method":"Get","protocol":"HTTPS","host":"{host}","path":"{path}","body":null,'
        '"headers":{"Accept":"application/vnd.github+json","User-Agent":"edgeless"}}'
    )


@pytest.mark.function("http_requestor")
@pytest.mark.parametrize(
    ("payload", "host", "path"),
    [(None, "api.github.com:443", "/"), ("host=a.test:8443,path=/zen?x", "a.test:8443", "/zen?x")],
)
def test_http_requestor_asks_after_five_seconds_and_for_every_message(
    load: Loader, payload: str | None, host: str, path: str
) -> None:
    guest = load("http_requestor")
    assert sent(guest.init(payload)) == [("delayed_cast", 5000, "self", "wakeup")]
    for message in ("wakeup", "again"):
        guest.answers.append((1, response(200, "gr\xfc\xdfe").encode()))
        outputs = guest.cast(message)
        assert sent(outputs) == [("call", "http_e", asked(host, path))]
        assert outputs[-1] == ("log", INFO, "http_requestor", "http_requestor: got 200: grüße")
    assert guest.call("x") == (0, "")


@pytest.mark.function("http_requestor", "http_write_number")
@pytest.mark.parametrize("name", ["http_requestor", "http_write_number"])
@pytest.mark.parametrize("answer", [(0, b""), (2, b""), (1, b""), (1, b"{}")])
def test_an_answer_that_is_no_response_is_reported(
    load: Loader, name: str, answer: tuple[int, bytes]
) -> None:
    guest = load(name)
    guest.init("a.test")
    guest.answers.append(answer)
    assert guest.cast("7")[-1] == ("log", ERROR, name, f"{name}: got no response")


@pytest.mark.function("http_write_number")
def test_http_write_number_posts_what_it_gets(load: Loader) -> None:
    guest = load("http_write_number")
    assert sent(guest.init("a.test:8080")) == []
    guest.answers.append((1, response(201).encode()))
    outputs = guest.cast("42")
    assert sent(outputs) == [
        (
            "call",
            "external_sink",
            '{"method":"Post","protocol":"HTTP","host":"a.test:8080","path":"",'
            '"body":[52,50],"headers":{}}',
        )
    ]
    assert outputs[-1] == ("log", INFO, "http_write_number", "http_write_number: got 201")
    assert guest.call("42") == (0, "")


@pytest.mark.function("http_write_number")
def test_http_write_number_without_a_host_says_so(load: Loader) -> None:
    guest = load("http_write_number")
    guest.init()
    assert [output[:2] for output in guest.cast("42")] == [("log", INFO), ("log", ERROR)]
