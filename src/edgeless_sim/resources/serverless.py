"""serverless: a cast is a POST to a function that runs elsewhere, its answer an event (spec 6.9).

The class has the name that the node's owner gives it, and so has the function its URL. That is why
it may be anywhere. Redirects are not followed. Not here: sockets (`socket_web`) and the simulated
web.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from edgeless_sim.errors import ResourceError, SettingsError
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.base import ResourceHost
from edgeless_sim.resources.egress_rules import TIMEOUT_S, place_of_url
from edgeless_sim.resources.posting import (
    Post,
    Posted,
    PostingInstance,
    PostingProvider,
    text_of,
)

__all__ = ["ERR_CHANNEL", "OUT_CHANNEL", "Serverless"]

OUT_CHANNEL: Final = "out"
ERR_CHANNEL: Final = "err"
_OK: Final = 200


class Serverless(PostingProvider[None]):
    """Makes instances of one function that runs elsewhere; see `ResourceProvider`.

    Raises `SettingsError` if the node was not told which function, or one without a usable URL.
    """

    class_type: ClassVar[str] = "serverless"
    version: ClassVar[str] = "1.0"
    outputs: ClassVar[tuple[str, ...]] = (ERR_CHANNEL, OUT_CHANNEL)
    description: ClassVar[str] = "Each cast is a POST to a function that runs elsewhere"
    configurations: ClassVar[Mapping[str, str]] = {}

    def __init__(self, provider_id: str, host: ResourceHost) -> None:
        told = next((s for s in host.settings.serverless if s.provider_id == provider_id), None)
        if told is None:
            raise SettingsError(
                f"serverless: nothing says what {quoted(provider_id)} stands for; write a table "
                "[[resources.serverless_provider]] with class_type and function_url"
            )
        try:
            self._place = place_of_url(told.function_url)
        except ResourceError as cause:
            raise SettingsError(
                clipped(f"serverless: the function_url of {quoted(provider_id)}: {cause}")
            ) from None
        self._url = told.function_url
        self.class_type = told.class_type  # type: ignore[misc]  # the name is the owner's
        self.version = told.version  # type: ignore[misc]  # and so is the version
        super().__init__(provider_id, host)

    @property
    def _timeout_s(self) -> float:
        return min(TIMEOUT_S, self._host.settings.call_timeout_s)

    def _read(self, specification: ResourceInstanceSpecification, before: None) -> None:
        del specification, before

    def _post(self, instance: PostingInstance[None], payload: str) -> Post:
        del instance
        return Post(self._place, payload.encode(), {})

    def _finish(
        self, instance: PostingInstance[None], told: None, payload: str, posted: Posted
    ) -> None:
        del told, payload
        if posted.status != _OK:
            raise ResourceError(f"status {posted.status} returned")
        instance.sink.cast(OUT_CHANNEL, text_of(posted.body))

    def _fail(self, instance: PostingInstance[None], message: str) -> None:
        super()._fail(instance, message)
        instance.sink.cast(
            ERR_CHANNEL,
            f"error when calling serverless function at {self._url} for resource "
            f"{instance.pid}: {clipped(message)}",
        )
