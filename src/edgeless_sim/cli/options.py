"""Options that several commands have, and what is wrong with what was typed.

Nothing heavy is imported here: ``--help`` loads it.
"""

from typing import Annotated, Final, TypeAlias

import typer

__all__ = ["SPEED_MAX", "SPEED_MIN", "InProcess", "Seed", "World", "checked_form", "checked_speed"]

World: TypeAlias = Annotated[
    str, typer.Option(help="sim (virtual time), tcp or grpc (real sockets and processes).")
]
InProcess: TypeAlias = Annotated[
    bool, typer.Option("--in-process", help="Keep one process in the world tcp or grpc.")
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option(help="Instead of the scenario's own.", min=0, max=(1 << 63) - 1)
]

#: Times as fast as real time.
SPEED_MIN: Final = 1e-6
SPEED_MAX: Final = 1e9
_SPEED_CHARS_MAX: Final = 32


def checked_form(value: str) -> str:
    """*value* if it is a form of output; raise `typer.BadParameter` if it is none."""
    forms = ("table", "json", "plain")
    if value not in forms:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(forms)}")
    return value


def checked_speed(value: str | None) -> str | None:
    """*value* if it is a speed that can be kept, or None; raise `typer.BadParameter` if not."""
    if value is None:
        return None
    number = value.removesuffix("x")
    if len(value) > _SPEED_CHARS_MAX:
        raise typer.BadParameter("a speed has fewer digits, such as 10x or 0.5")
    if not number.replace(".", "", 1).isdecimal() or not number.isascii():
        raise typer.BadParameter(f"{value!r} is no speed such as 10x or 0.5")
    if not SPEED_MIN <= float(number) <= SPEED_MAX:
        raise typer.BadParameter(f"{value!r} is not between {SPEED_MIN:g} and {SPEED_MAX:g}")
    return value
