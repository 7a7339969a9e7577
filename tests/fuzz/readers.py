"""One spoiled input through the readers: everything that `segment` does before the first transform."""

from __future__ import annotations

from pathlib import Path

from headers import ROLES

from scanweave.errors import Code, ScanweaveError
from scanweave.transforms.io.dicom_volume import read_dicom_volume
from scanweave.transforms.io.find_study import StudyRequest, find_study, one_study
from scanweave.transforms.io.nifti import read_nifti
from scanweave.transforms.io.pixel_decoder import PixelDecoder
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.selection.select import assign_roles

READ = "read"


def outcome(path: Path, decoder: PixelDecoder) -> tuple[str, int]:
    """What comes of it, `READ` or the code of a refusal: indexed, chosen from, and every good series read.

    Beside it, how many series were read.

    Raises
    ------
    Exception
        Anything else is a defect.
    """
    refused, read = READ, 0
    with quiet():
        try:
            with find_study(StudyRequest.of(path), [role.name for role in ROLES]) as found:
                try:
                    study = one_study(found, None)
                    assign_roles(study.series, ROLES, study.chosen)
                except ScanweaveError as refusal:
                    _check(refusal)
                    refused = refusal.code.value
                for series in found.series:
                    if series.problems:
                        continue
                    if series.source == "dicom":
                        read_dicom_volume(series, decoder)
                    elif series.source == "nifti":
                        read_nifti(series.files[0])
                    read += 1
        except ScanweaveError as refusal:
            _check(refusal)
            return refusal.code.value, read
        except MemoryError:
            return Code.OUT_OF_MEMORY.value, read
    return refused, read


def _check(refusal: ScanweaveError) -> None:
    """A refusal is lines of printable text, with codes, none of them that of a defect."""
    for problem in refusal.problems:
        line = str(problem)
        if problem.code is Code.INTERNAL or not line.isprintable() or not line.startswith(f"error[{problem.code}]: "):
            raise ValueError(f"no refusal: {line!r}")
