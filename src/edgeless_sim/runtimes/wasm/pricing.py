"""What the trampoline itself burns, counted from its text.

wasmtime charges one unit of fuel per operator except control flow, one per function entered, and
one per byte of ``memory.copy``. Module B adds up what it burns by this rule, so that it can be
subtracted; counting from the text keeps the sums right when the text changes. A test compares the
result with the same guest called through wasmtime-py's public interface.
"""

import re
from typing import Final

__all__ = ["Pricing"]

_TOKEN: Final = re.compile(r"[()]|[^\s()]+")
_FREE: Final = frozenset(
    {"func", "export", "param", "result", "local", "type", "block", "loop", "then", "else"}
    | {"unreachable", "return", "drop", "nop"}
)


def _executed(text: str) -> list[str]:
    """List the heads of all forms of *text* that run when no arm of an ``if`` is taken."""
    heads: list[str] = []
    depth = 0
    skipped_from: int | None = None
    words = _TOKEN.findall(text)
    for place, word in enumerate(words):
        if word == "(":
            depth += 1
            head = words[place + 1]
            if skipped_from is None and head in ("then", "else"):
                skipped_from = depth
            if skipped_from is None:
                heads.append(f"call {words[place + 2]}" if head == "call" else head)
        elif word == ")":
            if skipped_from == depth:
                skipped_from = None
            depth -= 1
    return heads


class Pricing:
    """Prices functions in the order they are given; a callee comes before its callers.

    COST stands for the fuel of a function's straight path, the functions of B that it calls
    included. ARM opens an arm of an ``if`` that adds its own fuel when it is taken; an arm
    without it ends in a trap, after which nobody asks.
    """

    def __init__(self) -> None:
        self._costs: dict[str, int] = {}

    def function(self, name: str, text: str, extra: int = 0) -> str:
        """Fill in *text*; *extra* is fuel burnt for it outside its text."""
        text = self._with_arms(text)
        self._costs[name] = 1 + self._price(text)  # one for entering the function
        return text.replace("COST", str(self._costs[name] + extra))

    def deferred(self, name: str, text: str, call: int) -> str:
        """Fill in a function that runs after a wait and pays for the *call* that leads to it."""
        text = self.function(name, text, extra=call)
        self._costs[name] = -call
        return text

    def _price(self, text: str) -> int:
        total = 0
        for head in _executed(text):
            # Functions of the guest have no price here: what they burn is the guest's.
            total += self._costs.get(head.removeprefix("call "), 0)
            total += head not in _FREE
        return total

    def _with_arms(self, text: str) -> str:
        while (place := text.rfind("ARM")) >= 0:
            end, depth = place, 1
            while depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            body = text[place + len("ARM") : end - 1]
            price = self._price("(call $tally (i64.const 0))" + body)
            text = f"{text[:place]}(call $tally (i64.const {price})){text[place + len('ARM') :]}"
        return text
