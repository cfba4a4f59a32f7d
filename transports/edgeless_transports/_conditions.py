"""What bytes meet on their way through a `Relay`, and when they come through."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["Conditions", "Direction"]

#: TCP's least retransmission time-out; it doubles while the retransmission is lost, too.
_RETRANSMISSION_S: Final = 0.2
_RETRANSMISSIONS_MAX: Final = 10
#: What a narrow way passes on at once: a hundredth of a second's bytes, or a packet.
_PIECES_PER_S: Final = 100
_PACKET_BYTES: Final = 1460


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the bytes of one direction meet."""

    blocked: bool = False
    latency_ns: int = 0
    #: Plus or minus; never makes a latency negative.
    jitter_ns: int = 0
    #: Probability that a piece, as it was read from the socket, is lost and has to come again.
    loss: float = 0.0
    #: Of all connections of a relay together.
    bandwidth_bytes_per_s: int | None = None


class Direction:
    """One direction of a relay: what all of its connections have in common."""

    def __init__(self, dice: Random) -> None:
        self.conditions = Conditions()
        self.bytes_passed = 0
        #: Pieces that met a bandwidth.
        self.pieces_narrowed = 0
        self._dice = dice
        #: Loop time at which what came until now has passed the bottleneck.
        self._free_at_s = 0.0

    def change(self, conditions: Conditions) -> None:
        """For what comes from now on."""
        if conditions.bandwidth_bytes_per_s != self.conditions.bandwidth_bytes_per_s:
            self._free_at_s = 0.0
        self.conditions = conditions

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """*data* in parts that a bottleneck lets through one after the other."""
        bandwidth = self.conditions.bandwidth_bytes_per_s
        size = max(_PACKET_BYTES, bandwidth // _PIECES_PER_S) if bandwidth else len(data)
        if len(data) <= size:
            yield data
            return
        for start in range(0, len(data), size):
            yield data[start : start + size]

    def due_s(self, size: int, now_s: float) -> float:
        """When a piece that came at *now_s* is through, apart from waiting for those before it."""
        conditions = self.conditions
        through_s = now_s
        if conditions.bandwidth_bytes_per_s:
            self.pieces_narrowed += 1
            start_s = max(now_s, self._free_at_s)
            through_s = self._free_at_s = start_s + size / conditions.bandwidth_bytes_per_s
        latency_ns = conditions.latency_ns
        if conditions.jitter_ns:
            latency_ns += self._dice.randint(-conditions.jitter_ns, conditions.jitter_ns)
        return through_s + max(0, latency_ns) / 1e9 + self._lost_s()

    def _lost_s(self) -> float:
        """What retransmissions cost."""
        lost_s, wait_s = 0.0, _RETRANSMISSION_S
        for _ in range(_RETRANSMISSIONS_MAX if self.conditions.loss else 0):
            if self._dice.random() >= self.conditions.loss:
                break
            lost_s += wait_s
            wait_s *= 2
        return lost_s
