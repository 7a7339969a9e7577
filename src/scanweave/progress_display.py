"""Who shows how far a run is: a bar on a terminal, lines in a log, nobody beside a JSON document. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from scanweave.console import discard
from scanweave.filter_tags import FilterTags
from scanweave.pipeline.progress import Progress, Stage, silent
from scanweave.pipeline.progress_course import Course, Step

LOG_INTERVAL_S = 30.0
"""Between two lines on the same step."""


@contextmanager
def progress_shown(steps: Mapping[str, Step], *, wanted: bool = True, tags: bool = False) -> Iterator[Progress]:
    """A `Progress` whose display is gone when the block ends, however it ends.

    `steps` are those to expect, in order. A terminal that cannot move its cursor (TERM=dumb) gets lines as well; with
    `tags` it is a program that watches (`FilterTags`), whatever is `wanted` for people.
    """
    if tags and sys.stderr is not None:
        shown = FilterTags(steps, Unfailing(sys.stderr))
        yield shown
        shown.end()
        return
    if not wanted or sys.stderr is None:
        yield silent
        return
    stream = Unfailing(sys.stderr)
    bar = _bar(steps, stream) if stream.isatty() else None
    if bar is None:
        yield LogLines(steps, stream)
        return
    with bar:
        yield bar.show


class LogLines:
    """One line for each step that takes long, and another now and then while it lasts: `scanweave: network 12/17`."""

    def __init__(
        self, steps: Mapping[str, Step], stream: TextIO | Unfailing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.course = Course(steps, clock)
        self.stream = stream
        self.clock = clock
        self._last = clock()

    def __call__(self, stage: Stage) -> None:
        begins = self.course.follow(stage)
        if not self.course.step(stage).logged:
            return
        if begins or (stage.part < 1 and self.clock() - self._last >= LOG_INTERVAL_S):
            part = "" if begins else f", {stage.part:.0%}"
            self.stream.write(f"scanweave: {self.course.label()}{part}\n")
            self.stream.flush()
            self._last = self.clock()


class Unfailing:
    """A stream that nobody may be reading any more: what cannot be shown must not end the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As of any text stream, but for its failures."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            discard(self._stream)
        return len(text)

    def flush(self) -> None:
        """As of any text stream, but for its failures."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            discard(self._stream)


def _bar(steps: Mapping[str, Step], stream: Unfailing) -> Any:
    """The bar for this terminal, None where it cannot draw one (or rich is missing, which `doctor` will say)."""
    try:
        from scanweave.progress_bar import StepBar
    except Exception:  # a library that is half there raises anything
        return None
    bar = StepBar(steps, stream)
    return None if bar.console.is_dumb_terminal else bar
