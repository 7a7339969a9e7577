"""Where a training lies: is there one already, and does somebody write there now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from scanweave.errors import Code, InputRefused, Problem
from scanweave.pipeline.training.training_file import training_refusals

STATE_FILE, MODEL_FILE = "last.pt", "model.pt"
_LOCK_FILE = ".lock"


def check_free(folder: Path, resume: bool) -> bool:
    """Whether a training is in `folder` that can go on.

    Raises
    ------
    InputRefused
        OUTPUT_EXISTS where one is and is not to be resumed, and for weights without the state they came from.
    """
    there = (folder / STATE_FILE).exists()
    if there and not resume:
        message = "a training is there: --resume goes on with it, another --out begins anew"
    elif not there and (folder / MODEL_FILE).exists():
        message = f"{MODEL_FILE} is there, without the {STATE_FILE} from which to go on: choose another --out"
    else:
        return there
    raise InputRefused(Problem(Code.OUTPUT_EXISTS, message, folder.name))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else trains in `folder`, which is made, inside the block; a process that was killed holds nothing.

    Raises
    ------
    InputRefused
        OUTPUT_EXISTS where somebody does.
    EnvironmentFailure
        DISK_FULL, OUTPUT_UNWRITABLE.
    """
    lock = FileLock(folder / _LOCK_FILE, blocking=False)
    with training_refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            message = "another training is writing there: wait for it, or choose another --out"
            raise InputRefused(Problem(Code.OUTPUT_EXISTS, message, folder.name)) from None
    try:
        yield
    finally:
        lock.release()
