"""Many patients out of one DICOM study: copies that differ in their UIDs and numbers alone, and tiny ones."""

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


def write_tiny_studies(root: Path, small: Path, studies: int, files: int) -> None:
    """`studies` of `files` DICOM images of 8 x 8 pixels each, a folder a study."""
    dataset = pydicom.dcmread(next(small.glob("flair*.dcm")))
    dataset.Rows = dataset.Columns = 8
    dataset.PixelData = bytes(128)
    for number in range(studies):
        folder = root / f"{number // 1000:03d}" / f"{number:06d}"
        folder.mkdir(parents=True)
        dataset.StudyInstanceUID = f"1.2.826.0.1.3680043.8.498.{number + 1}"
        for n in range(files):
            dataset.SeriesInstanceUID = f"{dataset.StudyInstanceUID}.{n % 2 + 1}"
            dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{n + 1}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.InstanceNumber = n
            dataset.save_as(folder / f"{n:04d}.dcm")
