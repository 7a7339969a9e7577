"""What there is to do: the files below ROOT are looked at once, in parallel, and sorted into studies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem
from scanweave.pipeline.batch.bids import bids_studies, is_bids
from scanweave.pipeline.batch.entry import Entry
from scanweave.pipeline.batch.ledger import Ledger
from scanweave.pipeline.batch.look import Kind
from scanweave.pipeline.batch.look_around import FileStat, Looked, chunks_of, look_around, weight_of
from scanweave.pipeline.batch.studies import Seen, fingerprint_of, studies_of
from scanweave.pipeline.batch.worklist import is_worklist, worklist_studies
from scanweave.pipeline.identity import pseudonym
from scanweave.pipeline.progress import Progress, Stage
from scanweave.transforms.io.files import files_below, is_nifti
from scanweave.transforms.io.slice_files import is_slice

INDEX_STEP = "Index"


def index(
    root: Path,
    ledger: Ledger,
    roles: Sequence[str],
    *,
    leave_out: Path,
    temporary: Path,
    phi: bool,
    processes: int,
    progress: Progress,
) -> int:
    """Bring the ledger up to date with `root`, which is there; the number of studies that it holds now.

    A file that was looked at before and has kept size and time is not opened again: an index that was killed goes on
    where it was. Nothing below `leave_out` is input; archives are unpacked below `temporary`.

    Raises
    ------
    InputRefused
        EMPTY_INPUT, WORKLIST_INVALID.
    EnvironmentFailure
        As `look_around`.
    """
    pass_number = int(ledger.fact("pass") or 0) + 1
    if is_worklist(root):
        entries = worklist_studies(root, roles)
    else:
        files, unlisted = _files(root, leave_out)
        progress(Stage(INDEX_STEP, 0, len(files)))
        looking = _Pass(ledger, pass_number, len(files), progress)
        weight = sum(map(weight_of, files))
        fresh = looking.fresh(chunks_of(files))
        for chunk, looked in look_around(fresh, weight, temporary, phi=phi, processes=processes):
            looking.store(chunk, looked)
        ledger.forget_files(pass_number)
        entries = [*_studies(ledger, root, roles), *unlisted]
    if not entries:
        message = "expected studies (DICOM, NIfTI, slices, archives) or a worklist (.csv), found none"
        raise InputRefused(Problem(Code.EMPTY_INPUT, message, root.name))
    ledger.store_entries(pass_number, entries)
    ledger.forget_unseen(pass_number)
    ledger.store_fact("pass", str(pass_number))
    return len(entries)


def _files(root: Path, leave_out: Path) -> tuple[list[FileStat], list[Entry]]:
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


def _stat(path: Path) -> FileStat:
    """A link to nothing has no size, and is refused when it is opened."""
    try:
        status = path.stat()
    except OSError:
        return str(path), -1, -1
    return str(path), status.st_size, status.st_mtime_ns


@dataclass
class _Pass:
    """One look at all files: what of them is new, and how many are done."""

    ledger: Ledger
    number: int
    files: int
    progress: Progress
    done: int = 0

    def fresh(self, chunks: Sequence[list[FileStat]]) -> Iterator[list[FileStat]]:
        """Of each chunk the files that are new or have changed, where it has any."""
        for chunk in chunks:
            known = self.ledger.unchanged_files(self.number, chunk)
            self._count(len(known))
            if new := [stat for stat in chunk if stat[0] not in known]:
                yield new

    def store(self, chunk: Sequence[FileStat], looked: Looked) -> None:
        """What was seen is in the ledger."""
        rows = [(*stat, str(kind), study) for stat, (kind, study) in zip(chunk, looked, strict=True)]
        self.ledger.store_files(self.number, rows)
        self._count(len(chunk))

    def _count(self, files: int) -> None:
        if files:
            self.done += files
            self.progress(Stage(INDEX_STEP, self.done, self.files, self.done / self.files))


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
