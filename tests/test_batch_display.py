"""How far a batch is, in words: counts, the time left by this process alone, silence before a refusal."""

from __future__ import annotations

import io

from scanweave.batch_display import LOG_INTERVAL_S, BatchLines
from scanweave.pipeline.progress import Stage


class Told:
    """The lines of a log, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stream = io.StringIO()
        self.lines = BatchLines(self.stream, lambda: self.now)

    def __call__(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def test_a_batch_that_goes_on_counts_its_own_studies_alone() -> None:
    told = Told()
    told.lines.counted({"queued": 60, "running": 0, "done": 40, "refused": 0, "failed": 0})
    for done in (41, 42):
        told.now += LOG_INTERVAL_S / 2
        told.lines.counted({"queued": 98 - done, "running": 0, "done": done, "refused": 0, "failed": 2})
    told.now += 1
    told.lines.counted({"queued": 0, "running": 0, "done": 97, "refused": 1, "failed": 2})
    assert told() == [
        "scanweave: 40 of 100 studies: 40 done",
        "scanweave: 44 of 100 studies: 42 done, 2 failed, 7 min left",
        "scanweave: 100 of 100 studies: 97 done, 1 refused, 2 failed",
    ]


def test_files_come_first_and_a_refusal_stands_alone() -> None:
    told = Told()
    told.lines.looking(Stage("Index", 0, 1000))
    assert told() == []
    for number in (200, 400, 1000):
        told.now += LOG_INTERVAL_S / 1.5
        told.lines.looking(Stage("Index", number, 1000, number / 1000))
    assert told() == ["scanweave: looked at 200 of 1000 files", "scanweave: looked at 1000 of 1000 files"]
