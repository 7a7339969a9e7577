"""A series of colour pictures of the FLAIR's slices as DICOM Secondary Captures (PS3.3 A.8.1): what every viewer shows.

One picture a file, 8-bit RGB, uncompressed. Place and frame of reference are more than the Secondary Capture has
(a Standard Extended SOP Class, PS3.2 section 7.3): viewers sort the pictures by them and link them to the source.
UIDs are hashes and dates the source's, as in the Segmentation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from scanweave.transforms.io.dicom_derived import (
    equipment,
    integer,
    replace_clock,
    restore_identity,
    series_number,
)
from scanweave.transforms.io.dicom_seg_grid import Plane, order_of
from scanweave.transforms.io.dicom_seg_references import once
from scanweave.transforms.io.dicom_seg_settings import ST_LENGTH, SegSettings, plain_text
from scanweave.transforms.io.dicom_seg_sources import frame_of_reference, patient_and_study, sorted_headers
from scanweave.transforms.io.uids import derived_uid

Pixels = npt.NDArray[np.uint8]
"""(row, column, 3), RGB."""

SERIES_NUMBER_OFFSET = 4000
"""Added to the FLAIR's SeriesNumber; those of the Segmentations are smaller."""
_ORIENTATION_LETTERS = ("RL", "AP", "FH")
"""By LPS axis: towards the negative and the positive end (PS3.3 C.7.6.1.1.1)."""
_WORKSTATION = "WSD"
"""ConversionType (PS3.3 C.8.6.1): neither scanned from film nor filmed from a screen."""


@dataclass(frozen=True, eq=False)
class ScSource:
    """A slice that a picture is of: its header, where it lies, its frame (from 1) where it is one of several.

    `number` is its InstanceNumber, so that a picture is found under the number of its source; from 1 along the
    normal where these are no distinct numbers.
    """

    header: Dataset
    plane: Plane
    frame: int | None
    number: int


def sc_sources(headers: Sequence[Dataset]) -> list[ScSource]:
    """The slices of a series along its normal (row x column direction); ValueError as `sorted_headers`."""
    headers, planes = sorted_headers(headers)
    if len(headers) == 1 and len(planes) > 1:
        return [ScSource(headers[0], planes[n], n + 1, n + 1) for n in order_of(planes)]
    numbers = [integer(header, "InstanceNumber") for header in headers]
    if len({*numbers} - {0}) < len(numbers):
        numbers = list(range(1, len(headers) + 1))
    return [ScSource(h, p, None, n) for h, p, n in zip(headers, planes, numbers, strict=True)]


def orientation_letters(plane: Plane) -> tuple[str, str]:
    """PatientOrientation: where row and column run to, by the nearest axis."""
    vectors = np.reshape(np.array(plane.orientation, float), (2, 3))
    axes = np.abs(vectors).argmax(axis=1)
    row, column = (_ORIENTATION_LETTERS[axis][int(v[axis] > 0)] for v, axis in zip(vectors, axes, strict=True))
    return row, column


def write_dicom_sc(
    folder: Path,
    pictures: Iterable[Pixels],
    sources: Sequence[ScSource],
    further_headers: Sequence[Dataset],
    settings: SegSettings,
) -> None:
    """Write one file a picture into `folder`, which is made: 0001.dcm and so on, in the order of the slices.

    Parameters
    ----------
    pictures
        One a slice, in the order of `sources`: each source pixel as a square of n x n, from the upper left corner, n
        being the picture's columns over the source's; rows below are words. BurnedInAnnotation says so.
    sources
        From `sc_sources`.
    further_headers
        Those of the other series that the network saw: they count for the UIDs.
    settings
        What the series says of itself, flags and all.

    Raises
    ------
    ValueError
        A picture that is not a whole multiple of its source: the caller's mistake.
    """
    first = min(sources, key=lambda source: source.number).header
    own = {str(source.header.SOPInstanceUID) for source in sources}
    made_from = (*sorted(own), *(str(h.SOPInstanceUID) for h in once(further_headers, own)), repr(settings))
    said = patient_and_study(first)
    folder.mkdir()
    for rank, (picture, source) in enumerate(zip(pictures, sources, strict=True), start=1):
        voxels = hashlib.sha256(picture.tobytes()).hexdigest()
        sc = hd.sc.SCImage(
            pixel_array=picture,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=orientation_letters(source.plane),
            study_instance_uid=first.StudyInstanceUID,
            series_instance_uid=derived_uid("SC series", *made_from),
            series_number=series_number(first, SERIES_NUMBER_OFFSET),
            sop_instance_uid=derived_uid("SC instance", *made_from, str(rank), voxels),
            instance_number=source.number,
            **equipment(settings),
            series_description=settings.titled,
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        sc.copy_patient_and_study_information(said)
        restore_identity(sc, first)
        replace_clock(sc, first)
        del sc.DateOfSecondaryCapture, sc.TimeOfSecondaryCapture  # the clock's; not required
        sc.ConversionType = _WORKSTATION
        sc.BodyPartExamined = settings.body_part
        sc.BurnedInAnnotation = "YES"
        sc.ImageComments = plain_text(settings.described, ST_LENGTH)
        sc.DerivationDescription = plain_text(f"{settings.labels}: outline, drawn on the slice by {settings.algorithm}")
        _place(sc, source, picture)
        sc.save_as(folder / f"{rank:04d}.dcm", enforce_file_format=True)


def _place(sc: Dataset, source: ScSource, picture: Pixels) -> None:
    """Image Plane and Frame of Reference modules (PS3.3 C.7.6.2, C.7.4.1), and the slice that it is of."""
    zoom, rest = divmod(picture.shape[1], int(source.header.Columns))
    if rest or picture.shape[0] < zoom * int(source.header.Rows):
        raise ValueError(f"expected a multiple of the source's pixels, got {picture.shape[:2]}")
    along, down = np.reshape(np.array(source.plane.orientation, float), (2, 3))
    spacing = np.array(source.plane.pixel_spacing, float)  # between rows, between columns
    corner = np.array(source.plane.position, float)
    corner += (1 / zoom - 1) / 2 * (spacing[0] * down + spacing[1] * along)  # the first pixel is a part of the source's
    sc.FrameOfReferenceUID, sc.PositionReferenceIndicator = frame_of_reference(source.header), ""
    sc.ImagePositionPatient = _decimals(corner)
    sc.ImageOrientationPatient = source.plane.orientation
    sc.PixelSpacing = _decimals(spacing / zoom)
    if source.plane.thickness:
        sc.SliceThickness = _decimals([source.plane.thickness])[0]
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.header.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    if source.frame is not None:
        reference.ReferencedFrameNumber = source.frame
    purpose = hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
    reference.PurposeOfReferenceCodeSequence = [purpose]
    sc.SourceImageSequence = [reference]


def _decimals(values: Iterable[float]) -> list[str]:
    """As DS, which holds sixteen letters."""
    return [format_number_as_ds(float(value)) for value in values]
