"""A series as the report's viewer shows it: 8 bits a voxel, on the reference's grid or a coarser one, edge on edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanweave.transforms.geometry import Affine, Grid, Volume
from scanweave.transforms.preview import as_bytes, white_level
from scanweave.transforms.resample import IDENTITY, resample

MAX_EDGE = 256
"""The longest edge of a 3-D texture that every WebGL 2 promises (OpenGL ES 3.0.6, table 6.29)."""
ROUNDING = 1e-6
"""Voxels; an edge that is a whole number of voxels long but for floating point."""


@dataclass(frozen=True, eq=False)
class ViewVolume:
    """`volume`, uint8: 0 is zero, 255 is `white` (in the series' own units) and all that is brighter."""

    volume: Volume
    white: float


def view_grid(grid: Grid, spacing: float = 0.0, max_edge: int = MAX_EDGE) -> Grid:
    """`grid`, where its axes are longer than `max_edge` or its voxels finer than `spacing` mm with fewer of them.

    The outer edges stay where they are, so that every axis has whole voxels.
    """
    lengths = np.array(grid.shape) * grid.spacing
    counts = np.minimum(grid.shape, max_edge)
    if spacing > 0:
        counts = np.minimum(counts, np.maximum(np.ceil(lengths / spacing - ROUNDING), 1)).astype(int)
    steps = np.array(grid.shape) / counts  # in voxels of the old grid
    affine = grid.affine.copy()
    affine[:3, :3] *= steps
    affine[:3, 3] = grid.points([(steps - 1) / 2])[0]
    i, j, k = (int(n) for n in counts)
    return Grid((i, j, k), affine)


def view_volume(moving: Volume, reference: Grid, matrix_ras: Affine = IDENTITY) -> ViewVolume:
    """`moving` on the view grid of `reference`; `matrix_ras` takes a point of the reference to the moving series' own.

    Black where it was not imaged.
    """
    grid = view_grid(reference)
    voxels, _ = resample(moving, grid, matrix_ras)
    return _view(Volume(voxels, grid.affine), moving)


def view_of_moved(moved: Volume, moving: Volume) -> ViewVolume | None:
    """As `view_volume`, of what was resampled on the reference's own grid already; None where that is too fine."""
    fits = view_grid(moved.grid).shape == moved.grid.shape
    return _view(moved, moving) if fits else None


def _view(shown: Volume, moving: Volume) -> ViewVolume:
    white = white_level(moving.array)
    return ViewVolume(Volume(as_bytes(shown.array, white), shown.affine), white)
