"""The bar of a terminal, drawn by rich (NO_COLOR and TERM are its business)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, cast

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import Course, Step

BAR_COLUMNS, LABEL_COLUMNS = 30, 22
"""Widths in characters: label, bar and clock fit into a terminal of 80 columns, and the bar does not move about."""
REFRESHES_PER_S = 8


class StepBar(Progress):
    """Step, bar, percentage and elapsed time on one line that is erased when the block ends."""

    def __init__(self, steps: Mapping[str, Step], stream: object) -> None:
        self.course = Course(steps)
        super().__init__(
            TextColumn(f"{{task.description:<{LABEL_COLUMNS}}}", markup=False),
            BarColumn(bar_width=BAR_COLUMNS, complete_style="cyan"),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=Console(file=cast("IO[str]", stream)),
            transient=True,
            redirect_stdout=False,
            refresh_per_second=REFRESHES_PER_S,
        )
        self.add_task("", total=1.0)

    def show(self, stage: Stage) -> None:
        """A `scanweave.pipeline.progress.Progress`."""
        if self.course.follow(stage):
            self.refresh()

    def get_renderables(self) -> Iterable[RenderableType]:
        """rich asks for this at each refresh, also while a step is silent."""
        for task in self.task_ids:  # the one there is; none yet while rich builds itself
            self.update(task, description=self.course.label(), completed=self.course.fraction())
        yield from super().get_renderables()
