"""The volumes that the viewer shows, 8 bits a voxel on one grid, small enough for the page."""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Mapping
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Grid
from scanweave.transforms.preview import Bytes
from scanweave.transforms.resample import resample
from scanweave.transforms.view_volume import ViewVolume, view_grid

MASK, PROBABILITY = "mask", "probability"
ZIP_LEVEL = 1
"""A third of the time of level 6, for a twentieth more bytes: noise hardly packs."""
MARGIN = 0.93
"""Of the room that is aimed at: fewer voxels compress a little less well each."""
GUESSED_PLANES = 12
ROUGHLY = 1.3
"""A guess so far above the room is believed."""
ALIKE = 1.5
"""Axes whose voxels are so many times the finest are the ones that become coarser first."""
FEWEST_VOXELS = 4096
"""Below it there is nothing to look at."""
ROUNDING = 1e-9
"""Voxels; edges that fall on a centre stay there in floating point."""
_HEADER_BYTES = 352


@dataclass(frozen=True, eq=False)
class Layer:
    """One volume: `name` is a role, MASK or PROBABILITY; `white` is what its brightest voxel stands for."""

    name: str
    white: float
    nifti: str  # base64 of a gzipped NIfTI-1 file


@dataclass(frozen=True, eq=False)
class Sources:
    """What there is to show: series by role, all on `grid`; labels and probability (i, j, k) on the reference's own.

    Both have the same edges.
    """

    series: Mapping[str, ViewVolume]
    grid: Grid
    labels: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.floating]


def fitting_layers(sources: Sources, room: int) -> tuple[tuple[Layer, ...], Grid] | None:
    """Every layer on the finest grid tried on which they take at most `room` characters together, and that grid.

    None where there is no room for anything worth looking at.
    """
    grid = sources.grid
    fewest = min(FEWEST_VOXELS, math.prod(grid.shape))
    while room > 0 and math.prod(grid.shape) >= fewest:
        guess = _guessed_length(grid, sources)
        if guess > ROUGHLY * room:
            grid = _coarser(grid, MARGIN * room / guess)
            continue
        found = _layers_on(grid, sources)
        length = sum(len(layer.nifti) for layer in found)
        if length <= room:
            return found, grid
        grid = _coarser(grid, MARGIN * room / length)
    return None


def _guessed_length(grid: Grid, sources: Sources) -> float:
    """What every series takes as a layer on `grid`, by some planes of the first one: to pack them all takes seconds."""
    view = next(iter(sources.series.values())).volume.array
    planes = view[:: max(1, len(view) // GUESSED_PLANES)]
    packed = len(gzip.compress(planes.tobytes(order="F"), ZIP_LEVEL)) / planes.size * 4 / 3
    return packed * math.prod(grid.shape) * len(sources.series)


def largest_within(labels: npt.NDArray[np.uint8], shape: tuple[int, int, int]) -> Bytes:
    """`labels` in `shape` larger voxels between the same edges: the largest that has its centre in each, so that a
    mask's voxel is never lost."""
    for axis, count in enumerate(shape):
        labels = np.maximum.reduceat(labels, _starts(labels.shape[axis], count), axis=axis)
    return labels


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


def _coarser(grid: Grid, share: float) -> Grid:
    """`grid` with about `share` (under 1) of its voxels, or some more; its finest axes become coarser first."""
    finest = grid.spacing.min()
    axes = np.count_nonzero(grid.spacing < ALIKE * finest)
    return view_grid(grid, finest * share ** (-1 / axes))


def _layers_on(grid: Grid, sources: Sources) -> tuple[Layer, ...]:
    def layer(name: str, voxels: Bytes, white: float) -> Layer:
        return Layer(name, white, _nifti_text(voxels, grid, white))

    found = [layer(role, _on(grid, view), view.white) for role, view in sources.series.items()]
    if sources.labels.any():
        found.append(layer(MASK, largest_within(sources.labels, grid.shape), 255.0))
    probability = np.rint(mean_within(sources.probability, grid.shape).clip(0, 1) * 255).astype(np.uint8)
    return (*found, layer(PROBABILITY, probability, 1.0))


def _on(grid: Grid, view: ViewVolume) -> Bytes:
    if view.volume.array.shape == grid.shape:
        return view.volume.array
    return np.rint(resample(view.volume, grid)[0]).astype(np.uint8)


def _nifti_text(voxels: Bytes, grid: Grid, white: float) -> str:
    """A gzipped NIfTI-1 file as base64: the values are `voxels` times `white` / 255.

    By hand, since nibabel chooses the scaling of integers itself.
    """
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
