"""The voxels of one checked DICOM series, through highdicom's strict reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_geometry import SPACING_TOLERANCE_MM
from scanweave.transforms.io.series import Series

if TYPE_CHECKING:
    import highdicom as hd
    import pydicom

PERPENDICULAR_TOLERANCE = 0.01
"""highdicom's measure of tilt; ours (TILT_TOLERANCE_MM, in the index) is the strict one."""


def read_dicom_volume(series: Series) -> tuple[Volume, tuple[pydicom.Dataset, ...]]:
    """Voxels (columns, rows, slices) float32 after the modality rescale, RAS affine, and the full headers.

    The headers keep no pixels. The slices come in order of position, whatever the order of the files.

    Raises
    ------
    InputRefused
        TRUNCATED or UNSUPPORTED_SYNTAX where pixels cannot be decoded; UNREADABLE for any other failure.
    """
    import pydicom

    datasets = []
    for path in series.files:
        try:
            dataset = pydicom.dcmread(path)
            dataset.decompress() if dataset.file_meta.TransferSyntaxUID.is_compressed else dataset.PixelData
        except MemoryError:
            raise
        except Exception as error:  # decoders and pydicom raise nearly anything on damaged bytes
            raise InputRefused(_decoding_problem(error, path.name, series)) from error
        if not dataset.get("FrameOfReferenceUID"):
            # Old and anonymised files lack it, highdicom wants one; a series is a frame of its own then.
            dataset.FrameOfReferenceUID = series.name
        datasets.append(dataset)
    try:
        volume = _column_row_slice(_highdicom_volume(datasets))
    except MemoryError:
        raise
    except Exception as error:
        problem = Problem(Code.UNREADABLE, f"the series is no regular volume: {error}", f"series {series.label}")
        raise InputRefused(problem) from error
    for dataset in datasets:
        del dataset.PixelData
    return volume, tuple(datasets)


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
    return Volume(np.ascontiguousarray(array), affine)


def _highdicom_volume(datasets: Sequence[pydicom.Dataset]) -> hd.Volume:
    import highdicom as hd

    if len(datasets) == 1:
        image = hd.Image.from_dataset(datasets[0])
        return image.get_volume(dtype=np.float32, apply_real_world_transform=False)
    return hd.get_volume_from_series(
        datasets,
        dtype=np.float32,
        apply_real_world_transform=False,  # a map of some slices only would scale these alone
        atol=SPACING_TOLERANCE_MM,
        perpendicular_tol=PERPENDICULAR_TOLERANCE,
    )


def _decoding_problem(error: Exception, file: str, series: Series) -> Problem:
    where = f"file {file} of series {series.label}"
    if isinstance(error, NotImplementedError) or "missing dependencies" in str(error):
        return Problem(Code.UNSUPPORTED_SYNTAX, "no installed decoder reads these pixels", where)
    return Problem(Code.TRUNCATED, f"the pixels cannot be decoded ({type(error).__name__})", where)
