"""Between the two forms of a volume: ours (array and affine) and MONAI's (MetaTensor with a channel axis)."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import torch
from monai.data import MetaTensor

from scanweave.transforms.geometry import Volume

PREPARED = "prepared"
"""The key of the roles that come as the published training slices did: on one grid, scaled to 8 bits."""


def unseen_key(role: Hashable) -> str:
    """The key of the mask (1, i, j, k) that is 1 where the role's series has no voxels on the grid of the moment."""
    return f"{role}_unseen"


def to_metatensor(volume: Volume) -> MetaTensor:
    """A (1, i, j, k) float32 tensor with the volume's affine."""
    voxels = torch.from_numpy(np.ascontiguousarray(volume.array, dtype=np.float32))[None]
    return MetaTensor(voxels, affine=torch.from_numpy(volume.affine.copy()))


def to_volume(image: MetaTensor) -> Volume:
    """The first channel of a (C, i, j, k) tensor with its affine; the voxels are shared, not copied."""
    return Volume(image.as_tensor()[0].numpy(), image.affine.numpy().astype(np.float64))
