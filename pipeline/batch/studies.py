"""From the files that were looked at to studies, each with a name of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scanweave.pipeline.batch.entry import Entry
from scanweave.pipeline.batch.look import Kind
from scanweave.pipeline.identity import pseudonym
from scanweave.pipeline.outputs import RESULT_FILE
from scanweave.transforms.io.files import nifti_stem
from scanweave.transforms.io.slice_names import stack_slices

LONGEST_NAME = 120
"""Letters of a folder's name."""
_UNFIT = re.compile(r"[^\w.+=@-]+")
_SCANS = (Kind.DICOM, Kind.BROKEN, Kind.NIFTI, Kind.VOLUMES, Kind.ARCHIVE)


@dataclass(frozen=True)
class Seen:
    """A file as the ledger has it; `path` is absolute, `stamp` its size and time."""

    path: Path
    stamp: str
    kind: Kind
    study: str = ""


def studies_of(files: Sequence[Seen], root: Path) -> list[Entry]:
    """The studies below `root`, in an order that depends on nothing but names.

    DICOM images of one StudyInstanceUID are a study wherever they lie. A folder's NIfTI files are a study, but a file
    of several volumes is one by itself; beside DICOM images they are results of somebody. Pictures are slices only
    where there are no scans under the same entry of `root`. A damaged DICOM file counts to the study that has its
    folder for itself; otherwise the folder's damaged files are an entry of their own, to be refused.

    What is no NIfTI and no slice goes by a keyed hash, of the StudyInstanceUID or of a path, which may name a patient.
    """
    results = {seen.path.parent for seen in files if seen.path.name == RESULT_FILE}
    files = [seen for seen in files if results.isdisjoint((seen.path.parent, seen.path.parent.parent))]
    images = _Images(files)
    homes = {seen.path.parent for seen in files if seen.kind is Kind.DICOM}
    entries = [
        *_dicom(files, images),
        *_broken(files, images),
        *_nifti(files, homes, root),
        *_archives(files),
        *_slices(files, root),
    ]
    return named_apart(entries)


class _Images:
    """Where the DICOM images of each study lie."""

    def __init__(self, files: Sequence[Seen]) -> None:
        self.of: dict[str, list[Seen]] = defaultdict(list)
        self.below: dict[Path, set[str]] = defaultdict(set)
        """The studies of which images lie somewhere below a folder."""
        for seen in files:
            if seen.kind is Kind.DICOM:
                self.of[seen.study].append(seen)
        self.home = {study: _common([seen.path.parent for seen in items]) for study, items in self.of.items()}
        for study, items in self.of.items():
            for parent in {parent for folder in {seen.path.parent for seen in items} for parent in _up(folder)}:
                self.below[parent].add(study)

    def owner(self, path: Path) -> str | None:
        """The one study among whose images a file that is none lies."""
        for parent in path.parents:
            studies = self.below.get(parent, set())
            if len(studies) > 1:
                return None
            for study in studies:
                return study if self.home[study] in _up(parent) else None
        return None


def _up(folder: Path) -> tuple[Path, ...]:
    """A folder and those that hold it."""
    return (folder, *folder.parents)


def _common(folders: Sequence[Path]) -> Path:
    return Path(os.path.commonpath(folders))


def _dicom(files: Sequence[Seen], images: _Images) -> Iterator[Entry]:
    """A study that has a folder for itself is that folder, as `segment` takes it; others are the files they have."""
    others: dict[str, list[Seen]] = defaultdict(list)
    for seen in files:
        if seen.kind is not Kind.DICOM and (study := images.owner(seen.path)) is not None:
            others[study].append(seen)
    for study, items in sorted(images.of.items()):
        home = images.home[study]
        if len(images.below[home]) == 1:
            yield _entry(study, home, [*items, *others[study]])
        else:
            broken = [seen for seen in others[study] if seen.kind is Kind.BROKEN]
            yield _entry(study, home, [*items, *broken], listed=True)


