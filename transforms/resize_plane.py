"""Step (3), last: the network's matrix in the plane."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometric import GeometricStep
from scanweave.transforms.geometry import Affine
from scanweave.transforms.image import Image, Plan, Voxels
from scanweave.transforms.step import Keys

Matrix = npt.NDArray[np.float32]

ZEROS = 12
"""So many stand on either side of the samples."""
NEGLIGIBLE_WEIGHT = 1e-8
"""Below the rounding of float32 voxels."""


class ResizePlaned(GeometricStep):
    """Resize (C, row, column, slice) in the plane to (C, size, size, slice), pixel edges on pixel edges.

    Forward by `modes`: "spline" is a quadratic spline, as `skimage.transform.resize(order=2, mode="constant",
    anti_aliasing=False)` that made the training data, clipped to the range of the input; "nearest" is for masks.
    Backward is linear, for probabilities.
    """

    def __init__(
        self,
        keys: Keys,
        size: int = 256,
        modes: Mapping[str, str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = size
        self.modes = dict(modes or {})

    def plan(self, image: Image) -> dict[str, Any]:
        """Sizes before; the size after is the setting."""
        return {"shape": image.array.shape[1:3], "size": self.size}

    def forward(self, image: Image, key: Hashable, plan: Plan) -> tuple[Voxels, Affine]:
        """The resized voxels; the affine's rows and columns shrink or grow about the outer pixel edges."""
        size, (rows, columns) = plan["size"], plan["shape"]
        scale = np.diag([rows / size, columns / size, 1.0, 1.0])
        scale[:2, 3] = [(rows / size - 1) / 2, (columns / size - 1) / 2]
        affine = plan["affine"] @ scale
        voxels = image.array
        if (rows, columns) == (size, size):
            return voxels, affine
        if self.modes.get(str(key), "spline") == "nearest":
            return voxels[:, nearest(rows, size)[:, None], nearest(columns, size)], affine
        resized = _resized(voxels, spline_matrix(rows, size), spline_matrix(columns, size))
        return np.clip(resized, voxels.min(), voxels.max(), out=resized), affine

    def backward(self, voxels: Voxels, plan: Plan) -> Voxels:
        """The voxels on the pixels before the step, interpolated linearly."""
        rows, columns = (linear_matrix(plan["size"], n) for n in plan["shape"])
        return _resized(voxels, rows, columns)


def _resized(voxels: Voxels, rows: Matrix, columns: Matrix) -> npt.NDArray[np.float32]:
    """Each axis of the plane times its matrix (after, before), all slices in one product."""
    channels, before, across, slices = voxels.shape
    down = rows @ voxels.astype(np.float32, copy=False).reshape(channels, before, across * slices)
    planes = down.reshape(channels, len(rows), across, slices).transpose(0, 1, 3, 2)
    resized = (planes.reshape(-1, across) @ columns.T).reshape(channels, len(rows), slices, len(columns))
    return np.ascontiguousarray(resized.transpose(0, 1, 3, 2))


def nearest(before: int, after: int) -> npt.NDArray[np.intp]:
    """The pixel (0..before-1) in which the centre of each of `after` pixels over the same length lies."""
    return np.minimum((np.arange(after) + 0.5) * before / after, before - 1).astype(np.intp)


@lru_cache(maxsize=8)
def linear_matrix(before: int, after: int) -> Matrix:
    """The (after, before) matrix that interpolates one axis linearly, the outer pixels' values up to their edges."""
    at = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    low = np.minimum(np.floor(at).astype(np.intp), max(before - 2, 0))
    matrix = np.zeros((after, before), dtype=np.float32)
    pixel = np.arange(after)
    matrix[pixel, low] = 1 - (at - low)
    matrix[pixel, np.minimum(low + 1, before - 1)] += (at - low).astype(np.float32)
    return matrix


@lru_cache(maxsize=8)
def spline_matrix(before: int, after: int) -> Matrix:
    """The (after, before) matrix that resizes one axis: interpolation is linear in the samples, and separable.

    As SciPy's zoom does in the mode "grid-constant", on which scikit-image's resize stands: samples between zeros
    to coefficients of the quadratic spline through them (P. Thevenaz, T. Blu, M. Unser, IEEE Trans. Med. Imaging 19,
    2000), and these to the new pixels. One product with the matrix takes a twentieth of the time of filters.
    """
    if before == after:
        return np.eye(before, dtype=np.float32)
    at = np.arange(before + 2 * ZEROS)
    through = _quadratic(at[:, None] - at)
    through[0, 1] = through[-1, -2] = 2 * _quadratic(np.float64(1))  # mirrored at the outermost zeros
    coefficients = np.linalg.inv(through)[:, ZEROS:-ZEROS]
    pixels = (np.arange(after) + 0.5) * before / after - 0.5 + ZEROS
    matrix = _quadratic(pixels[:, None] - at) @ coefficients
    # The spline's tails fall off for ever; as denormal numbers they would make the product fifty times slower.
    matrix[np.abs(matrix) < NEGLIGIBLE_WEIGHT] = 0
    return matrix.astype(np.float32)


def _quadratic(x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The quadratic B-spline."""
    away = np.abs(np.asarray(x, dtype=np.float64))
    return np.where(away < 0.5, 0.75 - away**2, np.where(away < 1.5, (1.5 - away) ** 2 / 2, 0.0))
