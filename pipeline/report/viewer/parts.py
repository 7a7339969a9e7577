"""The connected parts of a mask as a list to jump through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Grid

Point = tuple[float, float, float]
"""RAS mm."""


@dataclass(frozen=True)
class Part:
    """One connected part, sizes as measured; `point` is a voxel of the mask in the middle of its longest diameter."""

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

    The middle of a diameter may lie in a hole or a bay: `point` is the voxel of `mask` (i, j, k) nearest to it in
    the same slice.
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
    set_there = np.insert(np.argwhere(mask.take(number, axis)), axis, number, axis=1)
    points = grid.points(set_there)
    middle = np.mean(ends, axis=0)
    x, y, z = points[((points - middle) ** 2).sum(axis=1).argmin()].round(2).tolist()
    return x, y, z
