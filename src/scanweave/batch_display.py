"""How far a batch is: a bar on a terminal, a line now and then in a log. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from scanweave.long_runs import Remaining, worded_bar
from scanweave.pipeline.progress import Stage
from scanweave.progress_display import Unfailing

LOG_INTERVAL_S = 30.0
STUDIES_STEP = "Studies"
_ENDED = ("done", "refused", "failed")


class Unshown:
    """Nobody looks."""

    def looking(self, stage: Stage) -> None:
        """Files are looked at."""

    def counted(self, counts: Mapping[Any, int]) -> None:
        """Studies changed their state."""


class BatchLines(Unshown):
    """`scanweave: 120 of 400 studies: 117 done, 3 refused, 25 min left`, twice a minute at most."""

    def __init__(self, stream: TextIO | Unfailing, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.remaining = Remaining(clock)
        self._told = -LOG_INTERVAL_S

    def looking(self, stage: Stage) -> None:
        if stage.number:  # until something is found, the call may be refused, and a refusal stands alone
            self._say(looking_text(stage), stage)

    def counted(self, counts: Mapping[Any, int]) -> None:
        self._say(counted_text(counts), counted_stage(counts))

    def _say(self, text: str, stage: Stage) -> None:
        left = self.remaining(stage)
        last = stage.part >= 1
        if last or self.clock() - self._told >= LOG_INTERVAL_S:
            self._told = self.clock()
            self.stream.write(f"scanweave: {text}{f', {left}' if left and not last else ''}\n")
            self.stream.flush()


class BatchBar(Unshown):
    """The same on one line that is erased in the end."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.task = bar.add_task("", total=1.0, left="")
        self.remaining = Remaining()

    def looking(self, stage: Stage) -> None:
        self._show(looking_text(stage), stage)

    def counted(self, counts: Mapping[Any, int]) -> None:
        self._show(counted_text(counts), counted_stage(counts))

    def _show(self, text: str, stage: Stage) -> None:
        self.bar.update(self.task, completed=stage.part, description=text, left=self.remaining(stage))


def looking_text(stage: Stage) -> str:
    """`looked at 1200 of 100000 files`."""
    return f"looked at {stage.number} of {stage.count} files"


def counted_text(counts: Mapping[Any, int]) -> str:
    """`120 of 400 studies: 117 done, 3 refused`."""
    stage = counted_stage(counts)
    parts = ", ".join(f"{counts[state]} {state}" for state in counts if str(state) in _ENDED and counts[state])
    return f"{stage.number} of {stage.count} studies{': ' if parts else ''}{parts}"


def counted_stage(counts: Mapping[Any, int]) -> Stage:
    """How many studies need nothing more."""
    ended = sum(count for state, count in counts.items() if str(state) in _ENDED)
    studies = sum(counts.values())
    return Stage(STUDIES_STEP, ended, studies, ended / max(studies, 1))


@contextmanager
def batch_shown(*, wanted: bool = True) -> Iterator[Unshown]:
    """Whoever shows it; gone when the block ends, however it ends."""
    if not wanted or sys.stderr is None:
        yield Unshown()
        return
    stream = Unfailing(sys.stderr)
    bar = worded_bar(stream) if stream.isatty() else None
    if bar is None:
        yield BatchLines(stream)
        return
    with bar:
        yield BatchBar(bar)
