"""Scheme to transport: whatever is installed under the entry points ``edgeless.transports``.

An entry point names a callable that takes ``scheduler=`` and the options of its transport.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

from edgeless_transports.base import Scheduler, Transport
from edgeless_transports.errors import AddressError

__all__ = ["GROUP", "create_transport", "known_schemes"]

GROUP: Final = "edgeless.transports"


def known_schemes() -> list[str]:
    """The schemes for which a transport is installed, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def create_transport(scheme: str, *, scheduler: Scheduler, **options: Any) -> Transport:
    """Make the transport for *scheme*; *options* are its own keyword arguments.

    Raises `AddressError` for an unknown scheme, or if something that the transport needs is not
    installed.
    """
    transport: Transport = _factory(scheme)(scheduler=scheduler, **options)
    return transport


@cache
def _factory(scheme: str) -> Callable[..., Transport]:
    """Look up and import; cached, because reading the installed metadata takes milliseconds."""
    found = sorted(entry_points(group=GROUP, name=scheme), key=lambda point: point.value)
    if not found:
        known = known_schemes()
        nearest = get_close_matches(scheme, known, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise AddressError(
            f"no transport for scheme {scheme!r}{hint} (known: {', '.join(known) or 'none'})"
        )
    try:
        factory: Callable[..., Transport] = found[0].load()
    except ImportError as error:
        raise AddressError(f"the transport {scheme!r} cannot be loaded: {error}") from error
    return factory
