"""Many patients out of one: copies of a DICOM study that differ in their UIDs and numbers, and in nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pydicom

from scanweave.transforms.io.uids import derived_uid

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


def copy_study(study: Path, target: Path, number: int) -> Path:
    """`study` as patient `number` in the folder `target`; files that are no DICOM images are left out."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    count = 0
    for path in sorted(study.rglob("*")):
        if not path.is_file():
            continue
        try:
            dataset = pydicom.dcmread(path)
        except pydicom.errors.InvalidDicomError:
            continue
        for keyword in UIDS:
            if keyword in dataset:
                dataset[keyword].value = derived_uid("copy", str(number), str(dataset[keyword].value))
        dataset.PatientID = f"copy-{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(target / f"{count:05d}.dcm")
        count += 1
    return target
