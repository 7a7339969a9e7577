"""Studies on this machine: processes that read, register and write, beside one that has the network."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from scanweave.errors import Code, ScanweaveError
from scanweave.networks.onnx_network import thread_count
from scanweave.pipeline.batch.entry import Outcome, State
from scanweave.pipeline.batch.executor import Ending, Executor
from scanweave.pipeline.batch.guard import OUTGREW, deaf_children, guard_process
from scanweave.pipeline.batch.job import Job, do_job
from scanweave.pipeline.batch.network_process import NetworkAddress, NetworkProcess, RemoteNetwork
from scanweave.pipeline.segment_settings import SegmentSettings
from scanweave.pipeline.segmenter import Segmenter
from scanweave.transforms.io.memory import MEBIBYTE, available_memory

STUDIES_A_PROCESS = 200
"""Then a fresh one takes its place: what libraries do not give back stays bounded."""
LEAST_MEMORY = 1536 * MEBIBYTE
"""For a process; less holds no ordinary study."""
SHARE_OF_MEMORY = 0.9
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


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

    A study may take `timeout_s`; a process may hold `memory` bytes. Whatever breaks either, or crashes, is lost.
    """

    def __init__(
        self, settings: SegmentSettings, out: Path, workers: int, *, timeout_s: float, memory: int | None
    ) -> None:
        super().__init__()
        self.slots = workers
        threads = {"OMP_NUM_THREADS": str(thread_count())}
        self._environment = {name: os.environ.get(name) for name in _ONE_THREAD}
        os.environ.update(_ONE_THREAD)  # numpy reads them as it is imported, which is before a process can do anything
        self._timeout_s = timeout_s
        self._private = tempfile.TemporaryDirectory(
            prefix=f"scanweave-batch-{os.getpid()}-", ignore_cleanup_errors=True
        )
        temporary = Path(self._private.name)
        self._network = NetworkProcess(settings, memory, temporary, threads)
        with deaf_children():
            self._pool = ProcessPool(
                max_workers=workers,
                max_tasks=STUDIES_A_PROCESS,
                context=get_context("spawn"),
                initializer=_begin,
                initargs=(settings, out, self._network.address, memory, temporary),
            )
            self._pool.active  # noqa: B018 (which starts its threads and processes)

    def submit(self, job: Job) -> None:
        """As `Executor`."""
        self._network.keep_alive()
        future = self._pool.schedule(_do, args=(job,), timeout=self._timeout_s)
        future.add_done_callback(partial(self._note, job))

    def _note(self, job: Job, future: ProcessFuture[Outcome]) -> None:
        try:
            outcome, lost = _came_to(future, self._timeout_s)
        except CancelledError:
            return
        if outcome.code is Code.TIMED_OUT:
            self._end_hung_network()
        self._endings.put(Ending(job, outcome, lost))

    def _end_hung_network(self) -> None:
        """Where it is the network that computes without end, whatever asks it next would wait as long."""
        busy = self._network.busy()
        if busy is None or busy["current_s"] > self._timeout_s / 2:
            self._network.end()

    def figures(self) -> dict[str, float]:
        """`network_busy_s` of `network_span_s`, from the first volume that it was given to the end of the last."""
        busy = self._network.busy()
        return {f"network_{name}": round(busy[name], 1) for name in ("busy_s", "span_s")} if busy else {}

    def close(self) -> None:
        """As `Executor`."""
        self._pool.stop()
        self._pool.join()
        self._network.close()
        self._private.cleanup()
        for name, value in self._environment.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _came_to(future: ProcessFuture[Outcome], timeout_s: float) -> tuple[Outcome, bool]:
    """(outcome, whether the process was lost)."""
    try:
        outcome: Outcome = future.result()
        return outcome, outcome.code is Code.CRASHED
    except ProcessExpired as died:
        if died.exitcode == OUTGREW:
            return Outcome(State.FAILED, Code.OUT_OF_MEMORY, "its process took more memory than it may"), True
        how = f"signal {-died.exitcode}" if died.exitcode < 0 else f"exit code {died.exitcode}"
        return Outcome(State.FAILED, Code.CRASHED, f"its process died ({how})"), True
    except FutureTimeout:
        minutes = timeout_s / 60
        return Outcome(State.FAILED, Code.TIMED_OUT, f"not done after {minutes:g} minutes"), True


_worker: dict[str, Any] = {}
"""Of a process: how to make its segmenter, and then the segmenter."""


def _begin(settings: SegmentSettings, out: Path, address: NetworkAddress, memory: int | None, temporary: Path) -> None:
    guard_process(memory, temporary, {})
    _worker["make"] = lambda: Segmenter(settings, out, RemoteNetwork(address))
    _warm()


def _warm() -> None:
    """Import what the first study would: there is time for it while the files are looked at."""
    try:
        _worker["segmenter"] = _worker["make"]()
    except ScanweaveError:  # told by the first job, where it can be heard
        return


def _do(job: Job) -> Outcome:
    try:
        segmenter = _worker.get("segmenter") or _worker["make"]()
        _worker["segmenter"] = segmenter
    except ScanweaveError as refusal:
        return Outcome(State.FAILED, refusal.code, str(refusal.problems[0].message), fatal=True)
    return do_job(job, segmenter)
