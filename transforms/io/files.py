"""From what the user names (folder, zip, DICOMDIR, file) to the files that are worth opening."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from scanweave.errors import FULL_DISK, Code, EnvironmentFailure, InputRefused, Problem

NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOMDIR_NAME = "DICOMDIR"
APPLE_DOUBLE = "._"
"""What macOS puts beside each file on a foreign disk or in a zip, under the file's own name and suffix."""


@contextmanager
def gather(path: Path) -> Iterator[tuple[Path, ...]]:
    """The files under `path`, sorted; a zip is unpacked into a private folder that is gone on leaving.

    Links to files are followed, links to folders are not: they may lead anywhere, and round in circles.

    Raises
    ------
    InputRefused
        INPUT_NOT_FOUND, BAD_ARCHIVE, UNREADABLE.
    EnvironmentFailure
        DISK_FULL, OUTPUT_UNWRITABLE where a zip cannot be unpacked.
    """
    check_reachable(path)
    if path.is_dir():
        yield _files_below(path)
    elif not path.is_file():  # to open a pipe is to wait for its writer
        message = "expected a file or folder, found a pipe, socket or device"
        raise InputRefused(Problem(Code.UNREADABLE, message, path.name))
    elif path.name.upper() == DICOMDIR_NAME:
        yield _referenced_files(path)
    elif not is_nifti(path) and _is_zip(path):
        with _unpacked(path) as folder:
            yield _files_below(folder)
    else:
        yield (path,)


def check_reachable(path: Path) -> None:
    """Refuse, INPUT_NOT_FOUND, an input that is not there."""
    if not reachable(path):
        message = "expected a folder, .zip, DICOMDIR, NIfTI file or 2-D slice"
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, message, path.name))


def reachable(path: Path) -> bool:
    """Whether `path` is there; False too where that cannot be known, for which `Path.exists` raises OSError."""
    try:
        return path.exists()
    except OSError:
        return False


def is_nifti(path: Path) -> bool:
    """Whether the name says NIfTI-1/2."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def nifti_stem(path: Path) -> str:
    """The name of a NIfTI file without .nii or .nii.gz."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def _files_below(folder: Path) -> tuple[Path, ...]:
    """Every file; a folder that cannot be listed may hold a series, so that it is not passed over."""
    try:
        paths = [Path(parent, name) for parent, _, names in os.walk(folder, onerror=_raise) for name in names]
        return tuple(sorted(path for path in paths if _is_wanted(path.name) and path.is_file()))
    except OSError as error:
        message = f"the folder cannot be listed ({error.strerror or type(error).__name__})"
        raise InputRefused(Problem(Code.UNREADABLE, message, Path(error.filename or folder).name)) from error


def _is_wanted(name: str) -> bool:
    return name.upper() != DICOMDIR_NAME and not name.startswith(APPLE_DOUBLE)


def _raise(error: OSError) -> NoReturn:
    raise error


def _is_zip(path: Path) -> bool:
    try:
        found = zipfile.is_zipfile(path)
    except OSError as error:
        message = f"the file cannot be opened ({error.strerror or type(error).__name__})"
        raise InputRefused(Problem(Code.UNREADABLE, message, path.name)) from error
    if not found and path.suffix.lower() == ".zip":
        raise InputRefused(Problem(Code.BAD_ARCHIVE, "expected a zip archive, found none in it", path.name))
    return found


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    try:
        private = tempfile.TemporaryDirectory(prefix="scanweave-zip-")
    except OSError as error:
        raise _no_room(error) from error
    with private as folder:
        _unpack(path, Path(folder))
        yield Path(folder)


def _unpack(path: Path, folder: Path) -> None:
    """`ZipFile.extract` keeps members inside the folder whatever their names say; those that point out are refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(".." in member.replace("\\", "/").split("/") for member in archive.namelist()):
                message = "the archive refers to files outside its folder"
                raise InputRefused(Problem(Code.BAD_ARCHIVE, message, path.name))
            if sum(member.file_size for member in archive.infolist()) > shutil.disk_usage(folder).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            archive.extractall(folder)
    except InputRefused:
        raise
    except Exception as error:  # zipfile and its decoders raise nearly anything on damaged bytes
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise _no_room(error) from error
        kind = "is encrypted" if "password" in str(error) else "is damaged or of an unknown compression"
        raise InputRefused(Problem(Code.BAD_ARCHIVE, f"the archive {kind}", path.name)) from error


def _no_room(error: OSError) -> EnvironmentFailure:
    code = Code.DISK_FULL if error.errno in FULL_DISK else Code.OUTPUT_UNWRITABLE
    reason = error.strerror or type(error).__name__
    return EnvironmentFailure(Problem(code, f"the archive cannot be unpacked to TMPDIR: {reason}"))


def _referenced_files(dicomdir: Path) -> tuple[Path, ...]:
    """The files a DICOMDIR refers to (PS3.3 F.3, Referenced File ID), which lie below its own folder."""
    try:
        root = dicomdir.resolve().parent
        files = [root.joinpath(*parts) for parts in _file_ids(dicomdir)]
        outside = [file for file in files if not file.resolve().is_relative_to(root)]
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


def _file_ids(dicomdir: Path) -> list[list[str]]:
    """Referenced File IDs; ValueError where records are lacking, which pydicom reads over without an error."""
    import pydicom

    size = dicomdir.stat().st_size
    found = []
    for record in pydicom.dcmread(dicomdir).DirectoryRecordSequence:
        links = (record.OffsetOfTheNextDirectoryRecord, record.OffsetOfReferencedLowerLevelDirectoryEntity)
        name = record.get("ReferencedFileID")
        if max(links) >= size or (record.DirectoryRecordType == "IMAGE" and not name):
            raise ValueError("a record is lacking")
        if name:
            found.append([name] if isinstance(name, str) else list(name))
    return found
