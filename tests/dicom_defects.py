"""What can be wrong with a series, and the smallest repair of each: changes of the slices that `dicom_forms` makes."""

import copy
from collections.abc import Callable

import numpy as np
import pydicom
from dicom_forms import pixels_of, stored_as
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSLossless, RLELossless

from scanweave.pipeline.doctor.decoder_samples import SAMPLES

Slices = list[Dataset]
Change = Callable[[Slices], object]


def every(**values: object) -> Change:
    """Attributes of all slices; None removes one."""
    return lambda slices: [put(item, values) for item in slices]


def one(**values: object) -> Change:
    """Attributes of one slice in the middle."""
    return lambda slices: put(slices[3], values)


def put(item: Dataset, values: dict[str, object]) -> None:
    for keyword, value in values.items():
        if value is None:
            delattr(item, keyword)
        else:
            setattr(item, keyword, value)


def moved(axis: int, mm: Callable[[int], float]) -> Change:
    """Slice n moves along the rows (0), the columns (1) or the slices (2)."""

    def change(slices: Slices) -> None:
        cosines = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
        along = np.vstack([cosines, np.cross(*cosines)])[axis]
        for n, item in enumerate(slices):
            position = np.array(item.ImagePositionPatient, float) + along * mm(n)
            item.ImagePositionPatient = [f"{value:.6f}" for value in position]

    return change


def turned(degrees: float) -> Change:
    def change(slices: Slices) -> None:
        row, column = np.array(slices[3].ImageOrientationPatient, float).reshape(2, 3)
        angle = np.deg2rad(degrees)
        cosines = [*(np.cos(angle) * row + np.sin(angle) * column), *(np.cos(angle) * column - np.sin(angle) * row)]
        slices[3].ImageOrientationPatient = [f"{value:.9f}" for value in cosines]

    return change


def cosines(length: float, slant: float = 0) -> Change:
    """Direction cosines of that length, the second leaning towards the first."""

    def change(slices: Slices) -> None:
        row, column = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
        for item in slices:
            item.ImageOrientationPatient = [f"{length * value:.9f}" for value in (*row, *(column + slant * row))]

    return change


def types(count: int, every: int = 6) -> Change:
    """The first `count` of each `every` slices are of another image type than the others."""

    def change(slices: Slices) -> None:
        for n, item in enumerate(slices):
            item.ImageType = ["ORIGINAL", "PRIMARY", "M", *(["NORM"] if n % every < count else [])]

    return change


def only(count: int) -> Change:
    """The first slices."""
    return lambda slices: slices.__delitem__(slice(count, None))


def again(**values: object) -> Change:
    """The middle slice once more, with other attributes."""

    def change(slices: Slices) -> None:
        slices.append(copy.deepcopy(slices[3]))
        put(slices[-1], values)

    return change


def cropped(slices: Slices) -> None:
    slices[3].PixelData = pixels_of(slices[3])[:-1].tobytes()
    slices[3].Rows -= 1


def coloured(slices: Slices) -> None:
    for item in slices:
        gray = (pixels_of(item) >> 4).astype(np.uint8)
        item.PixelData = np.repeat(gray[..., None], 3, axis=2).tobytes()
        item.SamplesPerPixel, item.PlanarConfiguration, item.PhotometricInterpretation = 3, 0, "RGB"
        item.BitsAllocated, item.BitsStored, item.HighBit = 8, 8, 7


def decimals(slices: Slices) -> None:
    for item in slices:
        item.FloatPixelData = pixels_of(item).astype("<f4").tobytes()
        item.BitsAllocated = 32
        del item.PixelData


def pixels_lost(slices: Slices) -> None:
    slices[3].PixelData = slices[3].PixelData[:-100]


def pixels_gone(slices: Slices) -> None:
    del slices[3].PixelData


def sample(name: str, bits: int) -> Change:
    """Every slice is the sample of a compressed image that `scanweave doctor` tries, 32 x 32 pixels."""

    def change(slices: Slices) -> None:
        for item in slices:
            item.PixelData = pydicom.encaps.encapsulate([SAMPLES[name].frame])
            item["PixelData"].VR, item["PixelData"].is_undefined_length = "OB", True
            item.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if name == "JPEG baseline" else JPEGExtended12Bit
            item.Rows = item.Columns = 32
            item.BitsAllocated, item.BitsStored, item.HighBit = 8 if bits == 8 else 16, bits, bits - 1

    return change


def syntax(uid: str) -> Change:
    """Compressed slices that are said to be compressed otherwise."""

    def change(slices: Slices) -> None:
        for n, item in enumerate(slices):
            slices[n] = stored_as(item, RLELossless)
            slices[n].file_meta.TransferSyntaxUID = pydicom.uid.UID(uid)

    return change


def compressed(slices: Slices) -> None:
    slices[3] = stored_as(slices[3], JPEGLSLossless)


def compressed_and_cut(slices: Slices) -> None:
    """The fragment says that it is longer than the file."""
    compressed(slices)
    whole = slices[3].PixelData
    at = whole.rindex(b"\xfe\xff\x00\xe0") + 4
    slices[3].PixelData = whole[:at] + (1 << 20).to_bytes(4, "little") + whole[at + 4 :]


