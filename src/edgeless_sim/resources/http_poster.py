"""http-poster: a cast is the body of a POST, whose answer nobody gets (spec 6.4).

It may go where http-egress may. Not here: sockets (`socket_web`) and the simulated web.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.names import clipped, quoted
from edgeless_sim.model.resource import ResourceInstanceSpecification
from edgeless_sim.resources.egress_policy import EgressPolicy
from edgeless_sim.resources.egress_rules import TIMEOUT_S, Place, place_fault, place_of_url
from edgeless_sim.resources.http_routes import is_true
from edgeless_sim.resources.posting import Post, Posted, PostingInstance, PostingProvider

__all__ = ["HttpPoster", "Target"]

_NOT_CREATED: Final = "Error when creating a http-poster resource"


class Target(NamedTuple):
    """Where an instance posts, and whether events are Base64."""

    place: Place
    decodes: bool


class HttpPoster(PostingProvider[Target]):
    """Makes http-poster instances on one node; see `ResourceProvider`.

    Raises `SettingsError` if the node's list of allowed addresses cannot be understood.
    """

    class_type: ClassVar[str] = "http-poster"
    version: ClassVar[str] = "1.0"
    description: ClassVar[str] = "Each cast is the body of a POST; the answer is ignored"
    configurations: ClassVar[Mapping[str, str]] = {
        "url": "where to post",
        "decode_base64": "true: events are Base64, what they stand for is posted; default false",
    }
    redirected: ClassVar[bool] = True

    def _policy(self) -> EgressPolicy:
        return EgressPolicy(self._host.settings.http_egress_allow, key="http_egress_allow")

    @property
    def _timeout_s(self) -> float:
        return min(TIMEOUT_S, self._host.settings.call_timeout_s)

    def _read(self, specification: ResourceInstanceSpecification, before: Target | None) -> Target:
        del before
        configuration = specification.configuration
        url = configuration.get("url", "")
        try:
            place = place_of_url(url)
            fault = place_fault(self._policy(), place)
            if fault is not None:
                raise ResourceError(fault)
        except ResourceError as cause:
            # What stands before an @ is secret.
            shown = url if "@" not in url else url.partition(":")[0] + "://..."
            raise RejectedError(
                _NOT_CREATED, clipped(f"Invalid url field {quoted(shown)}: {cause}")
            ) from None
        return Target(place, is_true(configuration, "decode_base64"))

    def _post(self, instance: PostingInstance[Target], payload: str) -> Post:
        body = payload.encode()
        if instance.told.decodes:
            try:
                body = b64decode(body, validate=True)
            except Base64Error as cause:
                raise ResourceError(f"nothing is posted: {cause}") from None
        return Post(instance.told.place, body, {})

    def _finish(
        self, instance: PostingInstance[Target], told: Target, payload: str, posted: Posted
    ) -> None:
        del instance, told, payload
        if not posted.is_good:
            raise ResourceError(f"status {posted.status} returned")
