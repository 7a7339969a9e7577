"""Where the planes of a source series lie, and whether a mask lies on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from scanweave.transforms.geometry import LPS_FROM_RAS, Grid, Volume
from scanweave.transforms.io.dicom_facts import number

GRID_TOLERANCE_MM = 0.25
"""How far a voxel of the mask may lie from the source's: the reader accepts 0.2 mm of tilt and rounding."""
GRID_TOLERANCE_VOXELS = 0.25
"""The same for coarse axes; the larger of the two counts."""


@dataclass(frozen=True)
class Plane:
    """One slice or frame: the header's own values, millimetres in LPS (PS3.3 C.7.6.2)."""

    position: Sequence[float]  # centre of the first voxel
    orientation: Sequence[float]  # row direction, column direction
    pixel_spacing: Sequence[float]  # between rows, between columns
    thickness: float | None


def planes_of(header: Dataset) -> list[Plane]:
    """The planes of a single-frame or enhanced instance in its own order; [] where one lacks its geometry."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if frames is None:
        planes = [_plane(header, header, header)]
    else:
        shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        groups = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        planes = [_plane(*((f.get(g) or shared.get(g) or [Dataset()])[0] for g in groups)) for f in frames]
    return planes if all(p.position and p.orientation and p.pixel_spacing for p in planes) else []


def _plane(position: Dataset, orientation: Dataset, measures: Dataset) -> Plane:
    thickness = number(measures, "SliceThickness")
    return Plane(
        position.get("ImagePositionPatient"),
        orientation.get("ImageOrientationPatient"),
        measures.get("PixelSpacing"),
        thickness if thickness and thickness > 0 else None,
    )


def order_of(planes: Sequence[Plane]) -> list[int]:
    """Indices that sort `planes` along their normal (row direction x column direction)."""
    cosines = min(tuple(map(float, plane.orientation)) for plane in planes)  # one for all, whatever the order
    heights = np.array([plane.position for plane in planes], float) @ np.cross(cosines[:3], cosines[3:])
    return [int(n) for n in np.argsort(heights, kind="stable")]


def source_axes(grid: Grid, planes: Sequence[Plane]) -> tuple[tuple[int, int, int], tuple[int, ...]]:
    """Which axes of `grid` are (slice, row, column) of the source, slices along the normal, and which of these to flip.

    Raises
    ------
    ValueError
        Where no axes of the grid run along those of the planes: the pipeline's mistake.
    """
    row, column = np.reshape(np.array(planes[order_of(planes)[0]].orientation, float), (2, 3))
    axes_of_source = LPS_FROM_RAS[:3, :3] @ np.array([np.cross(row, column), column, row]).T
    turn = np.rint(grid.directions.T @ axes_of_source).astype(int)
    if any((np.abs(turn).sum(axis=axis) != 1).any() for axis in (0, 1)):
        raise ValueError("the axes of the mask are not those of the source series")
    s, r, c = (int(axis) for axis in np.abs(turn).argmax(axis=0))
    return (s, r, c), tuple(n for n, axis in enumerate((s, r, c)) if turn[axis, n] < 0)


def as_source_stack(volume: Volume, matrix: tuple[int, int], planes: Sequence[Plane]) -> Volume:
    """`volume` with its axes turned to (slice, row, column) of the source, slices along the normal.

    `matrix` is (rows, columns); `planes` may come in any order.

    Raises
    ------
    ValueError
        Where axes, shape or place of the volume are not those of the planes: the pipeline's mistake.
    """
    planes = [planes[n] for n in order_of(planes)]
    axes, flips = source_axes(volume.grid, planes)
    array, affine = np.flip(volume.array.transpose(axes), flips), volume.affine[:, [*axes, 3]]
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] *= -1
    if array.shape != (len(planes), *matrix):
        raise ValueError(f"expected {(len(planes), *matrix)} slices, rows, columns, got {array.shape}")
    stack = Volume(np.ascontiguousarray(array), affine)
    _check_places(stack, planes)
    return stack


def _check_places(stack: Volume, planes: Sequence[Plane]) -> None:
    """Three corners of every slice must lie where the header puts them."""
    slices, rows, columns = stack.array.shape
    corners = [(0, 0), (rows - 1, 0), (0, columns - 1)]
    indices = [(s, r, c) for s in range(slices) for r, c in corners]
    expected = np.array([_point(plane, r, c) for plane in planes for r, c in corners])
    apart = stack.grid.points(indices) - expected @ LPS_FROM_RAS[:3, :3]
    off = np.abs(apart @ stack.grid.directions)
    if (off > np.maximum(GRID_TOLERANCE_MM, GRID_TOLERANCE_VOXELS * stack.grid.spacing)).any():
        raise ValueError(f"the mask lies up to {off.max():.2f} mm off the grid of the source series")


def _point(plane: Plane, row: int, column: int) -> npt.NDArray[np.float64]:
    """LPS mm of a pixel (PS3.3 equation C.7.6.2.1-1)."""
    along, down = np.reshape(np.array(plane.orientation, float), (2, 3))
    between_rows, between_columns = map(float, plane.pixel_spacing)
    return np.array(plane.position, float) + row * between_rows * down + column * between_columns * along
