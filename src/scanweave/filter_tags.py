"""How far a run is, as the programs that start command-line modules want it (Slicer's execution model)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import Course, Step

SHOWN = 0.01
"""Less progress than that is no news."""


class FilterTags:
    """`<filter-start>`, `<filter-progress>` (0..1) with `<filter-comment>`, `<filter-end>`, each on a line of `stream`.

    https://www.slicer.org/wiki/Documentation/Nightly/Developers/SlicerExecutionModel: "Showing Progress".
    """

    def __init__(self, steps: Mapping[str, Step], stream: Any) -> None:
        self.course, self.stream = Course(steps), stream
        self._told = -1.0
        self._begun = time.monotonic()
        self._say("<filter-start><filter-name>scanweave</filter-name><filter-comment></filter-comment></filter-start>")

    def __call__(self, stage: Stage) -> None:
        begins = self.course.follow(stage)
        reached = self.course.fraction()
        if begins:
            self._say(f"<filter-comment>{escape(self.course.label())}</filter-comment>")
        if reached - self._told >= SHOWN:
            self._told = reached
            self._say(f"<filter-progress>{reached:.3f}</filter-progress>")

    def end(self) -> None:
        """All is written."""
        took = time.monotonic() - self._begun
        self._say("<filter-progress>1</filter-progress>")
        self._say(f"<filter-end><filter-name>scanweave</filter-name><filter-time>{took:.1f}</filter-time></filter-end>")

    def _say(self, text: str) -> None:
        self.stream.write(f"{text}\n")
        self.stream.flush()
