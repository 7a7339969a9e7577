"""Many files looked at: here where they are few, else by several processes, a chunk at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.batch.guard import deaf_children, guard_process
from scanweave.pipeline.batch.look import Kind, look_at
from scanweave.transforms.io.zip_archive import ZIP_SUFFIX

CHUNK_FILES = 200
"""Looked at in one go, and then stored: what a kill costs at most, times the processes."""
CHUNKS_AHEAD = 2
"""For each process; what is waiting takes memory."""
FEW_FILES = 4000
"""That are looked at in less time (two seconds) than processes take to start beside those of the executor."""
UNPACKED_BYTES = 100_000
"""Of an archive take as long as a file."""
FileStat: TypeAlias = tuple[str, int, int]
"""Path, size in bytes, mtime in ns."""
Looked: TypeAlias = list[tuple[Kind, str]]


def chunks_of(files: Iterable[FileStat]) -> list[list[FileStat]]:
    """`files` in their order, in chunks that take about as long."""
    chunks: list[list[FileStat]] = [[]]
    filled = 0
    for file in files:
        if filled >= CHUNK_FILES:
            chunks.append([])
            filled = 0
        chunks[-1].append(file)
        filled += weight_of(file)
    return [chunk for chunk in chunks if chunk]


def weight_of(file: FileStat) -> int:
    """How many headers could be read in the time that it takes."""
    path, size, _ = file
    return 1 + max(size, 0) // UNPACKED_BYTES if path.lower().endswith(ZIP_SUFFIX) else 1


def look_around(
    chunks: Iterator[list[FileStat]], weight: int, temporary: Path, *, phi: bool, processes: int
) -> Iterator[tuple[list[FileStat], Looked]]:
    """Each chunk with what was seen, in any order; `weight` of all says whether processes are worth their start.

    Raises
    ------
    EnvironmentFailure
        CRASHED where one of the processes died; DISK_FULL where an archive does not fit into `temporary`.
    """
    if processes < 2 or weight <= FEW_FILES:
        for chunk in chunks:
            yield chunk, look_at(_paths(chunk), temporary, phi=phi)
        return
    try:
        yield from _by_processes(chunks, temporary, phi=phi, processes=processes)
    except BrokenProcessPool as error:
        message = "a process that looks at files died; the same command goes on"
        raise EnvironmentFailure(Problem(Code.CRASHED, message)) from error


def _by_processes(
    chunks: Iterator[list[FileStat]], temporary: Path, *, phi: bool, processes: int
) -> Iterator[tuple[list[FileStat], Looked]]:
    spawn = multiprocessing.get_context("spawn")  # a fork would take over threads' locks
    with ProcessPoolExecutor(processes, spawn, initializer=guard_process, initargs=(None, temporary)) as pool:
        running: dict[Future[Looked], list[FileStat]] = {}
        try:
            while True:
                for chunk in islice(chunks, processes * CHUNKS_AHEAD - len(running)):
                    with deaf_children():
                        running[pool.submit(look_at, _paths(chunk), temporary, phi=phi)] = chunk
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _paths(chunk: Sequence[FileStat]) -> list[str]:
    return [path for path, _, _ in chunk]
