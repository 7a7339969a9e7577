"""The same slices in other clothes: transfer syntaxes, enhanced images, other stored values, no meta information."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from scanweave.pipeline.phantom_dicom import phantom_uid
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.dicom_index import index_dicom
from scanweave.transforms.io.dicom_volume import read_dicom_volume
from scanweave.transforms.io.series import Series

SLICES, ROWS, COLUMNS = 6, 40, 36
SPACING = (5.5, 0.9, 1.1)
"""Between slices, rows and columns, mm."""
TURN_DEG = (12, -17, 23)
BITS = 12
LOSSLESS = {
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG lossless": "1.2.840.10008.1.2.4.57",
    "JPEG lossless, first order": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}
GDCM_NAMES = {
    "1.2.840.10008.1.2.4.57": "JPEGLosslessProcess14",
    "1.2.840.10008.1.2.4.70": "JPEGLosslessProcess14_1",
}
"""Lossless JPEG, which pydicom reads and does not write."""


def mr_slices(axes: np.ndarray | None = None, values: np.ndarray | None = None) -> list[Dataset]:
    """A classic MR series, oblique, 12 bits stored in 16; `axes` are its row, column and slice directions in LPS.

    `values` are (slice, row, column), by default a blurred noise that no symmetry maps to itself.
    """
    if axes is None:
        axes = Rotation.from_euler("zyx", TURN_DEG, degrees=True).as_matrix().T
    if values is None:
        noise = np.random.default_rng(5).uniform(0, 1, (SLICES, ROWS, COLUMNS))
        smooth = gaussian_filter(noise, (0.5, 2, 2))
        values = np.rint((smooth - smooth.min()) / np.ptp(smooth) * (2**BITS - 1))
    made = []
    for n, pixels in enumerate(values.astype("<u2")):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{n + 1}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "1.2.1", "1.2.2", "1.2.3"
        dataset.Modality, dataset.SeriesDescription, dataset.InstanceNumber = "MR", "Ax FLAIR", n + 1
        dataset.ImageType, dataset.EchoTime = ["ORIGINAL", "PRIMARY"], "90"
        dataset.PatientID, dataset.PatientName = "P", "Somebody"
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.SeriesNumber = "20200121", "0748", "S", 4
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelSpacing, dataset.SliceThickness = list(SPACING[1:]), "5"
        position = np.array([-70.0, 31.0, -12.0]) + n * SPACING[0] * axes[2]
        dataset.ImagePositionPatient = [round(float(value), 6) for value in position]
        dataset.ImageOrientationPatient = [round(float(value), 9) for value in axes[:2].ravel()]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS, BITS - 1
        dataset.PixelData = pixels.tobytes()
        made.append(dataset)
    return made


def pixels_of(dataset: Dataset) -> np.ndarray:
    """The stored values of an uncompressed slice, (row, column), to be changed and given back as bytes."""
    return np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns).copy()


def indexed(folder: Path) -> tuple[Series, ...]:
    """The series below a folder; a file that belongs to none fails."""
    found = index_dicom(sorted(path for path in folder.rglob("*") if path.is_file()))
    assert not found.stray_problems, found.stray_problems
    return found.series


def only_series(folder: Path) -> Series:
    (found,) = indexed(folder)
    return found


def read_only(folder: Path) -> Volume:
    """The volume of a folder's one series, in which nothing is wrong."""
    found = only_series(folder)
    assert not found.problems, found.problems
    return read_dicom_volume(found)[0]


def assert_same(volume: Volume, plain: Volume, tolerance: float = 0) -> None:
    assert volume.array.dtype == np.float32 and volume.array.shape == plain.array.shape
    assert np.abs(volume.array - plain.array).max() <= tolerance
    assert np.allclose(volume.affine, plain.affine, atol=1e-6)


def codes(folder: Path) -> list[str]:
    """Of the problems of a folder's one series."""
    return [problem.code.value for problem in only_series(folder).problems]


