"""What has changed since when, so that nobody has to be told everything again. Pure."""

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["ChangeLog"]

K = TypeVar("K", bound=Hashable)


class ChangeLog(Generic[K]):
    """Numbers changes, and remembers the last one of each key.

    Takes as much room as there are keys; asking costs as many steps as there is to tell.
    """

    __slots__ = ("_last", "floor", "version")

    def __init__(self) -> None:
        #: The number of the last change.
        self.version = 0
        #: Who knows less than this cannot be told what has changed since: some keys are forgotten.
        self.floor = 0
        self._last: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._last)

    def note(self, key: K) -> None:
        """*key* has changed."""
        self.version += 1
        self._last.pop(key, None)
        self._last[key] = self.version

    def forget(self, key: K) -> None:
        """*key* is of no interest any more, for those who know of its last change."""
        changed = self._last.pop(key, None)
        if changed is not None:
            self.floor = max(self.floor, changed)

    def since(self, version: int, count_max: int | None = None) -> tuple[list[K], int]:
        """The keys that changed after *version*, oldest change first, and up to which version.

        At most *count_max*: then the version is that of the last one, and there is more to tell.
        """
        keys: list[K] = []
        for key, changed in reversed(self._last.items()):
            if changed <= version:
                break
            keys.append(key)
        keys.reverse()
        if count_max is not None and len(keys) > count_max:
            del keys[count_max:]
            return keys, self._last[keys[-1]]
        return keys, self.version
