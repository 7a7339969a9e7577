"""The connected parts of a mask as a list to jump through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.transforms.connected import connected_parts
from scanweave.transforms.geometry import Grid

Point = tuple[float, float, float]
"""RAS mm."""


@dataclass(frozen=True)
class Part:
    """One connected part, sizes as measured; `point` is a voxel of it in the middle of its longest diameter."""

    volume_ml: float
    long_mm: float
    short_mm: float
    point: Point

    @property
    def place(self) -> str:
        """`point` in words: "R 31 A 10 S 45 mm"."""
        pairs = zip(("RL", "AP", "SI"), self.point, strict=True)
        return " ".join(f"{letters[value < 0]} {abs(value):.0f}" for letters, value in pairs) + " mm"


def parts_of(measured: Mapping[str, Any], mask: npt.NDArray[np.bool_], grid: Grid) -> tuple[Part, ...]:
    """The parts that `measured`, the `measurements` of result.json, lists: the largest first.

    The middle of a diameter may lie in a hole or a bay, or in another part: `point` is the voxel of `mask` (i, j, k)
    nearest to it of those that are connected with the diameter's end in the same slice.
    """
    axis = "ijk".index(measured["slice_axis"])
    return tuple(
        Part(
            part["volume_ml"],
            part["long_axis_mm"],
            part["short_axis_mm"],
            _nearest(part["long_axis_ras"], mask, grid, axis, part["slice"]),
        )
        for part in measured["parts"]
    )


def _nearest(ends: Sequence[Point], mask: npt.NDArray[np.bool_], grid: Grid, axis: int, number: int) -> Point:
    plane = np.take(mask, number, axis)
    pixels = np.argwhere(plane)
    end = np.delete(np.linalg.inv(grid.affine) @ [*ends[0], 1.0], [axis, 3])  # half a pixel off one of its region
    here = tuple(pixels[((pixels - end) ** 2).sum(axis=1).argmin()])
    regions, _ = connected_parts(plane)
    points = grid.points(np.insert(np.argwhere(regions == regions[here]), axis, number, axis=1))
    middle = np.mean(ends, axis=0)
    x, y, z = points[((points - middle) ** 2).sum(axis=1).argmin()].round(2).tolist()
    return x, y, z
