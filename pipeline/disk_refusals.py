"""What the system refuses when files are written, in one line with a code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanweave.errors import FULL_DISK, Code, EnvironmentFailure, Problem


@contextmanager
def disk_refusals(path: Path, *, what: str, full: str) -> Iterator[None]:
    """What the system refuses inside the block as EnvironmentFailure: DISK_FULL, OUTPUT_UNWRITABLE.

    `what` cannot be written ("the results"); `full` says what became of it where the disk is full.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = _of_system(error)
        if cause is None:
            raise
        if cause.errno in FULL_DISK:
            problem = Problem(Code.DISK_FULL, f"the disk is full; {full}", path.name)
        else:
            reason = cause.strerror or type(cause).__name__
            problem = Problem(Code.OUTPUT_UNWRITABLE, f"{what} cannot be written: {reason}", path.name)
        raise EnvironmentFailure(problem) from error


def _of_system(error: BaseException | None) -> OSError | None:
    """`torch.save` raises a RuntimeError of its own over what the stream raised."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
