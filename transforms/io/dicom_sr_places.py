"""Where a point in space lies on the slices of a source series, as an SR names places (PS3.3 C.18.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from scanweave.transforms.geometry import LPS_FROM_RAS
from scanweave.transforms.io.dicom_seg_grid import GRID_TOLERANCE_MM, GRID_TOLERANCE_VOXELS, Plane, order_of

CENTRE_OF_FIRST_PIXEL = 0.5
"""Column and row are counted from the upper left corner of the upper left pixel, whose centre is 0.5, 0.5."""


@dataclass(frozen=True, eq=False)
class ImageLine:
    """A line drawn on a slice: `ends` (2, 2) as column and row; `frame` (from 1) where the image has several."""

    image: Dataset
    frame: int | None
    ends: npt.NDArray[np.float64]


def line_on_slice(headers: Sequence[Dataset], planes: Sequence[Plane], ends_ras: npt.ArrayLike) -> ImageLine:
    """The line between two points (2, 3), RAS mm, on the slice that both lie in.

    Parameters
    ----------
    headers, planes
        As `sorted_headers` gives them: a plane for each header, or for each frame of the only one.

    Raises
    ------
    ValueError
        Where no slice holds both points: they were not measured on this series.
    """
    points = np.asarray(ends_ras, dtype=np.float64) @ LPS_FROM_RAS[:3, :3]
    n = min(range(len(planes)), key=lambda n: np.abs(_within(planes[n], points)[:, 2]).max())
    within = _within(planes[n], points)
    if np.abs(within[:, 2]).max() > max(GRID_TOLERANCE_MM, GRID_TOLERANCE_VOXELS * _gap(planes)):
        raise ValueError("the measured line lies on no slice of the source series")
    multiframe = len(headers) == 1 and "PerFrameFunctionalGroupsSequence" in headers[0]
    ends = within[:, :2] + CENTRE_OF_FIRST_PIXEL
    return ImageLine(headers[0] if multiframe else headers[n], n + 1 if multiframe else None, ends)


def _within(plane: Plane, points_lps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, 3): column and row from the centre of the first pixel, and mm off the plane (PS3.3 C.7.6.2.1.1)."""
    along, down = np.reshape(np.array(plane.orientation, float), (2, 3))
    between_rows, between_columns = map(float, plane.pixel_spacing)
    off = points_lps - np.array(plane.position, float)
    return off @ np.column_stack([along / between_columns, down / between_rows, np.cross(along, down)])


def _gap(planes: Sequence[Plane]) -> float:
    """Mm between neighbouring slices; 0 where there is one."""
    if len(planes) == 1:
        return 0.0
    first, second = (np.array(planes[n].position, float) for n in order_of(planes)[:2])
    along, down = np.reshape(np.array(planes[0].orientation, float), (2, 3))
    return float(abs((second - first) @ np.cross(along, down)))
