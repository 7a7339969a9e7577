"""How voxels are laid out for a reader: as radiologists look at them, with a letter at each edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Grid
from scanweave.transforms.measure_mask import PLANES

_POSITIVE, _NEGATIVE = "RAS", "LPI"
_LAYOUT = {0: (2, 1), 1: (2, 0), 2: (1, 0)}
"""By the world axis across the planes: the one down the rows and the one along the columns."""


@dataclass(frozen=True, eq=False)
class View:
    """Planes of `grid` across one voxel axis: which axes run along rows and columns, and in which sense.

    The patient's right is on the left, anterior (axial) or superior (otherwise) is up, and in sagittal planes
    anterior is on the left. Slices are counted from inferior, posterior or right.
    """

    grid: Grid
    axis: int
    rows: int
    columns: int
    flips: tuple[int, ...]
    name: str
    left: str
    right: str
    top: str

    @classmethod
    def of(cls, grid: Grid, axis: int) -> View:
        """The view across voxel `axis` of a grid of any orientation; oblique axes go by their nearest."""
        orientation = nib.orientations.io_orientation(grid.affine)
        world, sign = orientation[:, 0].astype(int), orientation[:, 1]
        normal = int(world[axis])
        row_world, column_world = _LAYOUT[normal]
        rows, columns = int(np.argmax(world == row_world)), int(np.argmax(world == column_world))
        flips = [rows] if sign[rows] > 0 else []  # rows run to posterior or inferior
        flips += [columns] if sign[columns] > 0 else []  # columns run to left or posterior
        if sign[axis] * (-1 if normal == 0 else 1) < 0:  # slices run to superior, anterior or left
            flips.append(axis)
        left, right = _POSITIVE[column_world], _NEGATIVE[column_world]
        return cls(grid, axis, rows, columns, tuple(flips), PLANES[normal], left, right, _POSITIVE[row_world])

    def stack(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`voxels` (i, j, k) of the grid, or of one made coarser, as (slice, row, column); nothing is copied."""
        return np.flip(voxels, self.flips).transpose(self.axis, self.rows, self.columns)

    def plane(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One plane (the grid's two other axes, in order) as (row, column)."""
        return self.stack(np.expand_dims(pixels, self.axis))[0]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Height and width of a pixel."""
        spacing = self.grid.spacing
        return float(spacing[self.rows]), float(spacing[self.columns])

    def position(self, number: int) -> str:
        """Where the middle of slice `number` (in the order of `stack`) lies in scanner coordinates: "S 34.5 mm"."""
        index = (np.array(self.grid.shape) - 1) / 2
        index[self.axis] = self.grid.shape[self.axis] - 1 - number if self.axis in self.flips else number
        world = PLANES.index(self.name)
        value = float(self.grid.points([index])[0][world])
        return f"{(_POSITIVE if value >= 0 else _NEGATIVE)[world]} {abs(value):.1f} mm"
