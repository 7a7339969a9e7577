"""What a file is, and to which study it belongs, by its name and its header alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from scanweave.errors import InputRefused, Problem, ScanweaveError
from scanweave.pipeline.identity import pseudonym
from scanweave.transforms.io.files import files_below, is_nifti
from scanweave.transforms.io.nifti import read_nifti_header
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.io.slice_files import is_slice
from scanweave.transforms.io.zip_archive import is_zip, unpacked


class Kind(StrEnum):
    """Of a file; BROKEN says that it is DICOM, VOLUMES that it is NIfTI with several volumes."""

    DICOM = "dicom"
    BROKEN = "broken"
    NIFTI = "nifti"
    VOLUMES = "volumes"
    PICTURE = "picture"
    ARCHIVE = "archive"
    OTHER = "other"


def look_at(paths: Sequence[str], temporary: Path, *, phi: bool) -> list[tuple[Kind, str]]:
    """(kind, study) of each file: `study` is the keyed hash of a DICOM image's StudyInstanceUID.

    Of an archive it is a JSON object of the DICOM studies within, each with its members' names; it is unpacked below
    `temporary` for that (EnvironmentFailure where the disk is full).
    """
    with quiet():
        return [_look(Path(path), temporary, phi=phi) for path in paths]


def _look(path: Path, temporary: Path | None, *, phi: bool) -> tuple[Kind, str]:
    """Of an archive's members, which are looked at without `temporary`, none is unpacked."""
    if is_nifti(path):
        return (Kind.VOLUMES if _volumes(path) > 1 else Kind.NIFTI), ""
    if is_slice(path):
        return Kind.PICTURE, ""
    if temporary is not None and path.is_file() and _is_archive(path):
        return Kind.ARCHIVE, json.dumps(_studies_within(path, temporary, phi=phi))
    return _look_at_dicom(path, phi=phi)


def _look_at_dicom(path: Path, *, phi: bool) -> tuple[Kind, str]:
    from pydicom.errors import InvalidDicomError

    from scanweave.transforms.io.dicom_instance import open_image

    try:
        found = open_image(path)
    except InvalidDicomError:
        return Kind.OTHER, ""
    if found is None:
        return Kind.OTHER, ""
    if isinstance(found, Problem):
        return Kind.BROKEN, ""
    return Kind.DICOM, pseudonym(str(found.header.StudyInstanceUID), phi=phi)


def _volumes(path: Path) -> int:
    try:
        shape, _ = read_nifti_header(path)
    except ScanweaveError:
        return 1
    return int(shape[3]) if len(shape) > 3 else 1


def _is_archive(path: Path) -> bool:
    """One that is only named so is an archive that will be refused."""
    try:
        return is_zip(path)
    except ScanweaveError:
        return True


def _studies_within(path: Path, temporary: Path, *, phi: bool) -> dict[str, list[str]]:
    """The DICOM studies of an archive; {} of one that cannot be unpacked, whose refusal comes when it is segmented."""
    studies: dict[str, list[str]] = defaultdict(list)
    try:
        with unpacked(path, temporary) as folder:
            for file in files_below(folder):
                kind, study = _look(file, None, phi=phi)
                if kind is Kind.DICOM:
                    studies[study].append(file.relative_to(folder).as_posix())
    except InputRefused:
        return {}
    return studies