def stored_as(dataset: Dataset, syntax: str) -> Dataset:
    """A copy whose pixels are compressed in that transfer syntax, by the library that writes it."""
    made = copy.deepcopy(dataset)
    if syntax in GDCM_NAMES:
        return gdcm_encoded(made, GDCM_NAMES[syntax])
    options: dict[str, Any] = {"1.2.840.10008.1.2.4.81": {"jls_error": 2}, "1.2.840.10008.1.2.4.91": {"j2k_cr": [4]}}
    made.compress(syntax, generate_instance_uid=False, **options.get(syntax, {}))
    return made


def gdcm_encoded(dataset: Dataset, name: str) -> Dataset:
    """GDCM keeps the UIDs, and wants files."""
    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        plain, made = Path(folder, "plain.dcm"), Path(folder, "made.dcm")
        dataset.save_as(plain, enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(made))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return pydicom.dcmread(made)


def without_meta(dataset: Dataset, path: Path, *, implicit: bool, little: bool) -> None:
    """The bare dataset, without preamble, name or meta information, as old archives keep it."""
    made = copy.deepcopy(dataset)
    if not little:
        made.PixelData = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
    made.file_meta = FileMetaDataset()
    with path.open("wb") as stream:
        out = DicomFileLike(stream)
        out.is_implicit_VR, out.is_little_endian = implicit, little
        bare = Dataset()
        bare.update({element.tag: element for element in made})
        write_dataset(out, bare)


def enhanced(slices: Sequence[Dataset], kinds: Sequence[dict[str, Any]] = ({},)) -> Dataset:
    """One enhanced MR image (PS3.3 A.36.2) with all `slices` of a classic series once for each of `kinds`.

    A kind says what its frames hold beside their place: {"EffectiveEchoTime": .., "TemporalPositionIndex": ..,
    "StackID": .., "FrameType": ..}.
    """
    made = copy.deepcopy(slices[0])
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = EnhancedMRImageStorage
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    own = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "EchoTime")
    for keyword in (*own, "RescaleSlope", "RescaleIntercept", "RescaleType", "SliceLocation"):
        if keyword in made:
            delattr(made, keyword)
    shared = Dataset()
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = slices[0].PixelSpacing
    shared.PixelMeasuresSequence[0].SliceThickness = slices[0].get("SliceThickness", 1)
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = [_frame(item, kind) for kind in kinds for item in slices]
    made.NumberOfFrames = len(made.PerFrameFunctionalGroupsSequence)
    made.PixelData = b"".join(item.PixelData for _ in kinds for item in slices)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = phantom_uid(0, "enhanced", str(list(kinds)))
    return made


def _frame(item: Dataset, kind: dict[str, Any]) -> Dataset:
    group = Dataset()
    group.PlanePositionSequence = [Dataset()]
    group.PlanePositionSequence[0].ImagePositionPatient = item.ImagePositionPatient
    group.PlaneOrientationSequence = [Dataset()]
    group.PlaneOrientationSequence[0].ImageOrientationPatient = item.ImageOrientationPatient
    group.PixelValueTransformationSequence = [Dataset()]
    group.PixelValueTransformationSequence[0].RescaleSlope = item.get("RescaleSlope", 1)
    group.PixelValueTransformationSequence[0].RescaleIntercept = item.get("RescaleIntercept", 0)
    homes = {"EffectiveEchoTime": "MREchoSequence", "FrameType": "MRImageFrameTypeSequence"}
    for keyword, value in kind.items():
        home = homes.get(keyword, "FrameContentSequence")
        if home not in group:
            setattr(group, home, [Dataset()])
        setattr(group[home].value[0], keyword, value)
    return group


Change = Callable[[Dataset, int], Dataset | None]
"""Of a slice and its number: alters it, or gives another one."""


def save(datasets: Sequence[Dataset], folder: Path, change: Change | None = None) -> Path:
    """Write datasets as <n>.dcm into a new folder, after `change` where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, dataset in enumerate(datasets):
        made = copy.deepcopy(dataset)
        made = (change(made, n) if change else None) or made
        private = made.file_meta.TransferSyntaxUID.is_private
        how = {"implicit_vr": False, "little_endian": True} if private else {}
        made.save_as(folder / f"{n:03d}.dcm", enforce_file_format=True, **how)
    return folder
