"""The voxels of one checked DICOM series, through highdicom's strict reader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_facts import find
from scanweave.transforms.io.dicom_geometry import SPACING_TOLERANCE_MM
from scanweave.transforms.io.dicom_pixels import read_pixels
from scanweave.transforms.io.dicom_slices import RESCALE, slices_of
from scanweave.transforms.io.memory import require_memory
from scanweave.transforms.io.series import Series

if TYPE_CHECKING:
    import highdicom as hd
    import pydicom

    from scanweave.transforms.io.pixel_decoder import PixelDecoder

PERPENDICULAR_TOLERANCE = 0.2
"""highdicom's measure of tilt, 37 degrees between any two slices: ours (TILT_TOLERANCE_MM, in the index) is strict."""
_DECIMALS = 10
"""Of a direction cosine in a decimal string (DS, 16 letters, PS3.5 6.2)."""
_ANY_UID = "2.25.0"
"""highdicom compares the UIDs of slices; that these are of one series is known."""
BYTES_PER_VOXEL = 14
"""While a series is read: as stored (2), and as float32 by slice, in a stack and in our order of axes."""


def read_dicom_volume(
    series: Series, decoder: PixelDecoder | None = None
) -> tuple[Volume, tuple[pydicom.Dataset, ...]]:
    """Voxels (columns, rows, slices) float32 after the modality rescale, RAS affine, and the full headers.

    The headers are those of `series.files`, without pixels. The slices come in order of position, whatever the order
    of the files. `decoder` decodes compressed files; without one, a process is started for this series.

    Raises
    ------
    InputRefused
        As `read_pixels`; UNREADABLE for any other failure.
    EnvironmentFailure
        OUT_OF_MEMORY before any pixel is read; as `PixelDecoder.decode`.
    """
    where = f"series {series.label}"
    require_memory(math.prod(series.shape or (0,)) * BYTES_PER_VOXEL, where)
    headers, pixels = read_pixels(series, decoder)
    try:
        slices: list[pydicom.Dataset] = []
        place: pydicom.Dataset | None = None
        for header in headers:
            own = slices_of(header)
            place = place or _exact_place(own[0])
            frames = pixels.pop(0)  # let go of as it is copied: a 3-D series takes hundreds of megabytes
            slices += [_bare_slice(one, frame, place) for one, frame in zip(own, frames, strict=True)]
        volume = _column_row_slice(_highdicom_volume(slices))
    except MemoryError:
        raise
    except Exception as error:  # highdicom and pydicom raise nearly anything on values that are none
        problem = Problem(Code.UNREADABLE, f"the series is no regular volume ({type(error).__name__})", where)
        raise InputRefused(problem) from error
    for header in headers:
        if not isinstance(find(header, "FrameOfReferenceUID") or None, str):
            # Old and anonymised files lack it, or hold several; a series is a frame of its own then.
            header.add_new("FrameOfReferenceUID", "UI", series.name)  # pydicom would read a damaged one to set it
        if not find(header, "SOPClassUID"):  # what refers to the image has to name its class
            header.add_new("SOPClassUID", "UI", _class_in_meta_information(header))
    return volume, headers


def _class_in_meta_information(header: pydicom.Dataset) -> str:
    """PS3.10 7.1 repeats the SOP class there; an image of modality MR without either is taken for a classic one."""
    from pydicom.uid import MRImageStorage

    return str(getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID") or MRImageStorage)


def _exact_place(one: pydicom.Dataset) -> pydicom.Dataset:
    """Pixel spacing of a slice, and its orientation as unit vectors at a right angle, which rounding loses.

    highdicom would take their lengths for a part of the spacing, and refuses what is 0.006 degrees off a right angle.
    """
    import pydicom

    left, _, right = np.linalg.svd(np.array(one.ImageOrientationPatient, dtype=np.float64).reshape(2, 3), False)
    place = pydicom.Dataset()
    place.ImageOrientationPatient = [round(float(value), _DECIMALS) for value in (left @ right).ravel()]
    place["PixelSpacing"] = one["PixelSpacing"]
    return place


def _bare_slice(header: pydicom.Dataset, pixels: npt.NDArray[Any], first: pydicom.Dataset) -> pydicom.Dataset:
    """A classic single-frame image with the pixels (row, column), and nothing that does not bear on the volume.

    Orientation and pixel spacing are `_exact_place` of the first slice, which the index found to be all slices'
    within its tolerances; highdicom has none.

    The vendor's other attributes (a presentation LUT, unused bits, real world values) are left behind: what counts
    is the value after the modality rescale.
    """
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    bare = pydicom.Dataset()
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    bare.SOPClassUID = MRImageStorage
    bare.SeriesInstanceUID = bare.FrameOfReferenceUID = _ANY_UID
    bare["ImagePositionPatient"] = header["ImagePositionPatient"]
    bare["ImageOrientationPatient"] = first["ImageOrientationPatient"]
    bare["PixelSpacing"] = first["PixelSpacing"]
    for keyword in RESCALE:
        if keyword in header:
            bare[keyword] = header[keyword]
    bare.Rows, bare.Columns = pixels.shape
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.BitsAllocated = bare.BitsStored = 8 * pixels.itemsize
    bare.HighBit = bare.BitsStored - 1
    bare.PixelRepresentation = int(pixels.dtype.kind == "i")
    bare.PixelData = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    return bare


def _highdicom_volume(slices: Sequence[pydicom.Dataset]) -> hd.Volume:
    import highdicom as hd

    return hd.get_volume_from_series(
        slices,
        dtype=np.float32,
        apply_real_world_transform=False,  # a map of some slices only would scale these alone
        atol=SPACING_TOLERANCE_MM,
        perpendicular_tol=PERPENDICULAR_TOLERANCE,
    )


def _column_row_slice(volume: hd.Volume) -> Volume:
    """From highdicom's (slice, row, column) in LPS to ours: (column, row, slice) in RAS, slices along the normal.

    The normal is row x column direction: the order in which SimpleITK and ITK stack slices too.
    """
    affine = LPS_FROM_RAS @ volume.affine @ np.eye(4)[:, [2, 1, 0, 3]]
    array = volume.array.transpose(2, 1, 0)
    if np.linalg.det(affine[:3, :3]) < 0:
        affine[:3, 3] += affine[:3, 2] * (array.shape[2] - 1)
        affine[:3, 2] *= -1
        array = array[:, :, ::-1]
    return Volume(np.asfortranarray(array), affine)
