"""Recent: what happened lately, to so many at most."""

from typing import Generic, TypeVar

__all__ = ["Recent"]

T = TypeVar("T")


class Recent(Generic[T]):
    """The last *count_max* different values that were added."""

    __slots__ = ("_count_max", "_values")

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._values: dict[T, None] = {}

    def __contains__(self, value: T) -> bool:
        return value in self._values

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: T) -> None:
        """It is the latest now; the oldest is forgotten if there are too many."""
        self._values.pop(value, None)
        self._values[value] = None
        if len(self._values) > self._count_max:
            del self._values[next(iter(self._values))]
