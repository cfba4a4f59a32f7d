"""Reading one regular file that the user named, bounded and without ever waiting.

The only input of the `model` layer. A pipe would wait for its writer and a device has no end, so
neither is opened. Not here: what the bytes mean.
"""

import os
import stat
from pathlib import Path

__all__ = ["read_regular_file"]


def read_regular_file(path: Path, bytes_max: int) -> bytes:
    """The content of the regular file at *path*; symbolic links are followed.

    Raise FileNotFoundError if nothing is there, and ValueError with a reason if it is not a
    regular file, cannot be read, or has more than *bytes_max* bytes.
    """
    try:
        # The type is looked at first, because opening a device may have an effect; and again
        # afterwards, because the file may have been replaced in between.
        _check_regular(path.stat())
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _check_regular(os.fstat(descriptor))
            content = file.read(bytes_max + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(path)) from None
    except OSError as cause:
        raise ValueError(f"cannot be read: {cause.strerror}") from None
    if len(content) > bytes_max:
        raise ValueError(f"has more than {bytes_max} bytes")
    return content


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file")
