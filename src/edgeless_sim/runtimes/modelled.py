"""MODELLED functions: no code, only what they cost (design, decision 25).

Every cast is forwarded unchanged on each mapped output after the service time; a call is answered
with its payload. The annotation ``init-payload`` says how long that takes: ``service=c(5)``.
Beginning and stopping cost nothing.

Thousands of these are simulated at once, so `dispatch` is on the hot path: it does nothing but
make the values that it returns.
"""

from random import Random
from typing import ClassVar, Final

from edgeless_sim.errors import BadCodeError
from edgeless_sim.model.event import CallReturn, CallReturnKind
from edgeless_sim.model.function import SpawnFunctionRequest
from edgeless_sim.model.ids import InstanceId
from edgeless_sim.model.names import quoted
from edgeless_sim.runtimes.base import Cast, Done, GuestEvent, GuestEventKind, RuntimeSettings, Step
from edgeless_sim.runtimes.distribution import Constant, Distribution, parse_distribution

__all__ = ["ModelledInstance", "ModelledRuntime"]

_EXAMPLE: Final = 'for example "init-payload": "service=c(5)"'
_PARAMETERS_CHARS_MAX: Final = 1024
# Plain integers: comparing them is cheaper than looking up members of an enumeration.
_CAST: Final = int(GuestEventKind.CAST)
_CALL: Final = int(GuestEventKind.CALL)
_REPLY: Final = CallReturnKind.REPLY


class ModelledInstance:
    """One MODELLED instance. The driver tells it the mapped outputs by `patched`."""

    __slots__ = ("_channel", "_channels", "_constant_ns", "_dice", "_service")

    def __init__(self, service: Distribution, dice: Random) -> None:
        self._service = service
        #: -1 = not constant, draw.
        self._constant_ns = service.duration_ns if isinstance(service, Constant) else -1
        # Dice are 3 KB, a quarter of what an instance takes.
        self._dice = dice if self._constant_ns < 0 else None
        self._channels: tuple[str, ...] = ()
        #: The only channel if there is exactly one, which is the usual case.
        self._channel: str | None = None

    def patched(self, channels: tuple[str, ...]) -> None:
        """Forward casts to *channels* from now on; the driver calls this at each patch."""
        # Sorted: the order in which a mapping was written or decoded must not show.
        self._channels = tuple(sorted(channels))
        self._channel = self._channels[0] if len(self._channels) == 1 else None

    def dispatch(self, event: GuestEvent) -> Step:
        """See `FunctionInstance.dispatch`. Never blocks, never fails."""
        kind = event.kind
        if kind != _CAST and kind != _CALL:
            return Done([], None, 0, 0)
        service_ns = self._constant_ns
        if self._dice is not None:
            service_ns = self._service.draw_ns(self._dice)
        payload = event.payload or ""
        if kind == _CALL:
            return Done([], CallReturn(_REPLY, payload), 0, service_ns)
        channel = self._channel
        if channel is not None:
            return Done([Cast(channel, payload)], None, 0, service_ns)
        return Done([Cast(each, payload) for each in self._channels], None, 0, service_ns)

    def resume(self, reply: CallReturn) -> Step:
        """See `FunctionInstance.resume`; never due, because nothing here blocks."""
        raise AssertionError(f"a MODELLED function waits for no call, but got {reply}")

    def discard(self) -> None:
        """See `FunctionInstance.discard`."""


class ModelledRuntime:
    """Makes `ModelledInstance` objects; they share nothing."""

    function_type: ClassVar[str] = "MODELLED"

    def __init__(self, settings: RuntimeSettings) -> None:
        """*settings* has nothing for functions without code."""

    def instantiate(
        self,
        pid: InstanceId,  # noqa: ARG002 - a model does not depend on who it is
        request: SpawnFunctionRequest,
        dice: Random,
    ) -> ModelledInstance:
        """See `FunctionRuntime.instantiate`. The parameters are the annotation ``init-payload``."""
        parameters = _parameters(request.annotations.get("init-payload", ""))
        try:
            service = parse_distribution(parameters["service"])
        except KeyError:
            raise BadCodeError(f"a MODELLED function needs its service time, {_EXAMPLE}") from None
        except ValueError as cause:
            raise BadCodeError(f"init-payload, key 'service': {cause}") from None
        return ModelledInstance(service, dice)

    def close(self) -> None:
        """See `FunctionRuntime.close`."""


def _parameters(text: str) -> dict[str, str]:
    """The ``key=value`` pairs of *text*, separated by commas; raise `BadCodeError`."""
    if len(text) > _PARAMETERS_CHARS_MAX:
        raise BadCodeError(f"init-payload has more than {_PARAMETERS_CHARS_MAX} characters")
    found: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals:
            raise BadCodeError(f"init-payload: {quoted(pair)} is not key=value, {_EXAMPLE}")
        if key != "service":
            raise BadCodeError(f"init-payload: unknown key {quoted(key)}; known: 'service'")
        if key in found:
            raise BadCodeError(f"init-payload: key {quoted(key)} occurs twice")
        found[key] = value
    return found
