"""Where the programs begin: what must be taken care of before anything else is loaded.

Ctrl-C while they are still loading ends them without a word, and standard streams that were closed
lead nowhere instead of to the first socket.

Loading takes a fifth of a second, in which Python would show a traceback. Nothing is imported here
before that is taken care of.
"""

import os
import sys
from collections.abc import Callable

from edgeless_sim.cli.loading import INTERRUPTED, leave_at_once, quietly_loading

__all__ = [
    "balancer_main",
    "cli_main",
    "controller_main",
    "inabox_main",
    "main",
    "node_main",
    "orchestrator_main",
    "proxy_main",
]


def _open_closed_streams() -> None:
    """As with ``>&-``: what is opened next would get their numbers, and get what is printed."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - until the end


def _begin(load: Callable[[], Callable[[], None]]) -> None:
    """Load a program, and run it."""
    _open_closed_streams()
    try:
        with quietly_loading():
            run = load()
        run()
    except KeyboardInterrupt:
        # Between loading and what reports errors.
        sys.exit(INTERRUPTED)


def main() -> None:
    """``edgeless-sim``."""

    def load() -> Callable[[], None]:
        from edgeless_sim.cli.main import main as run

        return run

    _begin(load)


def cli_main() -> None:
    """``edgeless_cli``."""

    def load() -> Callable[[], None]:
        from edgeless_sim.cli.edgeless_cli import main as run

        return run

    _begin(load)


def proxy_main() -> None:
    """``proxy_cli``."""

    def load() -> Callable[[], None]:
        from edgeless_sim.cli.proxy_cli import main as run

        return run

    _begin(load)


def controller_main() -> None:
    """``edgeless_con_d``."""
    _daemon("controller_main")


def orchestrator_main() -> None:
    """``edgeless_orc_d``."""
    _daemon("orchestrator_main")


def node_main() -> None:
    """``edgeless_node_d``."""
    _daemon("node_main")


def balancer_main() -> None:
    """``edgeless_bal_d``."""
    _daemon("balancer_main")


def inabox_main() -> None:
    """``edgeless_inabox``."""
    _daemon("inabox_main")


def _daemon(name: str) -> None:
    """Run a daemon. Until it takes signals itself, Ctrl-C ends it at once.

    A KeyboardInterrupt would get lost if it came in a callback of the import system, of which there
    are thousands while the rest is loaded; the daemon would go on, deaf to the first Ctrl-C.
    """
    _open_closed_streams()
    leave_at_once()
    from edgeless_sim.cli import daemons

    run: Callable[[], None] = getattr(daemons, name)
    run()
