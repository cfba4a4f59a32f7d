"""Two that count up, one by casts and one by calls, and one that counts what it gets."""

from edgeless_sim import PythonFunction

TIMES = 100
PAUSE_MS = 20


class Caster(PythonFunction):
    """Sends 100 numbers to "output", 20 ms apart."""

    def handle_init(self, _payload, _state):
        """Begin soon."""
        self.number = 0
        self.edgeless.delayed_cast(PAUSE_MS, "self", "next")

    def handle_cast(self, _source, _message):
        """Send the next one."""
        self.number += 1
        self.edgeless.cast("output", f"cast {self.number}")
        if self.number < TIMES:
            self.edgeless.delayed_cast(PAUSE_MS, "self", "next")


class Caller(PythonFunction):
    """Calls "output" 100 times; logs what it is not answered."""

    def handle_init(self, _payload, _state):
        """Begin soon."""
        self.number = 0
        self.edgeless.delayed_cast(PAUSE_MS, "self", "next")

    async def handle_cast(self, _source, _message):
        """Make the next call."""
        self.number += 1
        answer = await self.edgeless.call("output", f"call {self.number}")
        if answer.payload != f"counted call {self.number}":
            self.edgeless.log(f"call {self.number} ended with {answer}", level="error")
        if self.number < TIMES:
            self.edgeless.delayed_cast(PAUSE_MS, "self", "next")


class Counter(PythonFunction):
    """Counts, keeps the count, and writes it down when it is asked for a report."""

    def handle_init(self, _payload, state):
        """Go on from what was counted before."""
        self.count = int(state or 0)
        self.last = {"cast": 0, "call": 0}

    def handle_cast(self, _source, message):
        """Count it, or report."""
        if message == "report":
            self.edgeless.cast("output", f"counted {self.count}")
        else:
            self._counted(message)

    def handle_call(self, _source, message):
        """Count it, and say so."""
        self._counted(message)
        return f"counted {message}"

    def _counted(self, message):
        kind, number = message.split()
        if int(number) <= self.last[kind]:
            raise ValueError(f"{message} comes after {kind} {self.last[kind]}")
        self.last[kind] = int(number)
        self.count += 1
        self.edgeless.sync(str(self.count))
