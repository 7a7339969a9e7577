"""The private folder of a batch below TMPDIR: gone with the batch, or cleared by the next one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanweave.pipeline.batch.batch_file import batch_refusals
from scanweave.pipeline.result_folder import is_alive

_PREFIX = "scanweave-batch-"
"""The number of the batch's process follows."""


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for what all processes of this batch unpack and decode; EnvironmentFailure as `batch_refusals`."""
    _clear_dead()
    with batch_refusals(Path(tempfile.gettempdir()), "the temporary folder"):
        private = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)
    with private as folder:
        yield Path(folder)


def _clear_dead() -> None:
    """Take away what batches that were killed have left: it may be of patients."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not is_alive(int(pid)) and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
