"""How far a training is, and how long it will still take: a bar on a terminal, a line for each epoch in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from scanweave.long_runs import Remaining, worded_bar
from scanweave.pipeline.progress import Progress, Stage, silent
from scanweave.pipeline.progress_course import EVALUATE_STEPS, LOAD, Step
from scanweave.pipeline.training.stages import CACHE_STEP, TRAIN_STEP
from scanweave.progress_display import Unfailing

if TYPE_CHECKING:
    from scanweave.pipeline.training.training_run import TrainingRun

STEP_WORDS = {CACHE_STEP: "preprocess", TRAIN_STEP: "epoch"}
LOG_INTERVAL_S = 60.0
"""Between two lines within one epoch."""


@contextmanager
def training_shown(*, wanted: bool = True) -> Iterator[Progress]:
    """A `Progress` for `train`; its bar is gone when the block ends, however it ends."""
    if not wanted or sys.stderr is None:
        yield silent
        return
    stream = Unfailing(sys.stderr)
    bar = worded_bar(stream) if stream.isatty() else None
    if bar is None:
        yield TrainingLines(stream)
        return
    with bar:
        task = bar.add_task("", total=1.0, left="")
        remaining = Remaining()

        def show(stage: Stage) -> None:
            bar.update(task, completed=stage.part, description=label(stage), left=remaining(stage))

        yield show


def run_shown(training: TrainingRun) -> None:
    """A bundle's training with its progress on stderr and its result on stdout, as `scanweave train` shows them."""
    from scanweave.pipeline.training.train_record import trained_text

    with training_shown(wanted=training.writes) as progress:
        record = training.run(progress)
    if training.writes:
        sys.stdout.write(f"{trained_text(record, training.trainer.folder)}\n")


class TrainingLines:
    """`scanweave: epoch 3/100, loss 0.412, Dice 0.830, 12 min left` for each epoch, and now and then within one."""

    def __init__(self, stream: TextIO | Unfailing, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.remaining = Remaining(clock)
        self._last: tuple[str, int, str] | None = None
        self._told = clock()

    def __call__(self, stage: Stage) -> None:
        if stage.step == LOAD:  # the call may still be refused, and a refusal stands alone
            return
        left = self.remaining(stage)
        now = (stage.step, stage.number, stage.note)
        if now == self._last and self.clock() - self._told < LOG_INTERVAL_S:
            return
        self._last, self._told = now, self.clock()
        told = [label(stage), *(text for text in (stage.note, left) if text)]
        self.stream.write(f"scanweave: {', '.join(told)}\n")
        self.stream.flush()


def label(stage: Stage) -> str:
    """What is being done; after training, a fold is measured as `scanweave evaluate` does."""
    known = STEP_WORDS.get(stage.step) or EVALUATE_STEPS.get(stage.step)
    words = known.words if isinstance(known, Step) else known or stage.step
    if stage.count:
        return f"{words} {stage.number}/{stage.count}"
    return f"{words} {stage.part:.0%}" if stage.part else words
