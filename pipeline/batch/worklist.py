"""A worklist: a CSV file with a study in each row, for those who have their own list of what is to be done."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem
from scanweave.pipeline.batch.entry import Entry
from scanweave.pipeline.batch.studies import fingerprint_of
from scanweave.pipeline.identity import pseudonym
from scanweave.transforms.io.files import files_below, reachable

SUFFIX = ".csv"
INPUT, STUDY, NAME = "input", "study", "name"
LISTED = 10
"""Rows that a refusal names."""


def is_worklist(path: Path) -> bool:
    """Whether ROOT is a file of rows and not a study."""
    return path.suffix.lower() == SUFFIX and path.is_file()


def worklist_studies(path: Path, roles: Sequence[str]) -> list[Entry]:
    """The rows of a worklist, in their order; relative paths start where the file lies.

    Columns: `input` (as `segment` takes it), `study` (as --study), one for each role (as --input), `name` (of the
    result's folder). A row needs `input` or roles. Without `name` it is a keyed hash of what the row holds: paths may
    name patients.

    Raises
    ------
    InputRefused
        WORKLIST_INVALID: unknown columns, rows that say nothing, a name that two rows have or that is no folder's.
    """
    rows = _rows(path, (INPUT, STUDY, NAME, *roles))
    problems = []
    entries = []
    for number, row in rows:
        if not row.get(INPUT) and not any(row.get(role) for role in roles):
            problems.append(_invalid(path, f"row {number} names neither {INPUT} nor {' nor '.join(roles)}"))
            continue
        entry = _entry(row, path.parent, roles)
        if entry.name in (".", "..") or "/" in entry.name or entry.name.startswith(".scanweave"):
            problems.append(_invalid(path, f"row {number}: expected the name of a folder, found {entry.name!r}"))
        entries.append(entry)
    twice = [name for name, count in Counter(entry.name.lower() for entry in entries).items() if count > 1]
    if twice:
        problems.append(_invalid(path, f"{len(twice)} studies stand in several rows, or under one name"))
    if not entries and not problems:
        problems.append(_invalid(path, "expected rows, found none"))
    if problems:
        raise InputRefused(problems[:LISTED])
    return entries


def _rows(path: Path, known: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of all that are not empty; values without blanks around them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            unknown = [name for name in columns if name not in known]
            if unknown or not columns:
                message = f"expected columns of {', '.join(known)}, found {', '.join(unknown) or 'none'}"
                raise InputRefused(_invalid(path, message))
            reader.fieldnames = columns
            found = []
            for row in reader:
                if None in row or None in row.values():
                    message = f"line {reader.line_num} has not {len(columns)} columns as the first one has"
                    raise InputRefused(_invalid(path, message))
                found.append((reader.line_num, {name: value.strip() for name, value in row.items()}))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"expected a CSV file in UTF-8 ({type(error).__name__})"
        raise InputRefused(_invalid(path, message)) from error
    return [(number, row) for number, row in found if any(row.values())]


def _entry(row: Mapping[str, str], folder: Path, roles: Sequence[str]) -> Entry:
    path = str(folder / row[INPUT]) if row.get(INPUT) else ""
    # A role is a path, or a SeriesInstanceUID of the input.
    inputs = {
        role: str(folder / row[role]) if reachable(folder / row[role]) or not path else row[role]
        for role in roles
        if row.get(role)
    }
    study = row.get(STUDY, "")
    said = [path, study, *(f"{role}={value}" for role, value in sorted(inputs.items()))]
    name = row.get(NAME) or pseudonym("\n".join(said))
    return Entry(name, path, (), inputs, study, fingerprint=fingerprint_of([*said, *_stamps(path, inputs)]))


def _stamps(path: str, inputs: Mapping[str, str]) -> list[str]:
    """What of the files would show that they changed; nothing of what is not there, which will be refused."""
    stamps = []
    for named in filter(None, (path, *inputs.values())):
        place = Path(named)
        if not reachable(place):
            continue
        for file in files_below(place, lambda error: None) if place.is_dir() else (place,):
            if reachable(file):
                status = file.stat()
                stamps.append(f"{file} {status.st_size} {status.st_mtime_ns}")
    return stamps


def _invalid(path: Path, message: str) -> Problem:
    return Problem(Code.WORKLIST_INVALID, message, path.name)
