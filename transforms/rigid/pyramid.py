"""A series at the resolutions of the registration, made once: shrunken by means of blocks, then blurred."""

from __future__ import annotations

from dataclasses import dataclass

from scanweave.transforms.geometry import Volume
from scanweave.transforms.rigid.head import head_mask
from scanweave.transforms.rigid.samples import ScaledImage
from scanweave.transforms.rigid.sampling import Mask
from scanweave.transforms.rigid.settings import DEFAULT_SETTINGS, RigidSettings
from scanweave.transforms.rigid.shrink import blur, shrink, shrink_factors

THICK_SLICE_RATIO = 2.0
"""An axis this many times coarser than the finest is not blurred: its voxels are blur enough."""


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
        levels.append(ScaledImage.of(blurred, shrunken.grid, settings.bins))
    return Pyramid(tuple(reversed(levels)), head)
