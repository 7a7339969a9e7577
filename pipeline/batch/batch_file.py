"""A batch's own files beside the studies' folders, and what a disk refuses of them in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from scanweave.pipeline.disk_refusals import disk_refusals
from scanweave.pipeline.whole_file import whole_file

GOES_ON = "the same command goes on when there is space"


@contextmanager
def batch_file(path: Path, what: str) -> Iterator[IO[bytes]]:
    """As `whole_file`, its folder made first; EnvironmentFailure (DISK_FULL, OUTPUT_UNWRITABLE) names it `what`."""
    with batch_refusals(path, what):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as stream:
            yield stream


def batch_refusals(path: Path, what: str) -> AbstractContextManager[None]:
    """`disk_refusals` of a batch, which goes on where it was."""
    return disk_refusals(path, what=what, full=GOES_ON)