def mosaic(kind: str) -> Change:
    return every(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", kind])


def private_mosaic(count: int, creator: str = "SIEMENS MR HEADER") -> Change:
    """Siemens' own element, by which a mosaic is known whose ImageType was cleaned."""

    def change(slices: Slices) -> None:
        for item in slices:
            item.private_block(0x0019, creator, create=True).add_new(0x0A, "US", count)

    return change


def nothing(slices: Slices) -> None:
    """The series as it is."""


OWN = "9.9"
DRIFT_MM = (0, 0.059, 0.118, 0.079, 0.039, 0)
"""Steps that differ by less than 0.1 mm, and places off by more."""
CASES: dict[str, tuple[list[str], Change, Change]] = {
    "slice missing": (["MISSING_SLICE"], lambda s: s.pop(3), lambda s: s.pop(0)),
    "uneven": (["UNEVEN_SPACING"], moved(2, lambda n: 0.5 * (n == 3)), moved(2, lambda n: 0.04 * (n == 3))),
    "many small differences": (["UNEVEN_SPACING"], moved(2, lambda n: DRIFT_MM[n]), moved(2, lambda n: 0.06 * n)),
    "one slice aside": (["TILT"], moved(1, lambda n: 0.3 * (n == 3)), moved(1, lambda n: 0.1 * (n == 3))),
    "tilt": (["TILT"], moved(1, lambda n: 0.5 * n), moved(1, lambda n: 0.02 * n)),
    "two orientations": (["MIXED_ORIENTATION"], turned(2), turned(0.03)),
    "an orientation of wrong lengths": (["MISSING_GEOMETRY"], cosines(1.01), cosines(1.0005)),
    "an orientation without a right angle": (["MISSING_GEOMETRY"], cosines(1, 0.01), cosines(1, 0.001)),
    "two types in one stack": (["UNSUPPORTED_FORM"], types(4), types(6)),
    "two types in turns": (["UNSUPPORTED_FORM"], types(1, 2), types(1, 1)),
    "two matrices": (["MIXED_MATRIX"], cropped, nothing),
    "two pixel spacings": (["MIXED_MATRIX"], one(PixelSpacing=[0.9, 1.2]), one(PixelSpacing=[0.9, 1.1005])),
    "two frames of reference": (
        ["MIXED_FRAME_OF_REFERENCE"], one(FrameOfReferenceUID=OWN), every(FrameOfReferenceUID=OWN),
    ),
    "two at one place": (["DUPLICATE_POSITION"], again(SOPInstanceUID=OWN), again()),
    "no position": (["MISSING_GEOMETRY"], one(ImagePositionPatient=None), one(SliceThickness=None)),
    "a position of two numbers": (["MISSING_GEOMETRY"], one(ImagePositionPatient=["1", "2"]), nothing),
    "no orientation": (["MISSING_GEOMETRY"], every(ImageOrientationPatient=None), every(EchoTime=None)),
    "no pixel spacing": (["MISSING_GEOMETRY"], every(PixelSpacing=None), every(SliceThickness="0")),
    "two slices": (["TOO_FEW_SLICES"], only(2), only(3)),
    "CT": (["NOT_MR"], every(Modality="CT"), nothing),
    "one slice is no MR": (["NOT_MR"], one(Modality="PT"), nothing),
    "one slice of another patient": (["PATIENT_MISMATCH"], one(PatientID="Q"), every(PatientID="Q")),
    "one slice of another study": (["MULTIPLE_STUDIES"], one(StudyInstanceUID=OWN), every(StudyInstanceUID=OWN)),
    "colours": (["UNSUPPORTED_FORM"], coloured, nothing),
    "white is zero in one slice": (["UNSUPPORTED_FORM"], one(PhotometricInterpretation="MONOCHROME1"), nothing),
    "colours by a table": (["UNSUPPORTED_FORM"], every(PhotometricInterpretation="PALETTE COLOR"), nothing),
    "decimals": (["UNSUPPORTED_FORM"], decimals, nothing),
    "mosaic": (["UNSUPPORTED_FORM"], mosaic("MOSAIC"), mosaic("NORM")),
    "mosaic of United Imaging": (["UNSUPPORTED_FORM"], mosaic("VFRAME"), mosaic("DIS2D")),
    "mosaic by a private element": (["UNSUPPORTED_FORM"], private_mosaic(36), private_mosaic(1)),
    "mosaic by Siemens' element, another's of that number": (
        ["UNSUPPORTED_FORM"], private_mosaic(36), private_mosaic(36, "GEMS_ACQU_01"),
    ),
    "bits that are not the lowest": (["UNSUPPORTED_FORM"], every(HighBit=15), every(BitsStored=16, HighBit=15)),
    "twelve bits packed": (["UNSUPPORTED_FORM"], every(BitsAllocated=12), nothing),
    "more bits stored than there are": (["UNREADABLE"], every(BitsStored=20, HighBit=19), nothing),
    "sign not said": (["UNREADABLE"], every(PixelRepresentation=None), every(PixelRepresentation=1)),
    "JPEG with loss and 12 bits": (
        ["UNSUPPORTED_SYNTAX"], sample("JPEG extended (12 bits)", 12), sample("JPEG extended (8 bits)", 8),
    ),
    "video": (["UNSUPPORTED_SYNTAX"], syntax("1.2.840.10008.1.2.4.103"), syntax("1.2.840.10008.1.2.5")),
    "a syntax of nobody's": (["UNSUPPORTED_SYNTAX"], syntax("1.2.3.4.5"), syntax("1.2.840.10008.1.2.5")),
    "pixels cut": (["TRUNCATED"], pixels_lost, nothing),
    "pixels missing": (["TRUNCATED"], pixels_gone, nothing),
    "compressed pixels cut": (["TRUNCATED"], compressed_and_cut, compressed),
    "an edge too long": (["TRUNCATED", "TOO_LARGE", "MIXED_MATRIX"], one(Columns=5000), nothing),
    "five things at once": (
        ["PATIENT_MISMATCH", "TRUNCATED", "TILT", "MISSING_SLICE", "NOT_MR"],
        lambda s: [pixels_lost(s), one(PatientID="Q")(s), moved(1, lambda n: n)(s), s.pop(2), every(Modality="CT")(s)],
        nothing,
    ),
}  # fmt: skip
