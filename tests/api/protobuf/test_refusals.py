"""How a "no" travels on EDGELESS's wire, and what its reader makes of it (spec 10.6)."""

from typing import Any

import pytest

from edgeless_sim.api.protobuf import Place, ProtobufWire
from edgeless_sim.errors import (
    NoFeasibleDomainError,
    NoFeasibleNodeError,
    RejectedError,
    UnknownComponentError,
)
from edgeless_transports import RemoteError

WIRE = ProtobufWire(Place(unix_s=lambda: 0.0))
KINDS = [RejectedError, NoFeasibleDomainError, NoFeasibleNodeError, UnknownComponentError]
IN_REPLY = [
    "/edgeless_api.DomainRegistration/UpdateDomain",
    "/edgeless_api.FunctionInstance/Start",
    "/edgeless_api.NodeRegistration/UpdateNode",
    "/edgeless_api.ResourceConfiguration/Start",
    "/edgeless_api.WorkflowInstance/Migrate",
    "/edgeless_api.WorkflowInstance/Start",
]
AS_STATUS = {
    "/edgeless_api.FunctionInstance/Patch": "Error when updating the links of a function instance",
    "/edgeless_api.FunctionInstance/Stop": "Function instance stopping error",
    "/edgeless_api.NodeManagement/Reset": "Error when resetting",
    "/edgeless_api.NodeManagement/UpdatePeers": "Error when updating peers",
    "/edgeless_api.ResourceConfiguration/Patch": "Error when patching a resource",
    "/edgeless_api.ResourceConfiguration/Stop": "Error when deleting a resource",
    "/edgeless_api.WorkflowInstance/Domains": ("Internal error when listing domain capabilities"),
    "/edgeless_api.WorkflowInstance/Inspect": "Internal error when inspecting a workflow",
    "/edgeless_api.WorkflowInstance/List": "Internal error when listing workflows",
    "/edgeless_api.WorkflowInstance/Stop": "Internal error when stopping a workflow",
}


def told(error: RejectedError) -> tuple[type[RejectedError], str, str | None]:
    return type(error), error.summary, error.detail


def status_of(path: str, error: RejectedError) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        WIRE.encode_refusal(path, error)
    return caught.value


@pytest.mark.parametrize("path", IN_REPLY)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("detail", [None, "", "why [not]"])
def test_a_refusal_in_a_reply_is_raised_again(
    path: str, kind: type[RejectedError], detail: str | None
) -> None:
    with pytest.raises(RejectedError) as caught:
        WIRE.decode_reply(path, WIRE.encode_refusal(path, kind("no room", detail)))
    assert told(caught.value) == (kind, "no room", detail)


@pytest.mark.parametrize("path", AS_STATUS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("detail", [None, "why [not]: x"])
def test_a_refusal_as_a_status_is_raised_again(
    path: str, kind: type[RejectedError], detail: str | None
) -> None:
    error = status_of(path, kind("no room", detail))
    assert error.code.partition(".")[0] == "internal"
    assert error.message == f"{AS_STATUS[path]}: {kind('no room', detail)}"
    assert told(WIRE.decode_refusal(path, error)) == (kind, "no room", detail)


def test_a_status_of_edgeless_is_a_plain_refusal() -> None:
    path = "/edgeless_api.WorkflowInstance/Inspect"
    found = WIRE.decode_refusal(
        path, RemoteError("internal", "Internal error when inspecting a workflow: not there")
    )
    assert told(found) == (RejectedError, "not there", None)


def test_a_status_that_is_no_answer_of_the_service_says_so() -> None:
    path = "/edgeless_api.WorkflowInstance/Inspect"
    found = WIRE.decode_refusal(path, RemoteError("unimplemented", "no such method"))
    assert told(found) == (
        RejectedError,
        "the peer failed to serve the request",
        "unimplemented: no such method",
    )


@pytest.mark.parametrize("path", [IN_REPLY[1], next(iter(AS_STATUS))])
def test_a_text_is_cut_at_1_kib_and_stays_on_its_line(path: str) -> None:
    error = RejectedError("a\nb" + "ε" * 2000, "\x1b[31m" + "ε" * 2000)
    try:
        reply = WIRE.encode_refusal(path, error)
    except RemoteError as status:
        texts = [status.message]
    else:
        with pytest.raises(RejectedError) as caught:
            WIRE.decode_reply(path, reply)
        texts = [caught.value.summary, caught.value.detail or ""]
    for text in texts:
        assert len(text.encode()) <= 1024
        assert text.isprintable()


def test_the_result_wins_over_an_error(scribe: Any) -> None:
    node, function = "aaaaaaaa-0000-4000-8000-00000000000a", "bbbbbbbb-0000-4000-8000-00000000000b"
    payload = scribe.block(1, scribe.text(1, "no")) + scribe.block(
        2, scribe.instance(1, node, function)
    )
    reply = WIRE.decode_reply("/edgeless_api.FunctionInstance/Start", payload)
    assert str(reply.instance_id.function_id) == function


def test_a_reply_with_neither_is_ill_formed() -> None:
    with pytest.raises(
        RejectedError,
        match="Ill-formed StartComponentResponse message: both ResponseError and instance_id are",
    ):
        WIRE.decode_reply("/edgeless_api.FunctionInstance/Start", b"")


def test_an_unknown_kind_of_refusal_is_a_plain_one(scribe: Any) -> None:
    payload = scribe.block(1, scribe.text(1, "no"), scribe.text(1000, "too-late"))
    with pytest.raises(RejectedError) as caught:
        WIRE.decode_reply("/edgeless_api.WorkflowInstance/Start", payload)
    assert told(caught.value) == (RejectedError, "no", None)
