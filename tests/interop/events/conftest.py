"""A third node in the domain, spoken by hand: what the two others send is seen from outside.

It offers one resource, class ``probe``. Its outputs are what tests cast to and call; what is mapped
to it arrives in `Probe.events`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from edgeless_sim.api.protobuf._generated import edgeless_api_pb2 as pb
from edgeless_sim.cluster.ports import LOOPBACK

if TYPE_CHECKING:
    from tests.interop.conftest import Deployment, Program, Side

CLASS: Final = "probe"
_TTL_S: Final = 10
_ANSWER_S: Final = 10.0
_REPLIES: Final = (pb.CALL_RET, pb.CALL_NO_RET, pb.ERR)


class Probe:
    """The node; see `open_probe`."""

    def __init__(self, register_url: str) -> None:
        self.node_id = str(uuid4())
        self.events: list[pb.Event] = []
        """The casts and calls that arrived."""
        self.peers: dict[str, str] = {}
        self.resets = 0
        self.stops = 0
        self.outputs: dict[str, pb.InstanceId] = {}
        self.answer: tuple[Any, str] | None = None
        """Type and text of what calls to the probe get; None = nothing ever."""
        self.instance = pb.InstanceId(node_id=self.node_id, function_id=str(uuid4()))
        self.url = ""
        self._register_url = register_url
        self._waiting: dict[int, asyncio.Future[pb.Event]] = {}
        self._stream = 1000
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def cast(self, output: str, text: str) -> None:
        """Cast to what *output* is mapped to."""
        await self._send(self.outputs[output], pb.CAST, 0, text)

    async def call(self, output: str, text: str, timeout_s: float = _ANSWER_S) -> tuple[str, str]:
        """Call it; the type and the text of the answer. Raises TimeoutError."""
        self._stream += 1
        answer = asyncio.get_running_loop().create_future()
        self._waiting[self._stream] = answer
        await self._send(self.outputs[output], pb.CALL, self._stream, text)
        async with asyncio.timeout(timeout_s):
            event = await answer
        return pb.EventType.Name(event.msg.event_type), event.msg.payload

    def texts(self) -> list[str]:
        """Of the casts and calls that arrived."""
        return [event.msg.payload for event in self.events]

    async def _send(self, target: pb.InstanceId, kind: Any, stream: int, text: str) -> None:
        event = pb.Event(
            target=target,
            source=self.instance,
            stream_id=stream,
            msg=pb.EventData(event_type=kind, payload=text),
            created=pb.EventTimestamp(secs=int(time.time())),
            metadata=pb.EventSerializedMetadata(trace_id=bytes(16), span_id=bytes(8)),
        )
        await self._ask(self.peers[target.node_id], "FunctionInvocation/Handle", event, Empty)

    async def _ask(self, url: str, method: str, request: Message, reply: type[Message]) -> Any:
        channel = self._channels.get(url)
        if channel is None:
            channel = grpc.aio.insecure_channel(url.removeprefix("http://"))
            self._channels[url] = channel
        ask: Any = channel.unary_unary(
            f"/edgeless_api.{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=reply.FromString,
        )
        return await ask(request, timeout=_ANSWER_S)

    # -- what others ask of it ------------------------------------------------------------------

    async def handle(self, event: pb.Event) -> Message:
        """`FunctionInvocation.Handle`."""
        if event.msg.event_type in _REPLIES:
            waiting = self._waiting.pop(event.stream_id)
            if not waiting.done():
                waiting.set_result(event)
            return Empty()
        self.events.append(event)
        if event.msg.event_type == pb.CALL and self.answer is not None:
            kind, text = self.answer
            await self._send(event.source, kind, event.stream_id, text)
        return Empty()

    async def start(self, request: pb.ResourceInstanceSpecification) -> Message:
        """`ResourceConfiguration.Start`: one instance, whose outputs may come along."""
        pid = request.instance_id if request.HasField("instance_id") else self.instance
        self.instance = pid
        self.outputs = dict(request.output_mapping.targets)
        return pb.StartComponentResponse(instance_id=pb.InstanceIdVariant(instance_id=pid))

    async def patch(self, request: pb.PatchRequest) -> Message:
        """`ResourceConfiguration.Patch`."""
        self.outputs = dict(request.output_mapping)
        return Empty()

    async def stop(self, _: pb.InstanceIdVariant) -> Message:
        """`ResourceConfiguration.Stop`."""
        self.outputs = {}
        self.stops += 1
        return Empty()

    async def update_peers(self, request: pb.UpdatePeersRequest) -> Message:
        """`NodeManagement.UpdatePeers`."""
        if request.request_type == pb.ADD:
            self.peers[request.node_id] = request.invocation_url
        else:
            self.peers.pop(request.node_id, None)
        return Empty()

    async def reset(self, _: Empty) -> Message:
        """`NodeManagement.Reset`."""
        self.resets += 1
        return Empty()

    async def refresh(self) -> None:
        """Register again and again."""
        nonce = uuid4().int >> 65
        while True:
            request = pb.UpdateNodeRequest(
                node_id=self.node_id,
                agent_url=self.url,
                invocation_url=self.url,
                resource_providers=[
                    pb.ResourceProviderSpecification(provider_id=CLASS, class_type=CLASS)
                ],
                capabilities=pb.NodeCapabilities(num_cpus=1, num_cores=1, clock_freq_cpu=1),
                refresh_deadline=int(time.time()) + _TTL_S,
                nonce=nonce,
                health_status=pb.NodeHealthStatus(),
                performance_samples=pb.NodePerformanceSamples(),
            )
            with suppress(grpc.aio.AioRpcError):
                await self._ask(
                    self._register_url,
                    "NodeRegistration/UpdateNode",
                    request,
                    pb.UpdateNodeResponse,
                )
            await asyncio.sleep(1)

    async def close(self) -> None:
        """Close what it talks over."""
        for channel in self._channels.values():
            await channel.close()


def _service(
    name: str, **methods: tuple[Callable[[Any], Awaitable[Message]], type[Message]]
) -> Any:
    def handler(method: Callable[[Any], Awaitable[Message]], request: type[Message]) -> Any:
        async def serve(message: Any, _: object) -> Message:
            return await method(message)

        return grpc.unary_unary_rpc_method_handler(
            serve,
            request_deserializer=request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    return grpc.method_handlers_generic_handler(
        f"edgeless_api.{name}", {key: handler(*value) for key, value in methods.items()}
    )


@asynccontextmanager
async def open_probe(register_url: str) -> AsyncGenerator[Probe]:
    """A probe that registers at *register_url*, until the end of the block."""
    probe = Probe(register_url)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            _service("FunctionInvocation", Handle=(probe.handle, pb.Event)),
            _service(
                "ResourceConfiguration",
                Start=(probe.start, pb.ResourceInstanceSpecification),
                Patch=(probe.patch, pb.PatchRequest),
                Stop=(probe.stop, pb.InstanceIdVariant),
            ),
            _service(
                "NodeManagement",
                UpdatePeers=(probe.update_peers, pb.UpdatePeersRequest),
                Reset=(probe.reset, Empty),
            ),
        )
    )
    probe.url = f"http://{LOOPBACK}:{server.add_insecure_port(f'{LOOPBACK}:0')}"
    await server.start()
    refreshing = asyncio.create_task(probe.refresh())
    try:
        yield probe
    finally:
        refreshing.cancel()
        await asyncio.gather(refreshing, return_exceptions=True)
        await probe.close()
        await server.stop(0)


@dataclass(frozen=True)
class Mixed:
    """A domain with a node of each side and the probe, and a workflow across all three.

    The probe's outputs are ``relay``, on one side, which hands what it gets on to ``messenger``,
    on the other, whose output ``test`` leads to the probe; and ``there``, which is where
    ``relay`` is, and hands on to a relay where ``messenger`` is, which hands on to the probe.
    """

    deployment: Deployment
    probe: Probe
    nodes: dict[Side, Program]
    workflow: str


def _combination(orc: Side, relay: Side, messenger: Side) -> Any:
    name = f"orc-{orc}-relay-{relay}-messenger-{messenger}"
    return pytest.param((orc, relay, messenger), id=name)


@asynccontextmanager
async def open_mixed(
    deployment: Deployment, orc: Side, relay: Side, messenger: Side
) -> AsyncGenerator[Mixed]:
    """See `Mixed`."""
    await deployment.controller("ours")
    _, *nodes = await deployment.domain(orc, "ours", "theirs")
    async with open_probe(deployment.url("domain/nodes")) as probe:
        await deployment.registered("domain", 3)
        workflow = await deployment.start_workflow(
            {
                "relay": _function("relay", relay, {"out": "messenger"}),
                "messenger": _function("messaging_test", messenger, {"test": "probe"}),
                "there": _function("relay", relay, {"out": "back"}),
                "back": _function("relay", messenger, {"out": "probe"}),
            },
            {
                "probe": {
                    "class_type": CLASS,
                    "outputs": {key: key for key in ("relay", "messenger", "there")},
                }
            },
        )
        await deployment.until(lambda: len(probe.outputs) == 3 and len(probe.peers) >= 2)
        yield Mixed(deployment, probe, {node.side: node for node in nodes}, workflow)


def _function(kind: str, side: Side, outputs: dict[str, str]) -> dict[str, Any]:
    return {"kind": kind, "outputs": outputs, "annotations": {"label_match_all": side}}


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[
        _combination("ours", "ours", "theirs"),
        _combination("ours", "theirs", "ours"),
        _combination("theirs", "ours", "theirs"),
        _combination("theirs", "theirs", "ours"),
    ],
)
async def mixed(
    request: pytest.FixtureRequest,
    open_deployment: Callable[[Path], AbstractAsyncContextManager[Deployment]],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Mixed]:
    """See `Mixed`; its orchestrator, relay and messenger are on either side."""
    async with (
        open_deployment(tmp_path_factory.mktemp("mixed")) as deployment,
        open_mixed(deployment, *request.param) as mixed,
    ):
        yield mixed


@pytest.fixture
def open_a_mixed(
    deployment: Deployment,
) -> Callable[[Side, Side, Side], AbstractAsyncContextManager[Mixed]]:
    """As `mixed`, for one test alone."""
    return partial(open_mixed, deployment)
