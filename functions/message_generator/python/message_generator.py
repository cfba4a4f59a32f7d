"""Casts a numbered message to ``output`` once per period."""

import re
from uuid import UUID

from edgeless_sim import PythonFunction

PERIOD_MS_DEFAULT = 1000


class MessageGenerator(PythonFunction):
    """init-payload: ``period=MILLISECONDS`` (1000), ``message=TEXT`` (hello world)."""

    def handle_init(self, payload, state):
        """Begin; the message travels with the events to itself."""
        pairs = [pair.split("=") for pair in (payload or "").split(",") if "=" in pair]
        arguments = {pair[0]: pair[1] for pair in pairs}
        period = arguments.get("period", "")
        is_number = re.fullmatch(r"[0-9]{1,20}", period) and int(period) < 2**64
        self.period_ms = int(period) if is_number else PERIOD_MS_DEFAULT
        self.count = 0
        self.edgeless.cast("self", arguments.get("message", "hello world"))

    def handle_cast(self, source, message):
        """Send the next one."""
        node, function = UUID(bytes=source[:16]), UUID(bytes=source[16:])
        line = f"from node_id {node} function_id {function} [#{self.count}]: {message}"
        self.count += 1
        self.edgeless.cast("output", line)
        self.edgeless.delayed_cast(self.period_ms, "self", message)
