"""A study in a zip archive: unpacked to a private folder, within limits, and never out of it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scanweave.errors import FULL_DISK, Code, EnvironmentFailure, InputRefused, Problem

ZIP_SUFFIX = ".zip"
MAX_UNPACKED_BYTES, MAX_MEMBERS = 1 << 35, 1 << 18
"""No MR study comes near 32 GiB or 262,144 files, and few bytes can claim them."""
APPLE_DOUBLE = "._"
"""What macOS puts beside each file on a foreign disk or in a zip, under the file's own name and suffix."""


def is_zip(path: Path) -> bool:
    """Whether the file is a zip archive, whatever its name; BAD_ARCHIVE for one that is only named so."""
    try:
        found = zipfile.is_zipfile(path)
    except OSError as error:
        message = f"the file cannot be opened ({error.strerror or type(error).__name__})"
        raise InputRefused(Problem(Code.UNREADABLE, message, path.name)) from error
    if not found and path.suffix.lower() == ZIP_SUFFIX:
        raise InputRefused(Problem(Code.BAD_ARCHIVE, "expected a zip archive, found none in it", path.name))
    return found


@contextmanager
def unpacked(path: Path, below: Path | None = None) -> Iterator[Path]:
    """A private folder, `below` another one or TMPDIR, with the files of an archive; it is gone on leaving.

    Raises
    ------
    InputRefused
        BAD_ARCHIVE where the archive is damaged, encrypted, or holds another one; TOO_LARGE.
    EnvironmentFailure
        DISK_FULL, OUTPUT_UNWRITABLE.
    """
    try:
        private = tempfile.TemporaryDirectory(prefix="scanweave-zip-", dir=below)
    except OSError as error:
        raise _no_room(error) from error
    with private as folder:
        _unpack(path, Path(folder))
        yield Path(folder)


def _unpack(path: Path, folder: Path) -> None:
    """`ZipFile.extract` keeps members inside the folder whatever their names say; those that point out are refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            if problem := _problem(archive.infolist(), path):
                raise InputRefused(problem)
            if sum(member.file_size for member in archive.infolist()) > shutil.disk_usage(folder).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            archive.extractall(folder)
            if _count_files(folder) < len({_content(member) for member in archive.infolist() if not member.is_dir()}):
                message = "several files of one name, of which one would be lost: unpack it, and give the folder"
                raise InputRefused(Problem(Code.BAD_ARCHIVE, message, path.name))
    except (InputRefused, MemoryError):
        raise
    except Exception as error:  # zipfile and its decoders raise nearly anything on damaged bytes
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise _no_room(error) from error
        kind = "is encrypted" if "password" in str(error) else "is damaged or of an unknown compression"
        raise InputRefused(Problem(Code.BAD_ARCHIVE, f"the archive {kind}", path.name)) from error


def _problem(members: Sequence[zipfile.ZipInfo], path: Path) -> Problem | None:
    """Why an archive with these members is not unpacked."""
    names = [member.filename.replace("\\", "/") for member in members]
    if any(".." in name.split("/") for name in names):
        return Problem(Code.BAD_ARCHIVE, "the archive refers to files outside its folder", path.name)
    if any(_is_archive(name.split("/")[-1]) for name in names):
        message = "an archive within the archive: unpack it, and give the folder"
        return Problem(Code.BAD_ARCHIVE, message, path.name)
    if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES or len(members) > MAX_MEMBERS:
        message = f"expected at most {MAX_UNPACKED_BYTES >> 30} GiB and {MAX_MEMBERS} files in an archive"
        return Problem(Code.TOO_LARGE, message, path.name)
    return None


def _content(member: zipfile.ZipInfo) -> tuple[str, int, int]:
    """One file twice, under one name, is no loss; names that only the disk takes for one are as good as equal."""
    return member.filename, member.CRC, member.file_size


def _count_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ZIP_SUFFIX) and not name.startswith(APPLE_DOUBLE)


def _no_room(error: OSError) -> EnvironmentFailure:
    code = Code.DISK_FULL if error.errno in FULL_DISK else Code.OUTPUT_UNWRITABLE
    reason = error.strerror or type(error).__name__
    return EnvironmentFailure(Problem(code, f"the archive cannot be unpacked to TMPDIR: {reason}"))
