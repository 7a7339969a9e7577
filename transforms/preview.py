"""What is kept of a series for the eye alone: 8 bits a voxel, no more of them than a page can show."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from scanweave.transforms.axial_planes import slice_axis
from scanweave.transforms.geometry import Grid, Volume

Bytes = npt.NDArray[np.uint8]

WHITE_PERCENTILE = 99.9
"""This percentile and all above it are white, zero is black."""
PERCENTILE_SAMPLES = 250_000
"""Voxels that the percentile is taken of, evenly spread: of a large volume a sort of all takes a second."""
MAX_VOXELS = 24_000_000
"""Above it planes are averaged down; 46 slices of 512 x 1024 stay as they are. Keeps a page of them under 20 MB."""
SLAB = 16
"""Output rows that are averaged at a time, which bounds the memory."""


@dataclass(frozen=True, eq=False)
class Preview:
    """`voxels` (i, j, k), uint8, each the mean of `factors` voxels of the series along i, j, k; 255 is `white`.

    The last of an axis may be the mean of fewer, where the factor does not divide the axis.
    """

    voxels: Bytes
    factors: tuple[int, int, int]
    white: float


def make_preview(volume: Volume, max_voxels: int = MAX_VOXELS) -> Preview:
    """The preview of a series on its own grid; slices are all kept, only their pixels become coarser."""
    axis = display_axis(volume.grid)
    factor = max(1, int(np.ceil(np.sqrt(volume.array.size / max_voxels))))
    i, j, k = (1 if n == axis else factor for n in range(3))
    white = white_level(volume.array)
    return Preview(_averaged(volume.array, (i, j, k), white), (i, j, k), white)


def display_axis(grid: Grid) -> int:
    """The voxel axis across the planes that are shown: the coarsest, or of an isotropic grid the superior one."""
    across = slice_axis(grid)
    return superior_axis(grid) if across is None else across


def superior_axis(grid: Grid) -> int:
    """The voxel axis that runs along the patient's length."""
    return int(np.argmax(nib.orientations.io_orientation(grid.affine)[:, 0] == 2))


def white_level(array: npt.NDArray[Any], percentile: float = WHITE_PERCENTILE) -> float:
    """The value that is shown white; above 0 for every array."""
    values = array.ravel(order="K")
    level = float(np.percentile(values[:: max(1, values.size // PERCENTILE_SAMPLES)], percentile))
    return level if level > 0 else max(float(values.max()), 1.0)


def as_bytes(array: npt.NDArray[Any], white: float) -> Bytes:
    """0..`white` as 0..255, brighter values cut off."""
    return np.clip(array * np.float32(255.0 / white), 0.0, 255.0).astype(np.uint8)


def _averaged(array: npt.NDArray[Any], factors: tuple[int, int, int], white: float) -> Bytes:
    shape = tuple(-(-n // factor) for n, factor in zip(array.shape, factors, strict=True))
    result = np.empty(shape, dtype=np.uint8)
    for start in range(0, shape[0], SLAB):
        slab = array[start * factors[0] : (start + SLAB) * factors[0]]
        result[start : start + SLAB] = as_bytes(_block_mean(slab, factors), white)
    return result


def _block_mean(slab: npt.NDArray[Any], factors: tuple[int, int, int]) -> npt.NDArray[Any]:
    if factors == (1, 1, 1):
        return slab
    missing = [(0, -n % factor) for n, factor in zip(slab.shape, factors, strict=True)]
    if any(after for _, after in missing):
        slab = np.pad(slab, missing, mode="edge")
    i, j, k = factors
    total = np.zeros([n // factor for n, factor in zip(slab.shape, factors, strict=True)], dtype=np.float32)
    for a, b, c in product(range(i), range(j), range(k)):
        total += slab[a::i, b::j, c::k]
    return total / (i * j * k)
