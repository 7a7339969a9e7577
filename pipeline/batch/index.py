"""What there is to do: the files below ROOT are looked at once, in parallel, and sorted into studies."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem
from scanweave.pipeline.batch.bids import bids_studies, is_bids
from scanweave.pipeline.batch.entry import Entry
from scanweave.pipeline.batch.guard import deaf_children
from scanweave.pipeline.batch.ledger import Ledger
from scanweave.pipeline.batch.look import Kind, look_at
from scanweave.pipeline.batch.studies import Seen, fingerprint_of, studies_of
from scanweave.pipeline.batch.worklist import is_worklist, worklist_studies
from scanweave.pipeline.identity import pseudonym
from scanweave.pipeline.progress import Progress, Stage
from scanweave.transforms.io.files import check_reachable, files_below, is_nifti
from scanweave.transforms.io.slice_files import is_slice

INDEX_STEP = "Index"
CHUNK_FILES = 200
"""Looked at in one go, and then stored: what a kill costs at most, times the processes."""
CHUNKS_AHEAD = 2
"""For each process; what is waiting takes memory."""
FEW_FILES = 4000
"""That are looked at in less time (two seconds) than processes take to start beside those of the executor."""
_Stat = tuple[str, int, int]


def index(
    root: Path, ledger: Ledger, roles: Sequence[str], *, leave_out: Path, phi: bool, processes: int, progress: Progress
) -> int:
    """Bring the ledger up to date with `root`; the number of studies that are there now.

    A file that was looked at before and has kept size and time is not opened again: an index that was killed goes on
    where it was. Nothing below `leave_out` is input.

    Raises
    ------
    InputRefused
        INPUT_NOT_FOUND, EMPTY_INPUT, WORKLIST_INVALID.
    """
    check_reachable(root)
    pass_number = int(ledger.fact("pass") or 0) + 1
    if is_worklist(root):
        entries = worklist_studies(root, roles)
    else:
        files, unlisted = _files(root, leave_out)
        progress(Stage(INDEX_STEP, 0, len(files)))
        _look_at_new(files, ledger, pass_number, phi=phi, processes=processes, progress=progress)
        ledger.forget_files(pass_number)
        entries = [*_studies(ledger, root, roles), *unlisted]
    if not entries:
        message = "expected studies (DICOM, NIfTI, slices, archives) or a worklist (.csv), found none"
        raise InputRefused(Problem(Code.EMPTY_INPUT, message, root.name))
    ledger.store_entries(pass_number, entries)
    ledger.forget_unseen(pass_number)
    ledger.store_fact("pass", str(pass_number))
    return len(entries)


def _files(root: Path, leave_out: Path) -> tuple[list[_Stat], list[Entry]]:
    """(path, size, mtime in ns) of each file, and an entry for each folder that cannot be listed: it is refused."""
    if not root.is_dir():
        return [_stat(root)], []
    unlisted: list[Entry] = []

    def note(error: OSError) -> None:
        folder = Path(error.filename or root)
        unlisted.append(Entry(f"{pseudonym(str(folder))}_unlisted", str(folder), fingerprint="unlisted"))

    inside = leave_out.is_relative_to(root)
    found = files_below(root, note)
    return [_stat(path) for path in found if not (inside and path.is_relative_to(leave_out))], unlisted


def _stat(path: Path) -> _Stat:
    """A link to nothing has no size, and is refused when it is opened."""
    try:
        status = path.stat()
    except OSError:
        return str(path), -1, -1
    return str(path), status.st_size, status.st_mtime_ns


def _look_at_new(
    files: Sequence[_Stat], ledger: Ledger, pass_number: int, *, phi: bool, processes: int, progress: Progress
) -> None:
    chunks = [files[first : first + CHUNK_FILES] for first in range(0, len(files), CHUNK_FILES)]
    done = 0
    for chunk, looked in _looked(_new(chunks, ledger, pass_number), phi=phi, processes=processes, few=len(files)):
        ledger.store_files(
            pass_number, [(*stat, str(kind), study) for stat, (kind, study) in zip(chunk, looked, strict=True)]
        )
        done += len(chunk)
        progress(Stage(INDEX_STEP, done, len(files), done / max(len(files), 1)))


def _new(chunks: Sequence[Sequence[_Stat]], ledger: Ledger, pass_number: int) -> Iterator[list[_Stat]]:
    for chunk in chunks:
        known = ledger.unchanged_files(pass_number, chunk)
        if fresh := [stat for stat in chunk if stat[0] not in known]:
            yield fresh


_Looked = list[tuple[Kind, str]]


def _looked(
    chunks: Iterator[list[_Stat]], *, phi: bool, processes: int, few: int
) -> Iterator[tuple[list[_Stat], _Looked]]:
    """Each chunk with what was seen, in any order."""
    if processes < 2 or few <= FEW_FILES:
        for chunk in chunks:
            yield chunk, look_at([path for path, _, _ in chunk], phi=phi)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would take over threads' locks
    with ProcessPoolExecutor(processes, spawn) as pool:
        running: dict[Future[_Looked], list[_Stat]] = {}
        try:
            while True:
                for chunk in islice(chunks, processes * CHUNKS_AHEAD - len(running)):
                    with deaf_children():
                        running[pool.submit(look_at, [path for path, _, _ in chunk], phi=phi)] = chunk
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _studies(ledger: Ledger, root: Path, roles: Sequence[str]) -> list[Entry]:
    seen = [
        Seen(Path(path), f"{size} {mtime_ns}", Kind(kind), study)
        for path, size, mtime_ns, kind, study in ledger.files()
    ]
    if not root.is_dir():
        return _one_file(seen[0])
    return bids_studies(seen, root, roles) if is_bids(root) else studies_of(seen, root)


def _one_file(seen: Seen) -> list[Entry]:
    """ROOT is an archive, a NIfTI file, a DICOMDIR or a slice."""
    if seen.kind is Kind.ARCHIVE or is_nifti(seen.path) or is_slice(seen.path):
        return studies_of([seen], seen.path.parent)
    found = studies_of([seen], seen.path.parent)
    return found or [Entry(pseudonym(str(seen.path)), str(seen.path), fingerprint=fingerprint_of([seen.stamp]))]
