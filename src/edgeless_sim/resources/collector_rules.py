"""What metrics-collector and its twin in simulation have in common: messages, samples, limits.

Free of the redis library, which simulations need not load. Not here: what comes of a message
(`metrics_collector`), and writing (`sample_writer`).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from edgeless_sim.errors import RejectedError
from edgeless_sim.model.names import name_fault, quoted
from edgeless_sim.resources.files import REJECTED_SUMMARY

__all__ = [
    "ATTEMPTS_MAX",
    "BATCH_MAX",
    "INSTANCES_MAX",
    "NAMES_MAX",
    "PAUSE_MAX_NS",
    "PAUSE_MIN_NS",
    "SAMPLES_MAX",
    "TIMEOUT_S",
    "TRANSACTIONS_MAX",
    "WAITING_MAX",
    "WARM_UP_MS_MAX",
    "CollectorConfiguration",
    "Report",
    "Sample",
    "Verb",
    "average_key",
    "read_configuration",
    "read_report",
    "samples_key",
    "stamp",
]

#: Transactions of one instance that have begun and not ended; the oldest one makes room.
TRANSACTIONS_MAX: Final = 4_096
#: Functions and workflows of one provider that have keys; the one longest without a sample makes
#: room, and its keys are deleted. More than samples can wait, so that none of it waits by then.
NAMES_MAX: Final = 10_000
#: Samples of one provider that wait to be written.
WAITING_MAX: Final = 4_096
#: Samples that are written together.
BATCH_MAX: Final = 128
#: Samples that a key keeps, the newest ones.
SAMPLES_MAX: Final = 100_000
INSTANCES_MAX: Final = 1_000
#: For a connection, and for writing a batch.
TIMEOUT_S: Final = 2.0
#: After a failure Redis is left alone for so long; doubled with each further failure.
PAUSE_MIN_NS: Final = 50_000_000
PAUSE_MAX_NS: Final = 2_000_000_000
#: Failures one after the other until what waits is given up: about a minute.
ATTEMPTS_MAX: Final = 30
#: A day: a longer period during which nothing is kept is a typing error.
WARM_UP_MS_MAX: Final = 86_400_000
_ALPHA: Final = 0.9
_NUMBER_MAX: Final = 2**64 - 1
_MESSAGE: Final = re.compile(
    r"(?P<element>workflow|function):(?P<verb>begin|end):(?P<number>[0-9]{1,20})"
    r"|reset:(?P<warm_up>[0-9]{1,8})"
)
_MESSAGE_CHARS_MAX: Final = 64
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Verb(StrEnum):
    """What a message reports."""

    BEGIN = "begin"
    END = "end"
    RESET = "reset"


class Report(NamedTuple):
    """A message that was understood."""

    verb: Verb
    number: int
    """Of the transaction; of a reset, for how many ms nothing is kept."""
    of_workflow: bool = False
    """Whether the transaction is a workflow's, not a function's."""


class Sample(NamedTuple):
    """How long a transaction took."""

    name: str
    """``workflow:NAME`` or ``function:ID``: what its keys begin with."""
    elapsed_ms: int
    at: str
    """See `stamp`."""
    average: float
    """The moving average of *name* by then, in ms."""

    @property
    def text(self) -> str:
        """As it is kept."""
        return f"{self.elapsed_ms},{self.at}"


class CollectorConfiguration(NamedTuple):
    """What an instance is told."""

    alpha: float
    """Weight of the newest sample in the moving average."""
    workflow: str
    """What the metrics of the workflow are kept under; empty = they are not."""


def read_report(message: str) -> Report | None:
    """What *message* reports; None if that cannot be understood (spec 6.14)."""
    found = _MESSAGE.fullmatch(message) if len(message) <= _MESSAGE_CHARS_MAX else None
    if found is None:
        return None
    if found["warm_up"] is not None:
        warm_up_ms = int(found["warm_up"])
        return Report(Verb.RESET, warm_up_ms) if warm_up_ms <= WARM_UP_MS_MAX else None
    number = int(found["number"])
    if number > _NUMBER_MAX:
        return None
    return Report(Verb(found["verb"]), number, found["element"] == "workflow")


def read_configuration(configuration: Mapping[str, str]) -> CollectorConfiguration:
    """What an instance is told; raise `RejectedError` if that cannot be meant."""
    text = configuration.get("alpha", "")
    try:
        alpha = float(text) if text else _ALPHA
    except ValueError:
        alpha = 0.0
    # Not a number is not greater than 0, either.
    if not 0 < alpha <= 1:
        raise RejectedError(
            REJECTED_SUMMARY, f"alpha: {quoted(text)} is no number above 0 and up to 1"
        )
    workflow = configuration.get("wf_name", "")
    fault = name_fault(workflow) if workflow else None
    if fault is not None:
        raise RejectedError(REJECTED_SUMMARY, f"wf_name: {quoted(workflow)}: {fault}")
    return CollectorConfiguration(alpha, workflow)


def stamp(utc: datetime) -> str:
    """*utc* in seconds since 1970 with three digits behind the point.

    EDGELESS does not pad them: 5 ms after a second reads there as half a second.
    """
    millis = (utc - _UNIX_EPOCH) // _MILLISECOND
    return f"{millis // 1000}.{millis % 1000:03d}"


def samples_key(name: str) -> str:
    """The key of the list of all samples of *name*, each as ``ELAPSED_MS,SECONDS``."""
    return f"{name}:samples"


def average_key(name: str) -> str:
    """The key of the moving average of *name*."""
    return f"{name}:average"
