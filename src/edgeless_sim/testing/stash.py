"""What the fixtures leave for a failing test's report."""

from collections.abc import Callable
from typing import Final

import pytest

__all__ = ["seed_key", "tail_key", "world_key"]

seed_key: Final = pytest.StashKey[int]()
world_key: Final = pytest.StashKey[str]()
#: Gives the journal's last records as lines.
tail_key: Final = pytest.StashKey[Callable[[], list[str]]]()
