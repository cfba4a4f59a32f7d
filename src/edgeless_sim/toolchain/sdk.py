"""Where the SDKs are that functions are written with: in the checkout, or in the installation."""

import sys
from pathlib import Path
from typing import Final

from edgeless_sim.errors import ResourceError

__all__ = ["C_HEADERS", "c_headers", "rust_crate"]

#: The headers of the C SDK; the second one includes the first.
C_HEADERS: Final = ("edgeless.h", "edgeless_text.h")


def c_headers() -> list[Path]:
    """The headers of the C SDK; raise `ResourceError` if they are not there."""
    folder = _sdk("c")
    return [folder / name for name in C_HEADERS]


def rust_crate() -> Path:
    """The folder of the crate ``edgeless_function``; raise `ResourceError` if it is not there."""
    return _sdk("rust")


def _sdk(language: str) -> Path:
    checkout = Path(__file__).resolve().parents[3]
    installed = Path(sys.prefix) / "share" / "edgeless-sim"
    for place in (checkout, installed):
        folder = place / "functions" / "sdk" / language
        if folder.is_dir():
            return folder
    raise ResourceError(
        f"the SDK for {language} is missing: install edgeless-sim again, it belongs to it"
    )
