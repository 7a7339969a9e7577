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


def outcome(path: Path, decoder: PixelDecoder) -> str:
    """What comes of it, `READ` or the code of a refusal: indexed, chosen from, and every good series read.

    Raises
    ------
    Exception
        Anything else is a defect.
    """
    found_nothing = ""
    with quiet():
        try:
            with find_study(StudyRequest.of(path), [role.name for role in ROLES]) as found:
                try:
                    study = one_study(found, None)
                    assign_roles(study.series, ROLES, study.chosen)
                except ScanweaveError as refusal:
                    _check(refusal)
                    found_nothing = refusal.code.value
                for series in found.series:
                    if series.problems:
                        continue
                    if series.source == "dicom":
                        read_dicom_volume(series, decoder)
                    elif series.source == "nifti":
                        read_nifti(series.files[0])
        except ScanweaveError as refusal:
            _check(refusal)
            return refusal.code.value
        except MemoryError:
            return Code.OUT_OF_MEMORY.value
    return found_nothing or READ


def _check(refusal: ScanweaveError) -> None:
    """A refusal is lines of printable text, with codes, none of them that of a defect."""
    for problem in refusal.problems:
        line = str(problem)
        if problem.code is Code.INTERNAL or not line.isprintable() or not line.startswith(f"error[{problem.code}]: "):
            raise ValueError(f"no refusal: {line!r}")
