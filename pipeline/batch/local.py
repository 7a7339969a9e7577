"""Studies on this machine: processes that read, register and write, beside one that has the network."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path

from scanweave.errors import Code
from scanweave.networks.onnx_network import thread_count
from scanweave.pipeline.batch.executor import Ending, Executor
from scanweave.pipeline.batch.job import Job
from scanweave.pipeline.batch.network_process import NetworkProcess
from scanweave.pipeline.batch.worker import StudyWorker, WorkerSettings
from scanweave.pipeline.segment_settings import SegmentSettings
from scanweave.transforms.io.memory import MEBIBYTE, available_memory
from scanweave.transforms.io.worker_process import ONE_THREAD

LEAST_MEMORY = 1536 * MEBIBYTE
"""For a process; less holds no ordinary study."""
SHARE_OF_MEMORY = 0.9


def usual_workers() -> int:
    """As many as cores, for each waits a part of its time for the network; fewer where memory is short."""
    memory = available_memory()
    by_memory = thread_count() if memory is None else int(memory * SHARE_OF_MEMORY // LEAST_MEMORY) - 1
    return max(1, min(thread_count(), by_memory))


def memory_each(workers: int) -> int | None:
    """Bytes that each process may hold, the network's included; None where the system does not say."""
    memory = available_memory()
    return None if memory is None else max(int(memory * SHARE_OF_MEMORY / (workers + 1)), LEAST_MEMORY)


class LocalExecutor(Executor):
    """`workers` processes, each with one study at a time from its files to its results, and one with the network.

    A study may take `timeout_s`; a process may hold `memory` bytes. Whatever breaks either, or crashes, is lost, and a
    fresh process takes its place. Their temporary files go below `temporary`.
    """

    def __init__(
        self,
        settings: SegmentSettings,
        out: Path,
        temporary: Path,
        workers: int,
        *,
        timeout_s: float,
        memory: int | None,
    ) -> None:
        self.slots = workers
        cores = thread_count()
        self._environment = {name: os.environ.get(name) for name in ONE_THREAD}
        os.environ.update(ONE_THREAD)  # numpy reads them as it is imported, which is before a process can do anything
        self._network = NetworkProcess(settings, memory, temporary, {"OMP_NUM_THREADS": str(cores)})
        self._settings = WorkerSettings(settings, out, self._network.address, memory, temporary, timeout_s)
        self._workers = [StudyWorker(self._settings) for _ in range(workers)]

    def submit(self, job: Job) -> None:
        """As `Executor`."""
        number = next(number for number, worker in enumerate(self._workers) if worker.job is None)
        if not self._workers[number].usable:
            self._workers[number].kill()
            self._workers[number] = StudyWorker(self._settings)
        self._workers[number].take(job)

    def ended(self, timeout_s: float) -> list[Ending]:
        """As `Executor`."""
        self._network.keep_alive()
        busy = [worker for worker in self._workers if worker.job is not None]
        patience = min([timeout_s, *(worker.deadline - time.monotonic() for worker in busy)])
        wait([worker.connection for worker in busy], max(patience, 0))
        endings = [ending for worker in busy if (ending := worker.ending()) is not None]
        if any(ending.outcome.code is Code.TIMED_OUT for ending in endings):
            self._end_hung_network()
        return endings

    def _end_hung_network(self) -> None:
        """Where it is the network that computes without end, whoever asks it next would wait as long."""
        if self._network.is_stuck(self._settings.timeout_s / 2):
            self._network.end()

    def figures(self) -> Mapping[str, float]:
        """`network_busy_s` of `network_span_s`, from the first volume that it was given to the end of the last."""
        return {"network_busy_s": round(self._network.busy_s, 2), "network_span_s": round(self._network.span_s, 2)}

    def close(self) -> None:
        """As `Executor`."""
        for worker in self._workers:
            worker.kill()
        self._network.end()
        for name, value in self._environment.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
