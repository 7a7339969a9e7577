"""From what the user names (folder, zip, DICOMDIR, file) to the files that are worth opening."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem

NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOMDIR_NAME = "DICOMDIR"


@contextmanager
def gather(path: Path) -> Iterator[tuple[Path, ...]]:
    """The files under `path`, sorted; a zip is unpacked into a private folder that is gone on leaving.

    Raises
    ------
    InputRefused
        INPUT_NOT_FOUND, BAD_ARCHIVE.
    """
    if not path.exists():
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, "expected a folder, .zip, DICOMDIR or NIfTI file", path.name))
    if path.is_dir():
        yield _files_below(path)
    elif path.name.upper() == DICOMDIR_NAME:
        yield _referenced_files(path)
    elif zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory(prefix="scanweave-zip-") as folder:
            _unpack(path, Path(folder))
            yield _files_below(Path(folder))
    elif path.suffix.lower() == ".zip":
        raise InputRefused(Problem(Code.BAD_ARCHIVE, "expected a zip archive, found none in it", path.name))
    else:
        yield (path,)


def is_nifti(path: Path) -> bool:
    """Whether the name says NIfTI-1/2."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def nifti_stem(path: Path) -> str:
    """The name of a NIfTI file without .nii or .nii.gz."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def _files_below(folder: Path) -> tuple[Path, ...]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return tuple(sorted(path for path in files if path.name.upper() != DICOMDIR_NAME))


def _unpack(path: Path, folder: Path) -> None:
    """`ZipFile.extract` keeps members inside the folder whatever their names say."""
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        kind = "is encrypted" if "password" in str(error) else "is damaged or of an unknown compression"
        raise InputRefused(Problem(Code.BAD_ARCHIVE, f"the archive {kind}", path.name)) from error


def _referenced_files(dicomdir: Path) -> tuple[Path, ...]:
    """The files a DICOMDIR refers to (PS3.3 F.3, Referenced File ID), which lie below its own folder."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        records = pydicom.dcmread(dicomdir).get("DirectoryRecordSequence") or []
        names = [record.ReferencedFileID for record in records if "ReferencedFileID" in record]
    except (InvalidDicomError, EOFError, AttributeError, ValueError) as error:
        raise InputRefused(Problem(Code.BAD_ARCHIVE, "expected a readable DICOMDIR", dicomdir.name)) from error
    root = dicomdir.resolve().parent
    files = [root.joinpath(*([name] if isinstance(name, str) else name)) for name in names]
    for file in files:
        if not file.resolve().is_relative_to(root):
            raise InputRefused(
                Problem(Code.BAD_ARCHIVE, "the DICOMDIR refers to files outside its folder", dicomdir.name)
            )
    missing = [file for file in files if not file.is_file()]
    if missing:
        message = f"the DICOMDIR refers to {len(files)} files, {len(missing)} of which are not there"
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, message, missing[0].name))
    return tuple(sorted(set(files)))
