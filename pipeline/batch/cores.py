"""Who uses a core at the moment, so that the network takes those that are left, and no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

LOOK_S = 0.002
"""Between two looks for a core that has become free; a slice takes a hundred times as long."""


class Cores:
    """`count` cores, and a mark for each of `workers` processes that computes.

    Shared memory without a lock: a process that is killed leaves a mark at most, which `mark` takes away. Threads of a
    convolution that share a core with somebody else cost a fifth more CPU time, for the cache is the other's.
    """

    def __init__(self, count: int, workers: int) -> None:
        self.count = count
        self._marks: ctypes.Array[ctypes.c_byte] = get_context("spawn").RawArray("b", workers)

    def mark(self, worker: int, *, busy: bool) -> None:
        """Say whether that worker computes."""
        self._marks[worker] = busy

    @property
    def left(self) -> int:
        """For the network; one at least."""
        return max(1, self.count - sum(self._marks))


class Gate:
    """Lets as many threads of a process in as there are cores left."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Waits for a core, and has it until the block ends."""
        while not self._entered():
            time.sleep(LOOK_S)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def _entered(self) -> bool:
        with self._lock:
            if self._inside >= self._cores.left:
                return False
            self._inside += 1
            return True
