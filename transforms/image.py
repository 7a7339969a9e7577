"""What travels between the steps: the channels of one volume, where they lie, and what moved them there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Affine, Grid, Volume

Voxels = npt.NDArray[Any]
"""(C, i, j, k)."""
Plan = Mapping[str, Any]
"""What a geometric step did to an image, enough to undo it; `affine` is that before the step."""


class Undoes(Protocol):
    """A geometric step, as far as going back needs it."""

    def backward(self, voxels: Voxels, plan: Plan) -> Voxels:
        """The voxels (C, i, j, k) on the grid before the step."""


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """Channels (C, i, j, k) on one grid; `affine` (4x4) takes voxel indices to RAS mm.

    `moves` are the geometric steps behind it, the last one last, each with its plan: what is predicted here finds its
    way back by them. Arrays are shared, never changed in place.
    """

    array: Voxels
    affine: Affine
    moves: tuple[tuple[Undoes, Plan], ...] = ()

    def __post_init__(self) -> None:
        if self.array.ndim != 4:
            raise ValueError(f"expected channels of a volume (C, i, j, k), got shape {self.array.shape}")

    def __repr__(self) -> str:
        return f"<Image {self.array.shape} {self.array.dtype}>"

    @classmethod
    def of(cls, volume: Volume) -> Image:
        """One channel, float32; voxels that are so already are shared, in whatever order they lie."""
        return cls(np.asarray(volume.array, dtype=np.float32)[None], volume.affine)

    @property
    def volume(self) -> Volume:
        """The first channel; the voxels are shared, not copied."""
        return Volume(self.array[0], self.affine)

    @property
    def grid(self) -> Grid:
        """The three voxel axes."""
        return self.volume.grid

    def with_array(self, array: Voxels) -> Image:
        """Other voxels at the same place; the number of channels may differ."""
        if array.shape[1:] != self.array.shape[1:]:
            raise ValueError(f"expected voxels on the grid {self.array.shape[1:]}, got {array.shape[1:]}")
        return replace(self, array=array)
