"""Files that are the old or the new one at any moment, never a part of it, and what a disk refuses in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

from scanweave.pipeline.disk_refusals import disk_refusals


@contextmanager
def whole_file(path: Path, mark: str = "") -> Iterator[IO[bytes]]:
    """A stream whose content is at `path`, flushed to the disk, when the block ends well, and gone when it does not.

    `mark` tells the unfinished files of several writers apart; a single one overwrites what it left when killed.

    Raises
    ------
    EnvironmentFailure
        DISK_FULL, OUTPUT_UNWRITABLE.
    """
    beside = path.with_name(f".{path.name}{mark}.part")
    with training_refusals(path):
        try:
            with beside.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise


def training_refusals(path: Path) -> AbstractContextManager[None]:
    """`disk_refusals` of a training, which goes on where it was."""
    return disk_refusals(path, what="the training", full="with space on it, --resume goes on")