def _broken(files: Sequence[Seen], images: _Images) -> Iterator[Entry]:
    groups: dict[Path, list[Seen]] = defaultdict(list)
    for seen in files:
        if seen.kind is Kind.BROKEN and images.owner(seen.path) is None:
            groups[seen.path.parent].append(seen)
    for folder, items in sorted(groups.items()):
        yield _entry(f"{pseudonym(str(folder))}_unreadable", folder, items, listed=True)


def _nifti(files: Sequence[Seen], homes: set[Path], root: Path) -> Iterator[Entry]:
    groups: dict[Path, list[Seen]] = defaultdict(list)
    for seen in files:
        if seen.path.parent in homes:
            continue
        if seen.kind is Kind.VOLUMES:
            before = "" if seen.path.parent == root else f"{_name(seen.path.parent, root)}_"
            yield _entry(_fit(before + nifti_stem(seen.path)), seen.path, [seen])
        elif seen.kind is Kind.NIFTI:
            groups[seen.path.parent].append(seen)
    for folder, items in sorted(groups.items()):
        yield _entry(_name(folder, root), folder, items, listed=True)


def _archives(files: Sequence[Seen]) -> Iterator[Entry]:
    for seen in files:
        if seen.kind is not Kind.ARCHIVE:
            continue
        studies: dict[str, list[str]] = json.loads(seen.study or "{}")
        if len(studies) > 1:
            for study, members in sorted(studies.items()):
                yield replace(_entry(study, seen.path, [seen]), files=tuple(members))
        else:
            yield _entry(next(iter(studies), pseudonym(str(seen.path))), seen.path, [seen])


def _slices(files: Sequence[Seen], root: Path) -> Iterator[Entry]:
    """Stacks, by the names that `segment --study` knows them by within the entry of `root` that holds them."""
    pictures: dict[Path, list[Seen]] = defaultdict(list)
    scans = set()
    for seen in files:
        parts = seen.path.relative_to(root).parts
        home = root / parts[0] if len(parts) > 1 else root
        if seen.kind is Kind.PICTURE:
            pictures[home].append(seen)
        elif seen.kind in _SCANS:
            scans.add(home)
    for home, items in sorted(pictures.items()):
        if home in scans:
            continue
        by_path = {seen.path: seen for seen in items}
        for stack in stack_slices([seen.path for seen in items], home, home.name):
            if stack.slices:
                of_stack = [by_path[path] for path in (*stack.slices, *filter(None, stack.masks))]
                name = _fit(stack.name if stack.name == home.name else f"{_name(home, root)}_{stack.name}")
                yield replace(_entry(name, home, of_stack, listed=True), study=stack.name)


def _entry(name: str, path: Path, files: Sequence[Seen], *, listed: bool = False) -> Entry:
    names = tuple(os.path.relpath(seen.path, path) for seen in files) if listed else ()
    stamps = (f"{os.path.relpath(seen.path, path)} {seen.stamp}" for seen in files)
    return Entry(name, str(path), tuple(sorted(names)), fingerprint=fingerprint_of(stamps))


def fingerprint_of(facts: Iterable[str]) -> str:
    """One for any order of `facts`."""
    return hashlib.sha256("\n".join(sorted(facts)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def named_apart(entries: Iterable[Entry]) -> list[Entry]:
    """`entries` with a number after each name that another had first: on a disk that knows no capitals too."""
    used: set[str] = set()
    apart = []
    for entry in entries:
        name, number = entry.name, 1
        while name.lower() in used:
            number += 1
            name = f"{entry.name}-{number}"
        used.add(name.lower())
        apart.append(entry if name == entry.name else replace(entry, name=name))
    return apart


def _name(path: Path, root: Path) -> str:
    """`path` below `root` as one word; `root` itself goes by its own name."""
    parts = path.relative_to(root).parts if path != root else (root.name,)
    return _fit("_".join(parts))


def _fit(name: str) -> str:
    """A folder's name on any disk: what is too long keeps its end, after a hash of the whole."""
    fit = _UNFIT.sub("_", name).strip("._") or "study"
    if len(fit.encode()) <= LONGEST_NAME:
        return fit
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{digest}_{fit.encode()[-LONGEST_NAME + 9 :].decode(errors='ignore')}"
