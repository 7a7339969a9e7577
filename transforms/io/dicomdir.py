"""The files that a DICOMDIR, the directory of a disc, refers to (PS3.3 annex F)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem

DICOMDIR_NAME = "DICOMDIR"


def referenced_files(dicomdir: Path) -> tuple[Path, ...]:
    """The files a DICOMDIR refers to (PS3.3 F.3, Referenced File ID), which lie below its own folder.

    Raises
    ------
    InputRefused
        BAD_ARCHIVE where the DICOMDIR is damaged or refers outside its folder; INPUT_NOT_FOUND.
    """
    try:
        root = dicomdir.resolve().parent
        files = [_on_disk(root, parts) for parts in _file_ids(dicomdir)]
        outside = [file for file in files if not file.resolve().is_relative_to(root)]
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises nearly anything on damaged bytes; a circle of links is a RuntimeError
        message = "expected a whole DICOMDIR; its folder can be given instead"
        raise InputRefused(Problem(Code.BAD_ARCHIVE, message, dicomdir.name)) from error
    if outside:
        message = "the DICOMDIR refers to files outside its folder"
        raise InputRefused(Problem(Code.BAD_ARCHIVE, message, dicomdir.name))
    missing = [file for file in files if not file.is_file()]
    if missing:
        message = f"the DICOMDIR refers to {len(files)} files, {len(missing)} of which are not there"
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, message, missing[0].name))
    return tuple(sorted(set(files)))


def _on_disk(root: Path, parts: Sequence[str]) -> Path:
    """The file of a Referenced File ID; a disc that was copied may have lost the capitals of its names."""
    place = root
    for part in parts:
        there = place / part
        if not there.exists() and part not in ("", ".", "..") and place.is_dir():
            alike = [entry for entry in sorted(place.iterdir()) if entry.name.lower() == part.lower()]
            there = alike[0] if alike else there
        place = there
    return place


def _file_ids(dicomdir: Path) -> list[list[str]]:
    """Referenced File IDs; ValueError where records are lacking, which pydicom reads over without an error."""
    from scanweave.transforms.io.dicom_file import read_dataset

    size = dicomdir.stat().st_size
    found = []
    for record in read_dataset(dicomdir).DirectoryRecordSequence:
        links = (record.OffsetOfTheNextDirectoryRecord, record.OffsetOfReferencedLowerLevelDirectoryEntity)
        name = record.get("ReferencedFileID")
        if max(links) >= size or (record.DirectoryRecordType == "IMAGE" and not name):
            raise ValueError("a record is lacking")
        if name:
            found.append([name] if isinstance(name, str) else list(name))
    return found
