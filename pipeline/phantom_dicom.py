"""Writes the phantom as a DICOM study: three series to find, a localiser and two decoys to leave alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from scanweave.pipeline.phantom import Phantom, make_phantom
from scanweave.pipeline.phantom_scan import SLICE_THICKNESS
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume

DATE = "20000101"
BITS_STORED = 12
README = "An invented head, made in code by scanweave. No patient.\n"


@dataclass(frozen=True)
class Protocol:
    """What one series' headers say (PS3.3 C.8.3.1; times in ms), and which of the volumes it holds."""

    volumes: tuple[str, ...]
    time: str
    description: str
    sequence: str | list[str]
    tr: float
    te: float
    flip: float
    ti: float | None = None
    echo_train: int = 1
    agent: str | None = None
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "OTHER")


PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        ("localiser-axial", "localiser-coronal", "localiser-sagittal"),
        "090000", "3-Plane Localizer", "GR", 5.4, 1.6, 30,
    ),
    Protocol(("pre",), "090400", "Ax T1", "SE", 550, 12, 90),
    Protocol(("flair",), "091000", "Ax FLAIR", ["SE", "IR"], 9000, 120, 90, ti=2500, echo_train=20),
    Protocol(
        ("adc",), "091600", "Ax ADC", "EP", 8000, 95, 90, echo_train=64,
        image_type=("DERIVED", "PRIMARY", "DIFFUSION", "ADC"),
    ),
    Protocol(("post",), "092400", "Ax T1 +C", "SE", 550, 12, 90, agent="Gadolinium chelate (invented)"),
    Protocol(
        ("crop",), "093000", "T1 Crop Volume", "SE", 550, 12, 90,
        image_type=("DERIVED", "SECONDARY", "AXIAL"),
    ),
)  # fmt: skip
"""In the order of acquisition; pre before FLAIR before post."""


def write_phantom_study(folder: Path, seed: int = 7, phantom: Phantom | None = None) -> Path:
    """Writes the study of `phantom` (made from `seed` when not given) into `folder`, and returns `folder`.

    MR Image Storage (PS3.3 A.4), Explicit VR Little Endian, one file a slice, file names in no order, and a
    text file among them. All series share one frame of reference although the head moved, as scanners record
    it. The same seed gives the same bytes. Raises OSError when `folder` cannot be written.
    """
    made = phantom if phantom is not None else make_phantom(seed)
    folder.mkdir(parents=True, exist_ok=True)
    datasets = [
        dataset for number, protocol in enumerate(PROTOCOLS, start=1) for dataset in _series(made, protocol, number)
    ]
    names = np.random.default_rng(made.seed).permutation(len(datasets))
    for dataset, name in zip(datasets, names, strict=True):
        pydicom.dcmwrite(folder / f"IM{name:05d}.dcm", dataset, enforce_file_format=True)
    (folder / "README.txt").write_text(README, encoding="utf-8")
    return folder


def phantom_uid(seed: int, *parts: object) -> UID:
    """A UID of the 2.25 root (PS3.5 B.2) that depends on nothing but its arguments."""
    digest = hashlib.sha256("/".join(map(str, ("scanweave-phantom", seed, *parts))).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def _series(phantom: Phantom, protocol: Protocol, number: int) -> Iterator[pydicom.Dataset]:
    """One dataset a slice; stacks of a localiser follow one another in one series."""
    instance = 0
    volumes = phantom.series | phantom.others
    for name in protocol.volumes:
        volume = volumes[name]
        low, high = np.percentile(volume.array, (50, 99.5))
        for k in range(volume.array.shape[2]):
            instance += 1
            dataset = _header(phantom.seed, protocol, number, instance)
            dataset.WindowCenter = format_number_as_ds(float(np.rint((low + high) / 2)))
            dataset.WindowWidth = format_number_as_ds(float(np.rint(high - low)))
            _place(dataset, volume, k)
            _fill(dataset, volume, k)
            yield dataset


def _header(seed: int, protocol: Protocol, number: int, instance: int) -> pydicom.Dataset:
    """Patient, study, series, equipment and sequence."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = phantom_uid(seed, number, instance)
    dataset.StudyInstanceUID = phantom_uid(seed, "study")
    dataset.SeriesInstanceUID = phantom_uid(seed, number)
    dataset.FrameOfReferenceUID = phantom_uid(seed, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Phantom^Scanweave"
    dataset.PatientID = "PHANTOM"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.PatientPosition = "HFS"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = DATE
    dataset.StudyTime = PROTOCOLS[0].time
    dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = protocol.time
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.StudyDescription = "scanweave phantom"
    dataset.Modality = "MR"
    dataset.Manufacturer = "scanweave"
    dataset.ManufacturerModelName = "phantom"
    dataset.MagneticFieldStrength = "1.5"
    dataset.BodyPartExamined = "BRAIN"
    dataset.SeriesNumber = number
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = instance
    dataset.SeriesDescription = dataset.ProtocolName = protocol.description
    dataset.ImageType = list(protocol.image_type)
    dataset.ScanningSequence = protocol.sequence
    dataset.SequenceVariant = "SK" if protocol.echo_train > 1 else "NONE"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime, dataset.EchoTime = str(protocol.tr), str(protocol.te)
    dataset.FlipAngle = str(protocol.flip)
    dataset.EchoTrainLength = protocol.echo_train
    if protocol.ti is not None:
        dataset.InversionTime = str(protocol.ti)
    if protocol.agent is not None:
        dataset.ContrastBolusAgent = protocol.agent
    return dataset


def _place(dataset: pydicom.Dataset, volume: Volume, k: int) -> None:
    """The Image Plane module (PS3.3 C.7.6.2) of slice `k`: LPS, position of the first voxel's centre."""
    lps = LPS_FROM_RAS @ volume.affine
    spacing = volume.grid.spacing
    row, column = lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]
    position = lps[:3, 3] + k * lps[:3, 2]
    dataset.ImageOrientationPatient = [format_number_as_ds(float(v)) for v in (*row, *column)]
    dataset.ImagePositionPatient = [format_number_as_ds(float(v)) for v in position]
    dataset.PixelSpacing = [format_number_as_ds(float(np.round(v, 6))) for v in (spacing[1], spacing[0])]
    dataset.SpacingBetweenSlices = format_number_as_ds(float(np.round(spacing[2], 6)))
    dataset.SliceThickness = format_number_as_ds(float(np.round(spacing[2] * SLICE_THICKNESS, 6)))
    dataset.SliceLocation = format_number_as_ds(float(np.round(np.cross(row, column) @ position, 6)))


def _fill(dataset: pydicom.Dataset, volume: Volume, k: int) -> None:
    """The Image Pixel module (PS3.3 C.7.6.3): rows are the volume's j, columns its i."""
    stored = np.clip(volume.array[:, :, k].T, 0, 2**BITS_STORED - 1).astype("<u2")
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS_STORED, BITS_STORED - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
