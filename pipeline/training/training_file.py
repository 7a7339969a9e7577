"""The files of a training, and what a disk refuses of them in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from scanweave.pipeline.disk_refusals import disk_refusals
from scanweave.pipeline.whole_file import whole_file


@contextmanager
def training_file(path: Path, mark: str = "") -> Iterator[IO[bytes]]:
    """As `whole_file`; EnvironmentFailure (DISK_FULL, OUTPUT_UNWRITABLE) where it cannot be written."""
    with training_refusals(path), whole_file(path, mark) as stream:
        yield stream


def training_refusals(path: Path) -> AbstractContextManager[None]:
    """`disk_refusals` of a training, which goes on where it was."""
    return disk_refusals(path, what="the training", full="with space on it, --resume goes on")
