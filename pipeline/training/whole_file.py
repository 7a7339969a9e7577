"""Files that are the old or the new one at any moment, never a part of it, and what a disk refuses in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from scanweave.errors import FULL_DISK, Code, EnvironmentFailure, Problem


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
    with disk_refusals(path):
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


@contextmanager
def disk_refusals(path: Path) -> Iterator[None]:
    """What the system refuses inside the block as EnvironmentFailure: DISK_FULL, OUTPUT_UNWRITABLE."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = _of_system(error)
        if cause is None:
            raise
        if cause.errno in FULL_DISK:
            problem = Problem(Code.DISK_FULL, "the disk is full; with space on it, --resume goes on", path.name)
        else:
            reason = cause.strerror or type(cause).__name__
            problem = Problem(Code.OUTPUT_UNWRITABLE, f"the training cannot be written: {reason}", path.name)
        raise EnvironmentFailure(problem) from error


def _of_system(error: BaseException | None) -> OSError | None:
    """`torch.save` raises a RuntimeError of its own over what the stream raised."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
