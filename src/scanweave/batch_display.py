"""How far a batch is: a bar on a terminal, a line now and then in a log. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, TextIO, cast

from scanweave.pipeline.progress import Stage
from scanweave.progress_display import Unfailing

LOG_INTERVAL_S = 30.0
_ENDED = ("done", "refused", "failed")


class Unshown:
    """Nobody looks."""

    def looking(self, stage: Stage) -> None:
        """Files are looked at."""

    def counted(self, counts: Mapping[Any, int]) -> None:
        """Studies changed their state."""


class BatchLines(Unshown):
    """`scanweave: 120 of 400 studies: 117 done, 3 refused; 11 a minute, 25 min left`, twice a minute at most."""

    def __init__(self, stream: TextIO | Unfailing, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.pace = Pace(clock)
        self._told = -LOG_INTERVAL_S

    def looking(self, stage: Stage) -> None:
        if stage.number:  # until something is found, the call may be refused, and a refusal stands alone
            self._say(looking_text(stage), last=stage.number == stage.count)

    def counted(self, counts: Mapping[Any, int]) -> None:
        self.pace.note(counts)
        text = f"{counted_text(counts)}{'; ' if self.pace.text else ''}{self.pace.text}"
        self._say(text, last=ended(counts) == sum(counts.values()))

    def _say(self, text: str, *, last: bool) -> None:
        if last or self.clock() - self._told >= LOG_INTERVAL_S:
            self._told = self.clock()
            self.stream.write(f"scanweave: {text}\n")
            self.stream.flush()


class BatchBar(Unshown):
    """The same on one line that is erased in the end."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.task = bar.add_task("", total=1.0, left="")
        self.pace = Pace(time.monotonic)

    def looking(self, stage: Stage) -> None:
        self.bar.update(self.task, completed=stage.part, description=looking_text(stage))

    def counted(self, counts: Mapping[Any, int]) -> None:
        self.pace.note(counts)
        part = ended(counts) / max(sum(counts.values()), 1)
        self.bar.update(self.task, completed=part, description=counted_text(counts), left=self.pace.text)


class Pace:
    """Studies a minute and time left, by what has ended since this process began to count."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._begun: tuple[float, int] | None = None
        self.text = ""

    def note(self, counts: Mapping[Any, int]) -> None:
        """Take note of the counts; `text` follows."""
        now, done = self.clock(), ended(counts)
        self._begun = self._begun or (now, done)
        seconds, studies = now - self._begun[0], done - self._begun[1]
        if seconds <= 0 or studies <= 0:
            return
        minutes = (sum(counts.values()) - done) * seconds / studies / 60
        left = "under a minute" if minutes < 1 else f"{minutes:.0f} min"
        self.text = f"{studies / seconds * 60:.1f} a minute, {left} left" if minutes else ""


def ended(counts: Mapping[Any, int]) -> int:
    """How many studies need nothing more."""
    return sum(count for state, count in counts.items() if str(state) in _ENDED)


def looking_text(stage: Stage) -> str:
    """`looked at 1200 of 100000 files`."""
    return f"looked at {stage.number} of {stage.count} files"


def counted_text(counts: Mapping[Any, int]) -> str:
    """`120 of 400 studies: 117 done, 3 refused`."""
    parts = ", ".join(f"{counts[state]} {state}" for state in counts if str(state) in _ENDED and counts[state])
    return f"{ended(counts)} of {sum(counts.values())} studies{': ' if parts else ''}{parts}"


@contextmanager
def batch_shown(*, wanted: bool = True) -> Iterator[Unshown]:
    """Whoever shows it; gone when the block ends, however it ends."""
    if not wanted or sys.stderr is None:
        yield Unshown()
        return
    stream = Unfailing(sys.stderr)
    bar = _bar(stream) if stream.isatty() else None
    if bar is None:
        yield BatchLines(stream)
        return
    with bar:
        yield BatchBar(bar)


def _bar(stream: Unfailing) -> Any:
    """rich's bar; None where it cannot draw one (or is missing, which `doctor` will say)."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
    except Exception:  # a library that is half there raises anything
        return None
    columns = (BarColumn(bar_width=24, complete_style="cyan"), TextColumn("{task.description}", markup=False),
               TextColumn("{task.fields[left]}", markup=False))  # fmt: skip
    console = Console(file=cast("IO[str]", stream))
    return (
        None if console.is_dumb_terminal else Progress(*columns, console=console, transient=True, redirect_stdout=False)
    )
