"""What joins domains is called: the resource class portal, its halves, labels and providers.

Spec 3.5 and 6.13. Not here: who needs which halves (`controller.portal`), and what they do
(`balancer`).
"""

from enum import StrEnum
from typing import Final

__all__ = [
    "PORTAL_BY_LABEL",
    "PORTAL_CLASS",
    "PORTAL_LABEL",
    "PORTAL_OUTPUT",
    "PortalRole",
    "PortalSide",
    "portal_provider",
]

PORTAL_CLASS: Final = "portal"
#: The only output of a half that has one.
PORTAL_OUTPUT: Final = "out"
#: A node with this label joins the domain whose name follows to its own.
PORTAL_LABEL: Final = "portal-domain="


#: Ours: a node with this label joins its own domain to the portal domain whose name follows. It
#: tells balancers apart in a domain that has several.
PORTAL_BY_LABEL: Final = "portal-by="


class PortalRole(StrEnum):
    """Which way the events go that two halves carry."""

    #: From the local domain to the portal domain.
    SINK = "sink"
    #: From the portal domain to the local domain.
    SOURCE = "source"


class PortalSide(StrEnum):
    """In which of a balancer's two domains a half is."""

    LOCAL = "local"
    PORTAL = "portal"


def portal_provider(domain_id: str) -> str:
    """The id, in both its domains, of the provider that joins *domain_id* to a portal domain."""
    return f"portal-{domain_id}"
