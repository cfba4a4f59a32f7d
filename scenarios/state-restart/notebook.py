"""A function in Python with a state: all words that it ever got."""

from edgeless_sim import PythonFunction


class Notebook(PythonFunction):
    """Casts all words to ``output`` whenever it gets another one."""

    def handle_init(self, _payload, state):
        """Go on from the stored *state*, if there is one."""
        self.words = state.split() if state else []

    def handle_cast(self, _source, message):
        """Take a word."""
        self.words.append(message)
        text = " ".join(self.words)
        self.edgeless.sync(text)
        self.edgeless.cast("output", text)
