"""Images over the bins of a histogram, and scattered points of the fixed one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Grid
from scanweave.transforms.rigid.pose import PoseFrame
from scanweave.transforms.rigid.sampling import Mask, Sampler, Values, affine_points

BRIGHTEST_PERCENT = 0.5
"""Vessels and fat, which share the last bin."""
MAX_COUNTED = 50_000
"""Voxels from which the percentile is taken."""


@dataclass(frozen=True, eq=False)
class ScaledImage:
    """An image whose values are places among `bins` of a histogram, 0 <= value < bins - 1, on its grid."""

    sampler: Sampler
    grid: Grid
    bins: int

    @classmethod
    def of(cls, array: Values, grid: Grid, bins: int) -> ScaledImage:
        """Of an image (i, j, k); a single value everywhere becomes 0."""
        counted = array.ravel(order="K")[:: max(1, array.size // MAX_COUNTED)]
        low, high = float(array.min()), float(np.percentile(counted, 100 - BRIGHTEST_PERCENT))
        last = np.nextafter(np.float32(bins - 1), np.float32(0))
        scale = float(last) / (high - low) if high > low else 0.0
        places = (array - np.float32(low)) * np.float32(scale)
        return cls(Sampler.of(np.clip(places, 0, last, out=places)), grid, bins)

    def with_bins(self, bins: int) -> ScaledImage:
        """The same image over another number of bins."""
        scale = np.float32((bins - 1) / (self.bins - 1))
        return ScaledImage(Sampler(self.sampler.flat * scale, self.sampler.shape), self.grid, bins)

    @property
    def array(self) -> Values:
        """The voxels (i, j, k)."""
        return self.sampler.flat[: int(np.prod(self.grid.shape))].reshape(self.grid.shape)


@dataclass(frozen=True, eq=False)
class FixedSamples:
    """Points (3, n) in mm from the frame's centre, and the bin (n) of the fixed image at each."""

    points: Values
    rows: npt.NDArray[np.intp]
    frame: PoseFrame


def draw_samples(
    image: ScaledImage, frame: PoseFrame, count: int, seed: int, region: tuple[Grid, Mask] | None = None
) -> FixedSamples:
    """Return about `count` points, scattered evenly over the voxels of a `region` of `image` (default: all of it).

    They are the same on every call. Each is anywhere in its voxel, as points of a lattice would meet those of the
    other image in step; one beyond the outer voxels' centres is mirrored at them.
    """
    random = np.random.default_rng(seed)
    grid = image.grid if region is None else region[0]
    voxels = np.arange(np.prod(grid.shape)) if region is None else np.flatnonzero(region[1])
    count = min(count, len(voxels))
    chosen = voxels[((np.arange(count) + random.random(count)) * (len(voxels) / max(1, count))).astype(np.intp)]
    index = np.stack(np.unravel_index(chosen, grid.shape)) + random.random((3, count)) - 0.5
    last = np.array(grid.shape)[:, None] - 1
    index = np.clip(last - np.abs(last - np.abs(index)), 0, last).astype(np.float32)
    to_points = grid.affine.copy()
    to_points[:3, 3] -= frame.centre
    to_image = np.linalg.inv(image.grid.affine) @ grid.affine
    points, places = affine_points(np.stack([to_points, to_image]), index).transpose(1, 0, 2)
    values, _ = image.sampler.values(places)
    return FixedSamples(points, values.astype(np.intp), frame)
