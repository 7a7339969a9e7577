"""How large a mask is: volume, connected parts, the longest diameter within a slice and its perpendicular."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from scanweave.transforms.connected import Labels, bounding_box, boxes_of, connected_parts
from scanweave.transforms.geometry import Affine, Volume
from scanweave.transforms.slice_diameters import SAME_MM, Line, longest_line, longest_perpendicular
from scanweave.transforms.slice_outline import Outline, outline_of

Point = tuple[float, float, float]
"""RAS mm."""
PLANES = ("sagittal", "coronal", "axial")
"""By the patient axis (right, anterior, superior) that is nearest to their normal."""
ML_DECIMALS, MM_DECIMALS = 4, 2
"""What volumes and lengths are rounded to where they are written; a voxel says no more."""
MOST_PARTS = 20
"""So many parts, the largest, are listed one by one: more are no lesions that anybody follows."""


@dataclass(frozen=True)
class Diameters:
    """The longest diameter of a region in one slice, and the longest perpendicular to it in the same region.

    Both run from outline to outline, in mm; the lines may cross a hole or a bay. Ends are in RAS mm. `slice_index`
    is the slice's number along the slice axis, from 0.
    """

    slice_index: int
    long_mm: float
    long_ends: tuple[Point, Point]
    short_mm: float
    short_ends: tuple[Point, Point]


@dataclass(frozen=True)
class Part:
    """One connected part of a mask."""

    voxels: int
    volume_ml: float
    diameters: Diameters


@dataclass(frozen=True)
class MaskSize:
    """What is measured of a mask: its volume, and how many connected parts it has.

    `diameters` are the longest of all parts, None where the mask is empty. `parts` lists the largest by volume,
    `MOST_PARTS` at most. `plane`, one of `PLANES`, is what the slices are in which diameters lie, the nearest of
    oblique ones.
    """

    volume_ml: float
    count: int
    diameters: Diameters | None
    parts: tuple[Part, ...]
    plane: str


def measure_mask(mask: Volume, slice_axis: int = 2) -> MaskSize:
    """Measure `mask` in its own geometry.

    A diameter lies within one slice and one connected region of it, as radiologists measure a lesion (RANO, P. Y.
    Wen et al., J Clin Oncol 28, 2010). Its ends are on the region's outline, half way between the centres of voxels
    inside and outside; of one voxel it is the larger spacing. Of round and oval shapes it is too long by some
    0.4 to 0.8 voxels, as the longest of many is.

    Parameters
    ----------
    mask
        (i, j, k), anything but 0 is inside; any affine, oblique and anisotropic ones too.
    slice_axis
        The voxel axis across the slices.
    """
    inside = mask.array != 0
    named = _plane_name(mask.affine, slice_axis)
    if not inside.any():
        return MaskSize(0.0, 0, None, (), named)
    i, j, k = bounding_box(inside)
    labels, count = connected_parts(inside[i, j, k])
    plane = _Plane(mask.affine, slice_axis, (i.start, j.start, k.start))
    regions = _regions(labels, count, slice_axis)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    by_size = np.argsort(-sizes, kind="stable")
    parts = []
    for n in by_size[:MOST_PARTS]:
        found = _longest(regions[n], plane)
        parts.append(Part(int(sizes[n]), int(sizes[n]) * mask.grid.voxel_ml, found))
    longest = max((part.diameters for part in parts), key=lambda item: round(item.long_mm / SAME_MM))
    others = chain.from_iterable(regions[n] for n in by_size[MOST_PARTS:])
    longest = _longest(others, plane, longest)
    return MaskSize(int(sizes.sum()) * mask.grid.voxel_ml, count, longest, tuple(parts), named)


@dataclass(frozen=True, eq=False)
class _Region:
    """What is connected within one slice: `pixels` (2-D, True inside) with its first row and column."""

    pixels: npt.NDArray[np.bool_]
    first: tuple[int, int]
    slice_index: int


def _plane_name(affine: Affine, slice_axis: int) -> str:
    first, second = (affine[:3, axis] for axis in range(3) if axis != slice_axis)
    return PLANES[int(np.abs(np.cross(first, second)).argmax())]


def _regions(labels: Labels, count: int, slice_axis: int) -> list[list[_Region]]:
    """Of each part (1..count) its connected regions, slice after slice."""
    found: list[list[_Region]] = [[] for _ in range(count)]
    for number, plane in enumerate(np.moveaxis(labels, slice_axis, 0)):
        flat, regions = connected_parts(plane != 0)
        for label, box in enumerate(boxes_of(flat, regions), start=1):
            pixels = flat[box] == label
            part = int(plane[box][pixels][0])
            found[part - 1].append(_Region(pixels, (box[0].start, box[1].start), number))
    return found


def _longest(regions: Iterable[_Region], plane: _Plane, known: Diameters | None = None) -> Diameters:
    """The longest diameter of all `regions` and of what is `known`; most regions are too small to be looked at."""
    best = known
    for region in sorted(regions, key=lambda item: -plane.bound(item)):
        if best is not None and plane.bound(region) < best.long_mm:
            break
        outline = plane.place(region)
        ends = longest_line(outline.vertices)
        if best is None or np.linalg.norm(ends[1] - ends[0]) > best.long_mm + SAME_MM:
            best = plane.diameters(region, ends, longest_perpendicular(outline, ends))
    if best is None:
        raise ValueError("expected at least one region")
    return best


class _Plane:
    """Millimetres within a slice: orthogonal axes in the plane of the two other voxel axes, which may be sheared."""

    def __init__(self, affine: Affine, slice_axis: int, first: tuple[int, int, int]) -> None:
        rows, columns = (affine[:3, axis] for axis in range(3) if axis != slice_axis)
        along = rows / np.linalg.norm(rows)
        across = columns - (columns @ along) * along
        self.axes = np.array([along, across / np.linalg.norm(across)])  # (2, 3): RAS directions
        self.scale = np.array([rows, columns]) @ self.axes.T  # (row, column) -> mm
        self.origin = affine[:3, :3] @ first + affine[:3, 3]
        self.step = affine[:3, slice_axis]
        self.first_slice = first[slice_axis]

    def bound(self, region: _Region) -> float:
        """Mm that no diameter of the region exceeds."""
        rows, columns = self.scale * np.array(region.pixels.shape)[:, None]
        return float(max(np.linalg.norm(rows + columns), np.linalg.norm(rows - columns))) + SAME_MM

    def place(self, region: _Region) -> Outline:
        """The region's outline in mm."""
        outline = outline_of(region.pixels)
        return Outline((outline.vertices + region.first) @ self.scale, outline.edges)

    def diameters(self, region: _Region, *lines: Line) -> Diameters:
        """The long and the short axis, ends in the plane's mm, as a record in RAS."""
        (long_mm, long_ends), (short_mm, short_ends) = (self._in_space(line, region.slice_index) for line in lines)
        return Diameters(region.slice_index + self.first_slice, long_mm, long_ends, short_mm, short_ends)

    def _in_space(self, line: Line, slice_index: int) -> tuple[float, tuple[Point, Point]]:
        one, other = (
            (float(x), float(y), float(z)) for x, y, z in self.origin + slice_index * self.step + line @ self.axes
        )
        return float(np.linalg.norm(line[1] - line[0])), (one, other)
