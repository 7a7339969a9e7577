"""The connected parts of a mask, as a list to jump through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanweave.transforms.geometry import Grid
from scanweave.transforms.keep_components import NEIGHBOURS

MAX_PARTS = 50
"""As many as a reader can look at; a noisy mask has thousands."""
MAX_CANDIDATES = 500_000
"""Voxels of a part among which its middle is looked for."""


@dataclass(frozen=True)
class Part:
    """One connected part: `point` (RAS mm) is the centre of the voxel of it that lies nearest its centroid."""

    volume_ml: float
    voxels: int
    point: tuple[float, float, float]
    probability: float

    @property
    def place(self) -> str:
        """`point` in words: "R 31 A 10 S 45 mm"."""
        pairs = zip(("RL", "AP", "SI"), self.point, strict=True)
        return " ".join(f"{letters[value < 0]} {abs(value):.0f}" for letters, value in pairs) + " mm"


def parts_of(mask: npt.NDArray[np.bool_], probability: npt.NDArray[np.floating], grid: Grid) -> tuple[list[Part], int]:
    """The `MAX_PARTS` largest parts of `mask` (i, j, k), largest first, and how many there are.

    `probability`, on the same `grid`, gives each its mean.
    """
    if not mask.any():
        return [], 0
    box = _box(mask)
    labels, count = ndimage.label(mask[box], NEIGHBOURS)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    largest = np.argsort(-sizes[1:], kind="stable")[:MAX_PARTS] + 1
    places = ndimage.find_objects(labels)
    found = []
    for label in largest.tolist():
        place = places[label - 1]
        inside = labels[place] == label
        corner = [outer.start + inner.start for outer, inner in zip(box, place, strict=True)]
        x, y, z = grid.points([_middle(inside, grid.spacing) + corner])[0].round(2).tolist()
        mean = float(probability[box][place][inside].mean())
        size = int(sizes[label])
        found.append(Part(size * grid.voxel_ml, size, (x, y, z), mean))
    return found, count


def _middle(inside: npt.NDArray[np.bool_], spacing: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """The voxel that is set and nearest to the centroid; of a very large part, one of every few is looked at."""
    others = ((1, 2), (0, 2), (0, 1))
    profiles = [inside.sum(axis=axes) for axes in others]
    centroid = [np.arange(len(profile)) @ profile / profile.sum() for profile in profiles]
    stride = max(1, round((inside.size / MAX_CANDIDATES) ** (1 / 3)))
    candidates = np.argwhere(inside[::stride, ::stride, ::stride]) * stride
    if not len(candidates):
        candidates = np.argwhere(inside)
    return candidates[np.argmin((((candidates - centroid) * spacing) ** 2).sum(axis=1))]


def _box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Of what is set."""
    occupied = (np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    i, j, k = (slice(int(at[0]), int(at[-1]) + 1) for at in occupied)
    return i, j, k
