"""Step (3), last: the network's matrix in the plane."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from scipy import ndimage

from scanweave.transforms.geometric import GeometricTransformd
from scanweave.transforms.geometry import Affine

NEGLIGIBLE_WEIGHT = 1e-8
"""Below the rounding of float32 voxels."""


class ResizePlaned(GeometricTransformd):
    """Resize (C, row, column, slice) in the plane to (C, size, size, slice), pixel edges on pixel edges.

    Forward by `modes`: "spline" is a quadratic spline, as `skimage.transform.resize(order=2, mode="constant",
    anti_aliasing=False)` that made the training data, clipped to the range of the input; "nearest" is for masks.
    Backward is linear, for probabilities.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int = 256,
        modes: Mapping[str, str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = size
        self.modes = dict(modes or {})

    def plan(self, image: MetaTensor) -> dict[str, Any]:
        """Sizes before; the size after is the setting."""
        return {"shape": tuple(int(n) for n in image.shape[1:3]), "size": self.size}

    def forward(self, image: MetaTensor, key: Hashable, plan: Mapping[str, Any]) -> tuple[torch.Tensor, Affine]:
        """The resized voxels; the affine's rows and columns shrink or grow about the outer pixel edges."""
        size, (rows, columns) = plan["size"], plan["shape"]
        scale = np.diag([rows / size, columns / size, 1.0, 1.0])
        scale[:2, 3] = [(rows / size - 1) / 2, (columns / size - 1) / 2]
        affine = plan["affine"] @ scale
        voxels = image.as_tensor()
        if (rows, columns) == (size, size):
            return voxels, affine
        planes = voxels.permute(0, 3, 1, 2)
        if self.modes.get(str(key), "spline") == "nearest":
            resized = torch.nn.functional.interpolate(planes, (size, size), mode="nearest-exact")
        else:
            down, across = (torch.from_numpy(spline_matrix(n, size)) for n in (rows, columns))
            resized = torch.matmul(torch.matmul(down, planes), across.T)
            resized.clamp_(float(voxels.min()), float(voxels.max()))
        return resized.permute(0, 2, 3, 1).contiguous(), affine

    def backward(self, image: torch.Tensor, plan: Mapping[str, Any]) -> torch.Tensor:
        """The voxels on the pixels before the step, interpolated linearly."""
        planes = image.permute(0, 3, 1, 2)
        own = torch.nn.functional.interpolate(planes, plan["shape"], mode="bilinear", align_corners=False)
        return own.permute(0, 2, 3, 1).contiguous()


@lru_cache(maxsize=8)
def spline_matrix(before: int, after: int) -> npt.NDArray[np.float32]:
    """The (after, before) matrix that resizes one axis: interpolation is linear in the samples, and separable.

    Each column is what SciPy's zoom, on which scikit-image's resize stands, makes of one unit impulse; applying
    the matrix takes a twentieth of the time of filtering the volume along all its axes.
    """
    if before == after:
        return np.eye(before, dtype=np.float32)
    impulses = np.eye(before)
    columns = [
        ndimage.zoom(impulse, after / before, order=2, mode="grid-constant", grid_mode=True) for impulse in impulses
    ]
    matrix = np.stack(columns, axis=1)
    # The spline's tails fall off for ever; as denormal numbers they would make the product fifty times slower.
    matrix[np.abs(matrix) < NEGLIGIBLE_WEIGHT] = 0
    return matrix.astype(np.float32)
