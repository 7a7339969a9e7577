"""Linear samples of an image at scattered points, and their slopes: a few passes of numpy over flat arrays.

No product of matrices over the points: the linear algebra library's bits vary with its threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

EXACT_FLOAT32 = 2**24
"""Whole numbers below this are exact in float32, whose arithmetic is quicker than that of integers."""


@dataclass(frozen=True, eq=False)
class Sampler:
    """Voxels (i, j, k) as a flat float32 array; an axis of one voxel counts as two equal ones."""

    flat: Values
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, array: npt.NDArray[np.float32]) -> Sampler:
        """Of an image (i, j, k)."""
        for axis in range(3):
            if array.shape[axis] == 1:
                array = np.repeat(array, 2, axis=axis)
        i, j, k = array.shape
        return cls(np.ascontiguousarray(array, dtype=np.float32).ravel(), (i, j, k))

    def values(self, x: Values, margin: float = 0.0) -> tuple[Values, Mask]:
        """The samples (n) at the indices x (3, n), and which lie inside: at most `margin` voxels beyond a centre."""
        at, fraction, inside = self._cells(x, margin)
        u, v, w = fraction
        edges = []
        for corner in self._offsets()[::2]:
            low, high = self._corner(at, corner), self._corner(at, corner + 1)
            high -= low
            high *= w
            edges.append(low + high)
        front = edges[0] + v * (edges[1] - edges[0])
        back = edges[2] + v * (edges[3] - edges[2])
        back -= front
        back *= u
        return front + back, inside

    def slopes(self, x: Values) -> tuple[Values, Values, Mask]:
        """As `values`, with their derivatives (3, n) in the indices between the samples."""
        at, fraction, inside = self._cells(x, 0.0)
        u, v, w = fraction
        edges, rises = [], []
        for corner in self._offsets()[::2]:
            low, high = self._corner(at, corner), self._corner(at, corner + 1)
            high -= low
            rises.append(high)
            edges.append(low + w * high)
        along_v = [edges[1] - edges[0], edges[3] - edges[2]]
        faces = [edges[0] + v * along_v[0], edges[2] + v * along_v[1]]
        slope = np.empty_like(x)
        np.subtract(faces[1], faces[0], out=slope[0])
        np.subtract(along_v[1], along_v[0], out=slope[1])
        slope[1] *= u
        slope[1] += along_v[0]
        one = rises[0] + v * (rises[1] - rises[0])
        two = rises[2] + v * (rises[3] - rises[2])
        two -= one
        two *= u
        np.add(one, two, out=slope[2])
        return faces[0] + u * slope[0], slope, inside

    def _cells(self, x: Values, margin: float) -> tuple[npt.NDArray[np.intp], Values, Mask]:
        """The flat index of the lower corner of each point's cell, the place within it, and who is inside."""
        inside = np.ones(x.shape[1], dtype=bool)
        fraction = np.empty_like(x)
        exact = np.float32 if self.flat.size < EXACT_FLOAT32 else np.float64
        at: npt.NDArray[np.floating] = np.zeros(x.shape[1], dtype=exact)
        for axis, n in enumerate(self.shape):
            inside &= x[axis] >= -margin
            inside &= x[axis] <= n - 1 + margin
            place = np.clip(x[axis], 0, n - 1, out=fraction[axis])
            base = np.minimum(np.floor(place), n - 2)
            place -= base
            at *= n
            at += base
        return at.astype(np.intp), fraction, inside

    def _offsets(self) -> list[int]:
        _, nj, nk = self.shape
        return [i * nj * nk + j * nk + k for i in (0, 1) for j in (0, 1) for k in (0, 1)]

    def _corner(self, at: npt.NDArray[np.intp], offset: int) -> Values:
        return self.flat[offset:].take(at, mode="clip")


def affine_points(matrices: npt.NDArray[np.float64], points: Values) -> Values:
    """Return the images (3, n, m) of points (3, m), float32, under matrices (n, 4, 4)."""
    rows = matrices.astype(np.float32)
    found = np.empty((3, len(rows), points.shape[1]), dtype=np.float32)
    part = np.empty_like(found[0])
    for axis in range(3):
        np.multiply(rows[:, axis, :1], points[0], out=found[axis])
        for other in (1, 2):
            np.multiply(rows[:, axis, other, None], points[other], out=part)
            found[axis] += part
        found[axis] += rows[:, axis, 3:]
    return found
