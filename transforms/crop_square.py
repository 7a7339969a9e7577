"""Step (3), second half: the head's bounding box, padded to a square in the plane."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometric import GeometricStep
from scanweave.transforms.geometry import Affine
from scanweave.transforms.image import Image, Plan, Voxels
from scanweave.transforms.step import Keys
from scanweave.transforms.volumes import PREPARED

Window = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First and one-past-last index along each axis; may reach outside the array, which means padding with 0."""


class CropSquared(GeometricStep):
    """Crop (C, row, column, slice) to what is not 0, then pad rows or columns with 0 to a square.

    With `opening` single noisy voxels of raw scans do not stretch the box: each slice is opened with 3x3 pixels
    first, for the box only. Not so where roles are `prepared`: the published slices were cropped without. The box is
    that of the first key; all keys are cropped alike.
    """

    def __init__(self, keys: Keys, opening: bool = True, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.opening = opening

    def plan(self, image: Image) -> dict[str, Any]:
        """The window of the head and its padding."""
        return self._plan(image, self.opening)

    def plan_within(self, image: Image, data: Mapping[Hashable, Any]) -> dict[str, Any]:
        """As `plan`, without the opening where roles are prepared."""
        return self._plan(image, self.opening and not data.get(PREPARED))

    def _plan(self, image: Image, opening: bool) -> dict[str, Any]:
        occupied: npt.NDArray[np.bool_] = np.any(image.array > 0, axis=0)
        opened = opened_in_plane(occupied) if opening else occupied
        return {"window": square_window(opened if opened.any() else occupied), "shape": image.array.shape[1:]}

    def forward(self, image: Image, key: Hashable, plan: Plan) -> tuple[Voxels, Affine]:
        """The voxels inside the window."""
        shift = np.eye(4)
        shift[:3, 3] = [start for start, _ in plan["window"]]
        return extract(image.array, plan["window"]), plan["affine"] @ shift

    def backward(self, voxels: Voxels, plan: Plan) -> Voxels:
        """The voxels where they came from, 0 around them."""
        window: Window = plan["window"]
        i, j, k = ((-start, n - start) for (start, _), n in zip(window, plan["shape"], strict=True))
        return extract(voxels, (i, j, k))


def opened_in_plane(occupied: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Each slice of (row, column, slice) opened with 3x3 pixels; beyond the border nothing is occupied."""
    for join in (np.logical_and, np.logical_or):
        for axis in (0, 1):
            wide = np.pad(np.moveaxis(occupied, axis, 0), ((1, 1), (0, 0), (0, 0)))
            occupied = np.moveaxis(join(join(wide[:-2], wide[1:-1]), wide[2:]), 0, axis)
    return occupied


def square_window(occupied: npt.NDArray[np.bool_]) -> Window:
    """The bounding box of `occupied` (row, column, slice), grown in the plane to a square (`pad_sample`)."""
    bounds = []
    for axis in range(3):
        filled = np.flatnonzero(occupied.any(axis=tuple(other for other in range(3) if other != axis)))
        bounds.append((int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, occupied.shape[axis]))
    rows, columns = (stop - start for start, stop in bounds[:2])
    short, missing = (0, columns - rows) if rows < columns else (1, rows - columns)
    start, stop = bounds[short]
    bounds[short] = (start - missing // 2, stop + missing - missing // 2)
    return bounds[0], bounds[1], bounds[2]


def extract(voxels: Voxels, window: Window) -> Voxels:
    """The part of (C, i, j, k) inside `window`; 0 where it reaches outside."""
    inside = [(max(start, 0), min(stop, n)) for (start, stop), n in zip(window, voxels.shape[1:], strict=True)]
    out = np.zeros((voxels.shape[0], *(stop - start for start, stop in window)), dtype=voxels.dtype)
    target = [slice(lo - start, hi - start) for (lo, hi), (start, _) in zip(inside, window, strict=True)]
    out[(slice(None), *target)] = voxels[(slice(None), *(slice(lo, hi) for lo, hi in inside))]
    return out
