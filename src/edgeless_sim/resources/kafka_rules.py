"""What kafka-egress and its twin in simulation have in common: brokers, topics, limits and pauses.

Not here: which addresses may be connected to (`egress_policy`).
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from edgeless_sim.errors import RejectedError, ResourceError
from edgeless_sim.model.names import quoted
from edgeless_sim.resources.files import REJECTED_SUMMARY

__all__ = [
    "BROKERS_MAX",
    "INSTANCES_MAX",
    "PAUSE_MAX_NS",
    "PAUSE_MIN_NS",
    "TIMEOUT_S",
    "WAITING_MAX",
    "Broker",
    "BrokerAwayError",
    "KafkaPlace",
    "read_place",
    "topic_fault",
]

#: Brokers that a configuration may name.
BROKERS_MAX: Final = 16
#: Events of one instance that wait.
WAITING_MAX: Final = 1024
#: For a connection, and for a request.
TIMEOUT_S: Final = 2.0
#: After a failure the brokers are left alone for so long; doubled with each further failure.
PAUSE_MIN_NS: Final = 50_000_000
PAUSE_MAX_NS: Final = 2_000_000_000
INSTANCES_MAX: Final = 1_000
_PORT: Final = 9092
_PORT_MAX: Final = 65_535
_BROKER: Final = re.compile(
    r"(?:(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]{0,252})|\[(?P<address>[0-9A-Fa-f:.]{2,45})\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


class BrokerAwayError(ResourceError):
    """No broker can be used now: whoever asks again at once gets the same answer."""


class Broker(NamedTuple):
    """A server of a cluster."""

    host: str
    """A name or an address, IPv6 without brackets."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class KafkaPlace(NamedTuple):
    """A topic, and who is asked first where it is."""

    brokers: tuple[Broker, ...]
    topic: str


def read_place(configuration: Mapping[str, str]) -> KafkaPlace:
    """What an instance is told; raise `RejectedError`, without showing what stands before an @."""
    brokers, topic = configuration.get("brokers"), configuration.get("topic")
    if brokers is None or topic is None:
        raise RejectedError(REJECTED_SUMMARY, "One of the fields 'brokers' or 'topic' is missing")
    fault = topic_fault(topic)
    if fault is not None:
        raise RejectedError(REJECTED_SUMMARY, f"topic: {fault}")
    texts = brokers.split(",", BROKERS_MAX)
    if len(texts) > BROKERS_MAX:
        raise RejectedError(REJECTED_SUMMARY, f"brokers: more than {BROKERS_MAX} of them")
    found = dict.fromkeys(_broker(text.strip()) for text in texts)
    return KafkaPlace(tuple(found), topic)


def topic_fault(topic: str) -> str | None:
    """Why *topic* cannot be the name of a topic; None if it can."""
    if _TOPIC.fullmatch(topic) and topic not in (".", ".."):
        return None
    return (
        f"{quoted(topic)} is no name of a topic: write 1 to 249 ASCII letters, digits, '.', '_' "
        "and '-', but neither '.' nor '..'"
    )


def _broker(text: str) -> Broker:
    if "@" in text or "://" in text:
        raise RejectedError(
            REJECTED_SUMMARY, "brokers: write HOST:PORT, without scheme, user and password"
        )
    found = _BROKER.fullmatch(text)
    port = int(found["port"] or _PORT) if found else 0
    if found is None or not 1 <= port <= _PORT_MAX:
        raise RejectedError(
            REJECTED_SUMMARY, f"brokers: {quoted(text)} is not HOST:PORT; separate them by commas"
        )
    return Broker((found["name"] or found["address"]).lower(), port)
