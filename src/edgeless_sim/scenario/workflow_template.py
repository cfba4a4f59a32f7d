"""A workflow file of which many workflows are made: ``@WF_ID`` is the number of each (spec 11.3).

Files are read once, when the scenario is loaded. Not here: starting workflows.
"""

from pathlib import Path
from typing import Final

import msgspec

from edgeless_sim.model.workflow import SpawnWorkflowRequest
from edgeless_sim.model.workflow_file import parse_workflow

__all__ = ["WorkflowTemplate"]

_MARK: Final = b"@WF_ID"


class WorkflowTemplate:
    """Makes the request of each number. Raises `WorkflowSpecError` if that of 0 is bad."""

    def __init__(self, text: bytes, base: Path, source: str) -> None:
        self._text = text
        self._base = base
        self._source = source
        self.first, self.warnings = parse_workflow(self._filled(0), base=base, source=source)
        self._unread = parse_workflow(self._filled(0), base=None, source=source)[0]

    def request(self, number: int) -> SpawnWorkflowRequest:
        """The workflow *number*; raise `WorkflowSpecError` if it is bad."""
        if not number or _MARK not in self._text:
            return self.first
        text = self._filled(number)
        request, _ = parse_workflow(text, base=None, source=self._source)
        functions = []
        for ours, unread, read in zip(
            request.functions, self._unread.functions, self.first.functions, strict=True
        ):
            if ours.class_specification != unread.class_specification:
                # The number is part of where the code is.
                return parse_workflow(text, base=self._base, source=self._source)[0]
            specification = read.class_specification
            functions.append(msgspec.structs.replace(ours, class_specification=specification))
        return msgspec.structs.replace(request, functions=tuple(functions))

    def _filled(self, number: int) -> bytes:
        return self._text.replace(_MARK, str(number).encode())
