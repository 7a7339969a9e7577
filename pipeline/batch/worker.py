"""One process that reads, registers and writes studies, one after the other, each over a pipe of its own."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from scanweave.errors import Code, ScanweaveError
from scanweave.pipeline.batch.entry import Outcome, State
from scanweave.pipeline.batch.executor import Ending
from scanweave.pipeline.batch.guard import OUTGREW, deaf_children, guard_process
from scanweave.pipeline.batch.job import Job, do_job
from scanweave.pipeline.batch.network_process import NetworkAddress, RemoteNetwork
from scanweave.pipeline.segment_settings import SegmentSettings
from scanweave.pipeline.segmenter import Segmenter

STUDIES_A_PROCESS = 200
"""Then a fresh one takes its place: what libraries do not give back stays bounded."""
COLLECTED_EVERY = (50_000, 20, 100)
"""Objects (of the youngest), then collections; Python's own are 700, 10, 10."""


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker is told as it starts: `memory` in bytes is what it may hold, a study may take `timeout_s`."""

    segment: SegmentSettings
    out: Path
    address: NetworkAddress
    memory: int | None
    temporary: Path
    timeout_s: float


class StudyWorker:
    """The process and who talks to it; what it computes at the moment, and until when.

    No lock and no queue is shared between processes: one that dies takes nothing with it but its own study.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.job: Job | None = None
        self.deadline = 0.0
        self.taken = 0
        self.connection, theirs = Pipe()
        self._process: SpawnProcess = get_context("spawn").Process(target=_work, args=(theirs, settings), daemon=True)
        with deaf_children():
            self._process.start()
        theirs.close()

    @property
    def usable(self) -> bool:
        """Whether it lives, and has not done its share."""
        return self._process.is_alive() and self.taken < STUDIES_A_PROCESS

    def take(self, job: Job) -> None:
        """Begin a study."""
        self.job, self.deadline = job, time.monotonic() + self.settings.timeout_s
        self.taken += 1
        try:
            self.connection.send(job)
        except OSError:
            return  # it died: `ending` says so

    def ending(self) -> Ending | None:
        """How its study ended, once it has answered, died, or taken too long (it is dead then); None before."""
        if self.job is None:
            return None
        try:
            if self.connection.poll():
                outcome: Outcome = self.connection.recv()
                return self._ended(outcome)
        except (EOFError, OSError):
            self._process.join()
            return self._ended(_died(self._process.exitcode or 0))
        if time.monotonic() < self.deadline:
            return None
        self.kill()
        words = f"not done after {self.settings.timeout_s / 60:g} minutes"
        return self._ended(Outcome(State.FAILED, Code.TIMED_OUT, words))

    def _ended(self, outcome: Outcome) -> Ending | None:
        job, self.job = self.job, None
        return None if job is None else Ending(job, outcome)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _died(exit_code: int) -> Outcome:
    if exit_code == OUTGREW:
        return Outcome(State.FAILED, Code.OUT_OF_MEMORY, "its process took more memory than it may")
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return Outcome(State.FAILED, Code.CRASHED, f"its process died ({how})")


def _work(connection: Connection, settings: WorkerSettings) -> None:
    """The process. The chain is built before the first study comes: there is time while files are looked at."""
    guard_process(settings.memory, settings.temporary)
    segmenter = _segmenter(settings)
    _collect_seldom()
    while True:
        try:
            job: Job = connection.recv()
        except EOFError:
            return
        if isinstance(segmenter, ScanweaveError):
            connection.send(Outcome(State.FAILED, segmenter.code, segmenter.problems[0].message, fatal=True))
        else:
            connection.send(do_job(job, segmenter))


def _collect_seldom() -> None:
    """A DICOM study is hundreds of thousands of small objects, which Python would look through again and again."""
    gc.freeze()
    gc.set_threshold(*COLLECTED_EVERY)


def _segmenter(settings: WorkerSettings) -> Segmenter | ScanweaveError:
    try:
        return Segmenter(settings.segment, settings.out, RemoteNetwork(settings.address))
    except ScanweaveError as refusal:
        return refusal
