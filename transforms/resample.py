"""Sampling a volume once, linearly, on another grid, and knowing where it had something to say.

The only place where scanweave hands geometry to ITK: RAS inside, LPS there (ITK Software Guide, 4.1.4).
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import LPS_FROM_RAS, Affine, Grid, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

IDENTITY: Affine = np.eye(4)
IDENTITY.setflags(write=False)


def resample(
    volume: Volume, grid: Grid, matrix_ras: Affine = IDENTITY, *, fill: float = 0.0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return `volume` on `grid` (float32, grid.shape) and where it was inside its own field of view (bool).

    `matrix_ras` (4x4, mm) takes a point of the grid's space to the volume's point, both RAS. A grid voxel
    that is wider than the volume resolves along one of the grid's axes (5 mm slices from a 1 mm scan) is the
    mean of evenly spaced samples through it, or thin structures alias. The field of view ends at the outer
    voxels' edges (index -0.5..n-0.5; between centre and edge the outer voxel's value holds), and a voxel is
    inside when at least half of its samples are; what is outside is `fill`.
    ValueError: the matrix is not a finite 4x4.
    """
    matrix = np.asarray(matrix_ras, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError(f"expected a finite 4x4 matrix, got shape {matrix.shape}")
    counts = samples_per_voxel(volume.grid, grid, matrix)
    source = to_sitk(volume)
    if counts == (1, 1, 1):
        values = _sample(source, grid, matrix)
        inside = ~np.isnan(values)
        return np.where(inside, values, np.float32(fill)), inside
    total = np.zeros(grid.shape, dtype=np.float32, order="F")
    found = np.zeros(grid.shape, dtype=np.uint16, order="F")
    for offset in product(*[(np.arange(n) + 0.5) / n - 0.5 for n in counts]):
        values = _sample(source, _shifted(grid, offset), matrix)
        inside = ~np.isnan(values)
        total += np.where(inside, values, np.float32(0.0))
        found += inside
    inside = 2 * found >= np.prod(counts)
    return np.where(inside, total / np.maximum(found, 1), np.float32(fill)).astype(np.float32), inside


def samples_per_voxel(source: Grid, target: Grid, matrix_ras: Affine = IDENTITY) -> tuple[int, int, int]:
    """Return how many samples along each axis of `target` average through one of its voxels.

    A voxel of `source` blurs about its own spacing along each of its axes: along a unit vector with
    components c_i in those axes it resolves sqrt(sum (c_i spacing_i)^2) mm.
    """
    steps = matrix_ras[:3, :3] @ target.affine[:3, :3]  # one target voxel along each axis, in source space
    lengths = np.linalg.norm(steps, axis=0)
    components = np.linalg.solve(source.directions, steps / lengths)
    resolved = np.linalg.norm(components * source.spacing[:, None], axis=0)
    i, j, k = (max(1, round(float(ratio))) for ratio in lengths / resolved)
    return i, j, k


def to_sitk(volume: Volume) -> sitk.Image:
    """Return `volume` as a float32 ITK image: the same points, in LPS. The voxels are copied."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.asarray(volume.array, dtype=np.float32).transpose(2, 1, 0))
    grid = volume.grid
    image.SetSpacing(grid.spacing.tolist())
    image.SetOrigin((LPS_FROM_RAS[:3, :3] @ grid.affine[:3, 3]).tolist())
    image.SetDirection((LPS_FROM_RAS[:3, :3] @ grid.directions).ravel().tolist())
    return image


def from_sitk(image: sitk.Image) -> Volume:
    """Return the volume (float32) of a 3-D ITK image: the inverse of `to_sitk`. The voxels are copied."""
    import SimpleITK as sitk

    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    return Volume(array.astype(np.float32, copy=False), LPS_FROM_RAS @ affine)


def _sample(source: sitk.Image, grid: Grid, matrix_ras: Affine) -> npt.NDArray[np.float32]:
    """Linear samples of `source` on `grid`, NaN outside the outer voxels' edges.

    ITK clamps between an outer voxel's centre and its edge; its transforms, too, lead from grid to source. Voxels do
    not depend on each other: the bits are the same with any number of threads.
    """
    import SimpleITK as sitk

    matrix_lps = LPS_FROM_RAS @ matrix_ras @ LPS_FROM_RAS
    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetSize(list(grid.shape))
    resampler.SetOutputSpacing(grid.spacing.tolist())
    resampler.SetOutputOrigin((LPS_FROM_RAS[:3, :3] @ grid.affine[:3, 3]).tolist())
    resampler.SetOutputDirection((LPS_FROM_RAS[:3, :3] @ grid.directions).ravel().tolist())
    resampler.SetTransform(sitk.AffineTransform(matrix_lps[:3, :3].ravel().tolist(), matrix_lps[:3, 3].tolist()))
    resampler.SetDefaultPixelValue(float("nan"))
    return sitk.GetArrayFromImage(resampler.Execute(source)).transpose(2, 1, 0)


def _shifted(grid: Grid, offset: tuple[float, ...]) -> Grid:
    """`grid` moved by `offset` voxels."""
    affine = grid.affine.copy()
    affine[:3, 3] = grid.points([offset])[0]
    return Grid(grid.shape, affine)
