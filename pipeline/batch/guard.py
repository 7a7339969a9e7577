"""A process of a batch ends with the one that started it, and before it takes the machine's memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path

from scanweave.transforms.io.memory import resident_memory

STDERR = 2
OUTGREW, ORPHANED = 77, 78
"""Exit codes."""
LOOK_S = 0.5


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes and threads that are started within the block, and those that they start, never hear of Ctrl-C.

    A terminal sends it to every process of a command: only the one that people talk to heeds it.
    """
    resource_tracker.ensure_running()  # which unblocks the signal when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def guard_process(memory: int | None, temporary: Path) -> None:
    """Begin a process of a batch: `memory` in bytes is what it may hold, `temporary` where its temporary files go.

    What it has to say stands in its answers; what libraries print when it is ended would only garble a terminal.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDERR)
    # Longer turns: processes that all compute take each other's place, and caches, half as often (sched(7)).
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    tempfile.tempdir = str(temporary)
    os.environ["TMPDIR"] = str(temporary)
    threading.Thread(target=_watch, args=(memory,), daemon=True).start()


def _watch(memory: int | None) -> None:
    parent = multiprocessing.parent_process()
    while True:
        if parent is not None and wait([parent.sentinel], LOOK_S):
            os._exit(ORPHANED)
        if memory is not None and resident_memory() > memory:
            os._exit(OUTGREW)
