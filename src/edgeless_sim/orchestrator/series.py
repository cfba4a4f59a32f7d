"""What nodes measured of their instances and what these logged, as much of it as there is room for.

A series keeps its newest points. A series for which there is no room is not begun; what it would
have had is counted (reliability S18). Not here: who asks for it (`mirror`).
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final, TypeAlias
from uuid import UUID

from edgeless_sim.model.ids import FunctionId, InstanceId, NodeId
from edgeless_sim.model.mirror import Point, Series
from edgeless_sim.model.names import NAME_BYTES_MAX

__all__ = [
    "OTHER",
    "SERIES_MAX",
    "SERIES_PER_INSTANCE_MAX",
    "SeriesKey",
    "SeriesStore",
]

SERIES_MAX: Final = 100_000
SERIES_PER_INSTANCE_MAX: Final = 64
#: The series of an instance that gets what its further ones would have had.
OTHER: Final = "other"
#: Of one series, and of all. A number weighs 1, a line of a log 1 more for each 64 characters.
_WEIGHT_MAX: Final = 1_000
_WEIGHT_TOTAL_MAX: Final = 1_000_000
_CHARS_PER_WEIGHT: Final = 64
_LINE_CHARS_MAX: Final = 4_096

#: Node, instance on it, name of the series: their order is that of a mirror.
SeriesKey: TypeAlias = tuple[int, int, str]


class _Line:
    """One series."""

    __slots__ = ("points", "touched_s", "weight")

    def __init__(self) -> None:
        self.points: deque[Point] = deque()
        self.weight = 0
        self.touched_s = 0.0


class SeriesStore:
    """The series of one domain. Times are seconds since 1970."""

    def __init__(self, series_max: int = SERIES_MAX, weight_total_max: int = _WEIGHT_TOTAL_MAX):
        self._series_max = series_max
        self._weight_total_max = weight_total_max
        # By the time of the last point, oldest first.
        self._lines: OrderedDict[SeriesKey, _Line] = OrderedDict()
        self._order: list[SeriesKey] = []
        self._names: dict[tuple[int, int], int] = {}
        self._weight = 0
        self.refused_total = 0
        """Points for which there was no room."""

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, instance: InstanceId, name: str, point: Point, now_s: float) -> str | None:
        """Take a point that came at *now_s*; return the name of its series, or None if refused."""
        name = name[:NAME_BYTES_MAX]
        owner = (instance.node_id.int, instance.function_id.int)
        found = self._line(owner, name)
        if found is None:
            self.refused_total += 1
            return None
        name, line = found
        if isinstance(point.value, str) and len(point.value) > _LINE_CHARS_MAX:
            point = Point(point.time_s, point.value[:_LINE_CHARS_MAX])
        line.points.append(point)
        line.touched_s = now_s
        self._weigh(line, _weight(point))
        while len(line.points) > 1 and (
            line.weight > _WEIGHT_MAX or self._weight > self._weight_total_max
        ):
            self._weigh(line, -_weight(line.points.popleft()))
        self._lines.move_to_end((*owner, name))
        return name

    def expire(self, before_s: float) -> None:
        """Forget the series that got nothing since *before_s*."""
        while self._lines:
            key, line = next(iter(self._lines.items()))
            if line.touched_s >= before_s:
                return
            del self._lines[key]
            del self._order[bisect_left(self._order, key)]
            self._weight -= line.weight
            owner = key[:2]
            self._names[owner] -= 1
            if not self._names[owner]:
                del self._names[owner]

    def after(self, key: SeriesKey | None, since_s: float = 0.0) -> Iterator[Series]:
        """The series behind *key*, in order, with what is not from before *since_s*, if anything.

        To be read before anything else happens.
        """
        place = 0 if key is None else bisect_right(self._order, key)
        while place < len(self._order):
            found = self._order[place]
            line = self._lines[found]
            points = tuple(point for point in line.points if point.time_s >= since_s)
            node, function, name = found
            instance = InstanceId(NodeId(UUID(int=node)), FunctionId(UUID(int=function)))
            yield Series(instance, name, points)
            place += 1

    def _line(self, owner: tuple[int, int], name: str) -> tuple[str, _Line] | None:
        line = self._lines.get((*owner, name))
        if line is not None:
            return name, line
        if self._names.get(owner, 0) >= SERIES_PER_INSTANCE_MAX - 1 and name != OTHER:
            return self._line(owner, OTHER)
        if len(self._lines) >= self._series_max or self._weight >= self._weight_total_max:
            return None
        line = self._lines[*owner, name] = _Line()
        insort(self._order, (*owner, name))
        self._names[owner] = self._names.get(owner, 0) + 1
        return name, line

    def _weigh(self, line: _Line, weight: int) -> None:
        line.weight += weight
        self._weight += weight


def _weight(point: Point) -> int:
    return 1 + (len(point.value) // _CHARS_PER_WEIGHT if isinstance(point.value, str) else 0)
