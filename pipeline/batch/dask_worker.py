"""What a worker of Dask keeps and does."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import cast

from distributed import Worker, WorkerPlugin, get_worker

from scanweave.errors import ScanweaveError
from scanweave.pipeline.batch.entry import Outcome, State
from scanweave.pipeline.batch.job import Job, do_job
from scanweave.pipeline.segment_settings import SegmentSettings
from scanweave.pipeline.segmenter import Segmenter

TIMED_OUT_EXIT = 79


class KeepSegmenter(WorkerPlugin):
    """The chain with its network, built once in each worker, at its first study."""

    def __init__(self, name: str, settings: SegmentSettings, out: Path) -> None:
        self.name, self.settings, self.out = name, settings, out

    def setup(self, worker: Worker) -> None:
        """As Dask calls it in the worker."""
        self._segmenter: Segmenter | None = None
        self._turn = threading.Lock()

    def do(self, job: Job) -> Outcome:
        """A study at a time, whatever threads the worker has: a chain is for one thread."""
        with self._turn:
            try:
                self._segmenter = self._segmenter or Segmenter(self.settings, self.out)
            except ScanweaveError as refusal:
                return Outcome(State.FAILED, refusal.code, refusal.problems[0].message, fatal=True)
            return do_job(job, self._segmenter)


def do(job: Job, plugin: str, timeout_s: float) -> Outcome:
    """The task. A thread cannot be ended: a study that takes too long ends its worker, which the nanny replaces."""
    watchdog = threading.Timer(timeout_s, os._exit, (TIMED_OUT_EXIT,))
    watchdog.daemon = True
    watchdog.start()
    try:
        kept = get_worker().plugins[plugin]
        return cast("KeepSegmenter", kept).do(job)
    finally:
        watchdog.cancel()
