"""EDGELESS's wire, generation H: each method's requests, replies and refusals as protobuf.

`edgeless_sim.api.codec` is the counterpart for our own wire. There a message looks the same
wherever it goes; here it depends on the method and on who is spoken to, so every function takes
the method's path. Events have a wire of their own (`events`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.wrappers_pb2 import BytesValue

from edgeless_sim.api.codec import MESSAGE_BYTES_MAX, MsgpackCodec
from edgeless_sim.api.methods import METHODS
from edgeless_sim.api.protobuf import components, domains, nodes, workflows
from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.api.protobuf.events import EventWire
from edgeless_sim.api.protobuf.identifiers import Place
from edgeless_sim.api.protobuf.refusals import (
    INTERNAL,
    INVALID_ARGUMENT,
    Carriage,
    MalformedRequestError,
    read_response_error,
    rejection_of,
    remote_error,
    response_error,
)
from edgeless_sim.errors import RejectedError
from edgeless_sim.model.event import Event
from edgeless_transports import RemoteError

__all__ = ["WIRE_METHODS", "ProtobufWire"]


@dataclass(frozen=True, slots=True)
class _Form:
    """A message on the wire, and how it is made and read."""

    message: type[Message]
    write: Callable[[Place, Any], Message]
    read: Callable[[Place, Any], Any]


def _form(
    message: type[Message], write: Callable[[Any], Message], read: Callable[[Any], Any]
) -> _Form:
    """A message that is the same in all places."""
    return _Form(message, lambda _, value: write(value), lambda _, found: read(found))


@dataclass(frozen=True, slots=True)
class _WireMethod:
    request: _Form
    reply: _Form
    carriage: Carriage
    #: The field of the reply that holds the result, where a refusal may take its place.
    result: str = ""


_EMPTY: Final = _form(Empty, lambda _: Empty(), lambda _: None)
_CONTROL_REPLY: Final = _form(
    pb.ControlReply, components.control_reply_message, components.read_control_reply
)
_START_REPLY: Final = _Form(
    pb.StartComponentResponse, components.start_reply_message, components.read_start_reply
)
_STATUS_REPLY: Final = _form(
    pb.SpawnWorkflowResponse, workflows.status_reply_message, workflows.read_status_reply
)
_COMPONENT: Final = _Form(pb.InstanceIdVariant, components.id_message, components.read_id)
_PATCH: Final = _Form(
    pb.PatchRequest, lambda _, request: components.patch_message(request), components.read_patch
)
_WORKFLOW: Final = _form(pb.WorkflowId, workflows.workflow_id_message, workflows.read_workflow_id)


def _controller_text(doing: str) -> Carriage:
    text = f"Internal error when {doing}"
    return Carriage(malformed=text, malformed_code=INTERNAL, refused=text)


def _status_text(text: str) -> Carriage:
    return Carriage(malformed="Bad request", refused=text)


def _in_reply(summary: str) -> Carriage:
    return Carriage(malformed=summary, malformed_code="")


def _workflow_instance() -> dict[str, _WireMethod]:
    start = _form(pb.SpawnWorkflowRequest, workflows.start_message, workflows.read_start)
    migrate = _form(pb.MigrateWorkflowRequest, workflows.migrate_message, workflows.read_migrate)
    listed = _form(pb.WorkflowIdList, workflows.list_message, workflows.read_list_reply)
    info = _form(pb.WorkflowInstanceInfo, workflows.info_message, workflows.read_info)
    which = _form(pb.DomainId, domains.domain_id_message, domains.read_domain_id)
    offers = _form(pb.DomainCapabilitiesList, domains.domains_message, domains.read_domains)
    moved = Carriage(malformed="Internal error when migrating a workflow", malformed_code=INTERNAL)
    return {
        "Start": _WireMethod(start, _STATUS_REPLY, _in_reply("Invalid request"), "workflow_status"),
        "Stop": _WireMethod(_WORKFLOW, _EMPTY, _controller_text("stopping a workflow")),
        "List": _WireMethod(_EMPTY, listed, _controller_text("listing workflows")),
        "Inspect": _WireMethod(_WORKFLOW, info, _controller_text("inspecting a workflow")),
        "Domains": _WireMethod(which, offers, _controller_text("listing domain capabilities")),
        "Migrate": _WireMethod(migrate, _STATUS_REPLY, moved, "workflow_status"),
    }


def _components(start: _Form, invalid: str, stopping: str, patching: str) -> dict[str, _WireMethod]:
    return {
        "Start": _WireMethod(start, _START_REPLY, _in_reply(invalid), "instance_id"),
        "Stop": _WireMethod(_COMPONENT, _CONTROL_REPLY, _status_text(stopping)),
        "Patch": _WireMethod(_PATCH, _CONTROL_REPLY, _status_text(patching)),
    }


def _registration(request: _Form, reply: _Form) -> _WireMethod:
    name = request.message.DESCRIPTOR.name
    return _WireMethod(request, reply, Carriage(malformed=f"Error when parsing an {name} message"))


_DOMAIN: Final = _Form(pb.UpdateDomainRequest, domains.domain_message, domains.read_domain)
_DOMAIN_REPLY: Final = _form(
    pb.UpdateDomainResponse, domains.domain_reply_message, domains.read_domain_reply
)

_CODEC: Final = MsgpackCodec()


def _enclosed(kind: Any) -> _Form:
    """Our own codec's form of *kind* in EDGELESS's wire: no peer of EDGELESS's reads it."""

    def read(found: BytesValue) -> Any:
        try:
            return _CODEC.decode(found.value, kind)
        except RejectedError as error:
            raise MalformedRequestError(error.detail or error.summary) from None

    return _form(BytesValue, lambda value: BytesValue(value=_CODEC.encode(value)), read)


