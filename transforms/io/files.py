"""From what the user names (folder, zip, DICOMDIR, file) to the files that are worth opening."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.io.dicomdir import DICOMDIR_NAME, referenced_files
from scanweave.transforms.io.zip_archive import APPLE_DOUBLE, is_zip, unpacked

NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""Files so named must be DICOM; any other is looked at and passed over when it is not."""
IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, *DICOM_SUFFIXES)


@contextmanager
def gather(path: Path, only: Sequence[str] = ()) -> Iterator[tuple[Path, ...]]:
    """The files under `path`, sorted; a zip is unpacked into a private folder that is gone on leaving.

    `only` names those of a folder or zip that are wanted, relative to it; without it all are.
    Links are followed, to files and to folders: a series that is linked would otherwise be missing without a word.
    Each folder is listed once, whatever links lead to it, and none that holds `path` itself.

    Raises
    ------
    InputRefused
        INPUT_NOT_FOUND, BAD_ARCHIVE, UNREADABLE.
    EnvironmentFailure
        DISK_FULL, OUTPUT_UNWRITABLE where a zip cannot be unpacked.
    """
    check_reachable(path)
    if path.is_dir():
        yield tuple(path / name for name in only) or files_below(path)
    elif not path.is_file():  # to open a pipe is to wait for its writer
        message = "expected a file or folder, found a pipe, socket or device"
        raise InputRefused(Problem(Code.UNREADABLE, message, path.name))
    elif path.name.upper() == DICOMDIR_NAME:
        yield referenced_files(path)
    elif not is_nifti(path) and is_zip(path):
        with unpacked(path) as folder:
            yield tuple(folder / name for name in only) or files_below(folder)
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


def files_below(folder: Path, unlisted: Callable[[OSError], object] | None = None) -> tuple[Path, ...]:
    """Every file below `folder` that may be an image, sorted; links are followed as `gather` says.

    A folder that cannot be listed may hold a series: it is refused, UNREADABLE, or `unlisted` hears of it.
    """
    paths: list[Path] = []
    try:
        listed = set(folder.resolve().parents)
        waiting = deque([folder])
        while waiting:  # what lies here first, then what is linked, so that files go by their own folder's name
            for parent, folders, names in os.walk(waiting.popleft(), onerror=unlisted or _raise):
                real = Path(parent).resolve()
                if real in listed:
                    folders.clear()
                    continue
                listed.add(real)
                waiting.extend(sorted(link for link in (Path(parent, name) for name in folders) if link.is_symlink()))
                paths += [Path(parent, name) for name in names]
        return tuple(sorted(path for path in paths if _is_wanted(path.name) and _is_there(path)))
    except OSError as error:
        message = f"the folder cannot be listed ({error.strerror or type(error).__name__})"
        raise InputRefused(Problem(Code.UNREADABLE, message, Path(error.filename or folder).name)) from error


def _is_there(path: Path) -> bool:
    """A file, or a link to none that is named as an image: it is refused when it is opened."""
    return path.is_file() or (path.is_symlink() and path.name.lower().endswith(IMAGE_SUFFIXES) and not path.exists())


def _is_wanted(name: str) -> bool:
    return name.upper() != DICOMDIR_NAME and not name.startswith(APPLE_DOUBLE)


def _raise(error: OSError) -> NoReturn:
    raise error
