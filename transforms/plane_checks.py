"""A few planes by which a reader judges a registration: the fixed series, and the moving one before and after."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.preview import Bytes, as_bytes, display_axis, white_level
from scanweave.transforms.rigid.sampling import Sampler

OUTPUT = "report"
"""The entry of `--outputs` that shows the planes."""
SLICE_QUANTILES = (0.25, 0.5, 0.75)
"""Slices below which these parts of the brightness lie: in the head, however much air is around it."""
CROSS_QUANTILE = 0.5
"""Of the plane across the slices: near the head's middle."""
WHITE_PERCENTILE = 99.0
"""Brighter than the slices are shown: of a T1 the brain is otherwise too dark to compare."""
PROFILE_STRIDE = 4
"""Every fourth voxel is enough to find the head's middle."""


@dataclass(frozen=True, eq=False)
class PlaneCheck:
    """Plane `index` across the voxel axis `axis` of the fixed `grid`, 8 bits (its other two axes, in order).

    `before` is the moving series where the headers say it lies, `after` where the registration puts it; black
    where it was not imaged.
    """

    grid: Grid
    axis: int
    index: int
    fixed: Bytes
    before: Bytes
    after: Bytes


def planes_wanted(study: Mapping[Hashable, Any]) -> bool:
    """Whether the place of the results asks for a report; without a place nothing is written."""
    return OUTPUT in getattr(study.get("place"), "outputs", ())


def check_planes(fixed: Volume, moving: Volume, moved: npt.NDArray[np.float32]) -> tuple[PlaneCheck, ...]:
    """Three slices and one plane across them; `moved` (i, j, k) is the moving series on the fixed grid."""
    white_fixed, white_moving = (white_level(series.array, WHITE_PERCENTILE) for series in (fixed, moving))
    checks = []
    for axis, index in _chosen(fixed):
        checks.append(
            PlaneCheck(
                fixed.grid,
                axis,
                index,
                as_bytes(np.take(fixed.array, index, axis=axis), white_fixed),
                as_bytes(_at_identity(moving, fixed.grid, axis, index), white_moving),
                as_bytes(np.take(moved, index, axis=axis), white_moving),
            )
        )
    return tuple(checks)


def _chosen(fixed: Volume) -> list[tuple[int, int]]:
    """Axis and index of each plane."""
    across = display_axis(fixed.grid)
    world = nib.orientations.io_orientation(fixed.grid.affine)[:, 0]
    lateral = int(np.argmax(world == 0))
    cross = lateral if lateral != across else int(np.argmax(world == 1))
    slices = _at_quantiles(fixed.array, across, SLICE_QUANTILES)
    planes = [(across, index) for index in slices]
    return planes + [(cross, index) for index in _at_quantiles(fixed.array, cross, (CROSS_QUANTILE,))]


def _at_quantiles(array: npt.NDArray[Any], axis: int, quantiles: tuple[float, ...]) -> list[int]:
    steps = tuple(slice(None) if n == axis else slice(None, None, PROFILE_STRIDE) for n in range(3))
    others = tuple(n for n in range(3) if n != axis)
    mass = np.cumsum(array[steps].sum(axis=others, dtype=np.float64))
    indices = np.searchsorted(mass, np.array(quantiles) * mass[-1]).clip(0, len(mass) - 1)
    return list(dict.fromkeys(indices.tolist()))


def _at_identity(moving: Volume, grid: Grid, axis: int, index: int) -> npt.NDArray[np.float32]:
    """Linear samples of `moving` on one plane of `grid`, by the headers alone; 0 outside."""
    shape = tuple(n for other, n in enumerate(grid.shape) if other != axis)
    indices = np.insert(np.indices(shape).reshape(2, -1), axis, index, axis=0)
    to_moving = np.linalg.inv(moving.affine) @ grid.affine
    points = to_moving[:3, :3] @ indices + to_moving[:3, 3:]
    # Only what the plane crosses is copied, a thin slab of a series that lies like the fixed one.
    first = np.clip(np.floor(points.min(axis=1)), 0, np.maximum(np.array(moving.grid.shape) - 2, 0)).astype(np.intp)
    last = np.maximum(np.ceil(points.max(axis=1)).astype(np.intp), first + 1)
    crossed = moving.array[tuple(slice(low, high + 1) for low, high in zip(first, last, strict=True))]
    sampled, inside = Sampler.of(crossed).values((points - first[:, None]).astype(np.float32))
    return np.where(inside, sampled, np.float32(0)).reshape(shape)