def _own(service: str) -> dict[str, _WireMethod]:
    """A service that only our own parts have."""
    return {
        method.path.rpartition("/")[2]: _WireMethod(
            _enclosed(method.request),
            _enclosed(method.reply),
            _status_text(f"Error of {method.path}"),
        )
        for method in METHODS[service].values()
    }


_SERVICES: Final[dict[str, dict[str, _WireMethod]]] = {
    "edgeless_api.WorkflowInstance": _workflow_instance(),
    "edgeless_api.DomainRegistration": {"UpdateDomain": _registration(_DOMAIN, _DOMAIN_REPLY)},
    # Ours: a registration turned around.
    "edgeless_sim.DomainPoll": {
        "Poll": _WireMethod(_DOMAIN_REPLY, _DOMAIN, _status_text("Error when polling a domain"))
    },
    "edgeless_sim.WorkflowExplanation": _own("WorkflowExplanation"),
    "edgeless_sim.DomainMirror": _own("DomainMirror"),
    "edgeless_api.FunctionInstance": _components(
        _form(pb.SpawnFunctionRequest, components.function_message, components.read_function),
        "Invalid function instance creation request",
        "Function instance stopping error",
        "Error when updating the links of a function instance",
    ),
    "edgeless_api.ResourceConfiguration": _components(
        _form(
            pb.ResourceInstanceSpecification, components.resource_message, components.read_resource
        ),
        "Invalid resource specification",
        "Error when deleting a resource",
        "Error when patching a resource",
    ),
    "edgeless_api.NodeManagement": {
        "UpdatePeers": _WireMethod(
            _form(pb.UpdatePeersRequest, nodes.peers_message, nodes.read_peers),
            _EMPTY,
            _status_text("Error when updating peers"),
        ),
        "Reset": _WireMethod(_EMPTY, _CONTROL_REPLY, _status_text("Error when resetting")),
    },
    "edgeless_sim.Handover": _own("Handover"),
    "edgeless_api.NodeRegistration": {
        "UpdateNode": _registration(
            _Form(pb.UpdateNodeRequest, nodes.node_message, nodes.read_node),
            _form(pb.UpdateNodeResponse, nodes.node_reply_message, nodes.read_node_reply),
        )
    },
}

#: Path to method.
WIRE_METHODS: Final[Mapping[str, _WireMethod]] = MappingProxyType(
    {
        f"/{service}/{name}": method
        for service, methods in _SERVICES.items()
        for name, method in methods.items()
    }
)


