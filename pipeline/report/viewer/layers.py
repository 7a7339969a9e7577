"""The volumes that the viewer shows, 8 bits a voxel on one grid, small enough for the page."""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.preview import Bytes
from scanweave.transforms.resample import resample
from scanweave.transforms.view_volume import ViewVolume, view_grid

MASK, PROBABILITY = "mask", "probability"
ZIP_LEVEL = 6
SAMPLE_SLICES = 24
"""Of each series so many are compressed to guess how long the whole will be."""
LEAST_SHRINK = 0.93
"""A grid that takes too much is followed by one of at most this share of its voxels."""
USED = 0.85
"""Of the budget; where a first guess leaves more than the rest of it, a finer grid is tried once."""
FEWEST_VOXELS = 4096
"""Below it there is nothing to look at."""
ROUNDING = 1e-9
"""Voxels; edges that fall on a centre stay there in floating point."""
_HEADER_BYTES = 352


@dataclass(frozen=True, eq=False)
class Layer:
    """One volume: `role`, or MASK or PROBABILITY; `white` is what its brightest voxel stands for."""

    name: str
    white: float
    nifti: str  # base64 of a gzipped NIfTI-1 file


@dataclass(frozen=True, eq=False)
class Sources:
    """What there is to show: series by role, all on `grid`; mask and probability (i, j, k) on the reference's own.

    Both have the same edges.
    """

    series: Mapping[str, ViewVolume]
    grid: Grid
    mask: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.floating]


def layers(sources: Sources, budget: int) -> tuple[list[Layer], Grid] | None:
    """Every layer on the finest grid on which they take at most `budget` characters together, and that grid.

    None where there is no room for anything worth looking at.
    """
    whole = math.prod(sources.grid.shape)
    grid, share = sources.grid, budget / max(_guess(sources), 1)
    best, refined = None, False
    while True:
        if share < 1:
            grid = _coarser(sources.grid, share)
        if math.prod(grid.shape) < min(FEWEST_VOXELS, whole):
            return best
        found = _encoded(sources, grid)
        length = sum(len(layer.nifti) for layer in found)
        kept = math.prod(grid.shape) / whole
        if length <= budget:
            best = found, grid
            if kept == 1 or refined or length > USED * budget:
                return best
            refined, share = True, kept * budget / length * LEAST_SHRINK
        elif best is not None:
            return best
        else:
            share = kept * min(LEAST_SHRINK, budget / length)


def any_within(mask: npt.NDArray[np.bool_], shape: tuple[int, int, int]) -> Bytes:
    """`mask` in `shape` larger voxels between the same edges: 1 where any voxel of the mask has its centre in it."""
    for axis, count in enumerate(shape):
        mask = np.logical_or.reduceat(mask, _starts(mask.shape[axis], count), axis=axis)
    return mask.astype(np.uint8)


def mean_within(values: npt.NDArray[np.floating], shape: tuple[int, int, int]) -> npt.NDArray[np.floating]:
    """`values` in `shape` larger voxels between the same edges: the mean of those with their centre in each."""
    for axis, count in enumerate(shape):
        starts = _starts(values.shape[axis], count)
        sizes = np.diff(starts, append=values.shape[axis]).astype(np.float32)
        shaped = sizes.reshape([-1 if n == axis else 1 for n in range(3)])
        values = np.add.reduceat(values, starts, axis=axis) / shaped
    return values


def _starts(old: int, new: int) -> npt.NDArray[np.intp]:
    """The first of `old` voxels with its centre in each of `new` as large or larger ones between the same edges."""
    return np.ceil(np.arange(new) * (old / new) - 0.5 - ROUNDING).astype(np.intp)


def nifti_text(voxels: Bytes, grid: Grid, white: float) -> str:
    """A gzipped NIfTI-1 file as base64: the values are `voxels` times `white` / 255."""
    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(voxels.shape)
    header.set_xyzt_units("mm")
    header.set_zooms(grid.spacing)
    header.set_sform(grid.affine, code=1)
    header["vox_offset"], header["magic"] = _HEADER_BYTES, b"n+1"
    header["scl_slope"], header["scl_inter"] = white / 255.0, 0.0
    header["cal_min"], header["cal_max"] = 0.0, white
    content = header.binaryblock.ljust(_HEADER_BYTES, b"\0") + voxels.tobytes(order="F")
    return base64.b64encode(gzip.compress(content, ZIP_LEVEL, mtime=0)).decode("ascii")


def _encoded(sources: Sources, grid: Grid) -> list[Layer]:
    found = [
        Layer(role, view.white, nifti_text(_on(view.volume, grid), grid, view.white))
        for role, view in sources.series.items()
    ]
    if sources.mask.any():
        found.append(Layer(MASK, 255.0, nifti_text(any_within(sources.mask, grid.shape), grid, 255.0)))
    probability = np.rint(mean_within(sources.probability, grid.shape).clip(0, 1) * 255).astype(np.uint8)
    found.append(Layer(PROBABILITY, 1.0, nifti_text(probability, grid, 1.0)))
    return found


def _on(volume: Volume, grid: Grid) -> Bytes:
    if volume.array.shape == grid.shape:
        return volume.array
    voxels, _ = resample(volume, grid)
    return np.rint(voxels).astype(np.uint8)


def _guess(sources: Sources) -> int:
    """The characters that all series will take, from some of their slices; mask and probability add little."""
    total = 0.0
    for view in sources.series.values():
        voxels = view.volume.array
        some = voxels[..., :: max(1, voxels.shape[2] // SAMPLE_SLICES)]
        total += len(gzip.compress(some.tobytes(order="F"), ZIP_LEVEL)) * voxels.shape[2] / some.shape[2]
    return math.ceil(total * 4 / 3)


def _coarser(grid: Grid, share: float) -> Grid:
    """`grid` with at most `share` of its voxels: no voxel edge is longer than needed for that."""
    fine, coarse = 0.0, float((np.array(grid.shape) * grid.spacing).max())
    most = share * math.prod(grid.shape)
    for _ in range(40):
        middle = (fine + coarse) / 2
        if math.prod(view_grid(grid, middle).shape) > most:
            fine = middle
        else:
            coarse = middle
    return view_grid(grid, coarse)
