"""What shows runs of hours: the time that is left, in words, and a bar with words on both sides."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO, Any, cast

from scanweave.pipeline.progress import Stage
from scanweave.progress_display import Unfailing

LEAST_PART = 1e-4
"""Less than this, done in one run, tells nothing of what is to come."""


class Remaining:
    """Time left in words, by the speed since this process began: what is resumed did not begin at 0."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._step, self._first, self._begun = "", 0.0, 0.0

    def __call__(self, stage: Stage) -> str:
        """`1 h 20 min left`; "" while nothing can be told."""
        if stage.step != self._step:
            self._step, self._first, self._begun = stage.step, stage.part, self.clock()
        done = stage.part - self._first
        if done < LEAST_PART:
            return ""
        return f"{_duration((self.clock() - self._begun) / done * (1 - stage.part))} left"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def worded_bar(stream: Unfailing) -> Any:
    """rich's bar between a task's description and its field `left`, on one line that is erased in the end.

    None where no bar can be drawn (or rich is missing, which `doctor` will say).
    """
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    except Exception:  # a library that is half there raises anything
        return None
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=30, complete_style="cyan"),
               TaskProgressColumn(), TextColumn("{task.fields[left]}", markup=False))  # fmt: skip
    console = Console(file=cast("IO[str]", stream))
    if console.is_dumb_terminal:
        return None
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)