class ProtobufWire:
    """What peers of EDGELESS's own understand, as spoken at one *place*.

    Every function takes the path of a method of `edgeless_sim.api.methods.METHODS`; another one is
    a bug (KeyError).
    """

    #: Deadlines are calendar time.
    repeatable = False
    #: Events say who sent them, not at which URL that one takes events.
    introduces = False

    def __init__(self, place: Place, *, epoch_ns: int = 0) -> None:
        """*epoch_ns*: see `EventWire`."""
        self._place = place
        events = EventWire(epoch_ns)
        self.encode_event: Callable[[Event], bytes] = events.encode
        self.decode_event: Callable[[bytes], Event] = events.decode

    def encode_request(self, path: str, request: object) -> bytes:
        """The bytes of a request; raise `RejectedError` where the wire cannot carry it."""
        return self._encode(WIRE_METHODS[path].request, request)

    def decode_request(self, path: str, payload: bytes) -> Any:
        """Read a request; raise `MalformedRequestError`, for `encode_refusal`."""
        form = WIRE_METHODS[path].request
        try:
            return form.read(self._place, _parsed(form, payload))
        except DecodeError as error:
            raise MalformedRequestError(str(error)[:512], unreadable=True) from None
        except ValueError as error:
            raise MalformedRequestError(str(error)[:512]) from None

    def encode_result(self, path: str, result: object) -> bytes:
        """The reply that carries *result*; raise `RejectedError` where the wire cannot."""
        return self._encode(WIRE_METHODS[path].reply, result)

    def encode_refusal(self, path: str, error: RejectedError) -> bytes:
        """The reply that carries *error*; raise `RemoteError` where a status has to."""
        method = WIRE_METHODS[path]
        carriage = method.carriage
        if isinstance(error, MalformedRequestError):
            if error.unreadable:
                raise RemoteError(INVALID_ARGUMENT, f"Bad request: {error.detail}")
            if carriage.malformed_code:
                text = f"{carriage.malformed}: {error.detail}"
                raise RemoteError(carriage.malformed_code, text)
            error = RejectedError(carriage.malformed, error.detail)
        if carriage.refused:
            raise remote_error(INTERNAL, carriage.refused, error)
        reply = method.reply.message(response_error=response_error(error))
        return reply.SerializeToString()

    def decode_reply(self, path: str, payload: bytes) -> Any:
        """The result in a reply; raise the `RejectedError` that it carries instead.

        The result wins where a peer sends both (spec 10.5).
        """
        method = WIRE_METHODS[path]
        try:
            reply: Any = _parsed(method.reply, payload)
            if "response_error" in reply.DESCRIPTOR.fields_by_name:
                _raise_refusal(method, reply)
            return method.reply.read(self._place, reply)
        except (DecodeError, ValueError) as error:
            raise RejectedError("malformed message", str(error)[:512]) from None

    def decode_refusal(self, path: str, error: RemoteError) -> RejectedError:
        """The refusal that came as a status."""
        return rejection_of(WIRE_METHODS[path].carriage, error)

    def _encode(self, form: _Form, value: object) -> bytes:
        try:
            payload = form.write(self._place, value).SerializeToString(deterministic=True)
        except ValueError as error:
            raise RejectedError("message cannot be encoded", str(error)[:512]) from None
        _check_size(form, payload)
        return payload


def _parsed(form: _Form, payload: bytes) -> Message:
    _check_size(form, payload)
    return form.message.FromString(payload)


def _check_size(form: _Form, payload: bytes) -> None:
    if len(payload) > MESSAGE_BYTES_MAX:
        raise RejectedError(
            "message too large",
            f"{form.message.DESCRIPTOR.name}: {len(payload)} bytes, at most {MESSAGE_BYTES_MAX}",
        )


def _raise_refusal(method: _WireMethod, reply: Any) -> None:
    if method.result and reply.HasField(method.result):
        return
    if reply.HasField("response_error"):
        raise read_response_error(reply.response_error)
    if method.result:
        name = reply.DESCRIPTOR.name
        raise RejectedError(
            f"Ill-formed {name} message: both ResponseError and {method.result} are empty"
        )
