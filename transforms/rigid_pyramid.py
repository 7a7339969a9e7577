"""A series at the resolutions of the registration, made once: shrunken by means of blocks, then blurred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.rigid_head import head_mask
from scanweave.transforms.rigid_metric import ScaledImage
from scanweave.transforms.rigid_sampling import Mask, Sampler
from scanweave.transforms.rigid_settings import DEFAULT_SETTINGS, RigidSettings
from scanweave.transforms.rigid_shrink import blur, shrink, shrink_factors

THICK_SLICE_RATIO = 2.0
"""An axis this many times coarser than the finest is not blurred: its voxels are blur enough."""
BRIGHTEST_PERCENT = 0.5
"""Vessels and fat, which share the last bin."""
MAX_COUNTED = 50_000
"""Voxels from which the percentile is taken."""


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A series ready to be registered: an image for each level, coarse to fine, and its head at the middle one."""

    levels: tuple[ScaledImage, ...]
    head: Mask

    @property
    def middle(self) -> ScaledImage:
        """The level that alignments are judged at."""
        return self.levels[len(self.levels) // 2]


def pyramid(volume: Volume, settings: RigidSettings = DEFAULT_SETTINGS) -> Pyramid:
    """Return `volume` at each level of `settings`. Finite voxels are expected; the volume is left alone."""
    thin = volume.grid.spacing <= THICK_SLICE_RATIO * volume.grid.spacing.min()
    shrunken, levels = volume, []
    middle = len(settings.levels) // 2
    for number in range(len(settings.levels) - 1, -1, -1):
        level = settings.levels[number]
        shrunken = shrink(shrunken, shrink_factors(shrunken.grid, level.voxel_mm, settings.min_voxels))
        blurred = blur(shrunken.array, thin * level.sigma_mm / shrunken.grid.spacing)
        if number == middle:
            head = head_mask(Volume(blurred, shrunken.affine))
        levels.append(scaled(blurred, shrunken.grid, settings.bins))
    return Pyramid(tuple(reversed(levels)), head)


def scaled(array: npt.NDArray[np.float32], grid: Grid, bins: int) -> ScaledImage:
    """Return the image with its values as places among `bins`; a single value everywhere becomes 0."""
    counted = array.ravel(order="K")[:: max(1, array.size // MAX_COUNTED)]
    low, high = float(array.min()), float(np.percentile(counted, 100 - BRIGHTEST_PERCENT))
    last = np.nextafter(np.float32(bins - 1), np.float32(0))
    scale = float(last) / (high - low) if high > low else 0.0
    places = (array - np.float32(low)) * np.float32(scale)
    return ScaledImage(Sampler.of(np.clip(places, 0, last, out=places)), grid, bins)
