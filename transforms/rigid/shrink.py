"""Fewer voxels by means of blocks, and a Gaussian blur: quick on small images, and no copy of a large one."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Grid, Volume

BLUR_REACH = 2.5
"""Standard deviations at which the blur is cut off."""


def shrink_factors(grid: Grid, voxel_mm: float, min_voxels: int) -> tuple[int, int, int]:
    """Return by how much to shrink each axis of `grid` for voxels of about `voxel_mm`.

    An axis that has fewer than twice `min_voxels` keeps its voxels.
    """
    i, j, k = (
        max(1, min(round(voxel_mm / spacing), n // min_voxels))
        for spacing, n in zip(grid.spacing.tolist(), grid.shape, strict=True)
    )
    return i, j, k


def shrink(volume: Volume, factors: tuple[int, int, int]) -> Volume:
    """Return the means (float32) of blocks of voxels; what is left over at the far ends falls away.

    They lie in C order whatever the volume's: what is drawn from an array must not depend on how it was stored.
    """
    shape = [n // factor for n, factor in zip(volume.array.shape, factors, strict=True)]
    if factors == (1, 1, 1):
        return Volume(np.ascontiguousarray(volume.array, dtype=np.float32), volume.affine)
    total = np.zeros_like(volume.array, shape=shape, dtype=np.float32)
    for start in product(*map(range, factors)):
        total += volume.array[tuple(slice(s, n * f, f) for s, n, f in zip(start, shape, factors, strict=True))]
    total /= np.float32(np.prod(factors))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(factors) - 1) / 2)
    affine[:3, :3] *= factors
    return Volume(np.ascontiguousarray(total), affine)


def blur(array: npt.NDArray[np.float32], sigma_voxels: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return `array` blurred by a Gaussian along each axis, its border voxels repeated beyond the border."""
    for axis, sigma in enumerate(sigma_voxels.tolist()):
        reach = round(BLUR_REACH * sigma)
        if reach == 0:
            continue
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        weights /= weights.sum()
        n = array.shape[axis]
        padded = np.pad(array, [(reach, reach) if other == axis else (0, 0) for other in range(3)], mode="edge")
        parts = [
            padded[tuple(slice(at, at + n) if other == axis else slice(None) for other in range(3))]
            for at in range(2 * reach + 1)
        ]
        array = parts[reach] * np.float32(weights[reach])
        for at in range(reach):
            both = parts[at] + parts[-1 - at]
            both *= np.float32(weights[at])
            array += both
    return array
