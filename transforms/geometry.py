"""Geometry as a value: a voxel grid in RAS millimetres, and a volume that lies on one.

Inside scanweave every affine maps voxel indices to RAS+ millimetres (nibabel's convention); LPS exists
only where DICOM and ITK are read and written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]
"""4x4, voxel index (or millimetre point) to RAS millimetres."""

LPS_FROM_RAS: Affine = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse: negates the first two axes."""

MIN_SPACING_MM = 1e-3
"""Below this a voxel axis counts as collapsed and the affine as singular."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel lattice: `shape` (i, j, k) and `affine` (4x4, index to RAS mm, to voxel centres)."""

    shape: tuple[int, int, int]
    affine: Affine

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError(f"expected a finite 4x4 affine, got shape {affine.shape}")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if (spacing < MIN_SPACING_MM).any() or abs(np.linalg.det(affine[:3, :3] / spacing)) < MIN_SPACING_MM:
            raise ValueError(f"expected three independent voxel axes, got spacing {spacing} mm")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing(self) -> npt.NDArray[np.float64]:
        """Distance between neighbouring voxel centres along i, j, k in mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def directions(self) -> npt.NDArray[np.float64]:
        """Unit vectors of the voxel axes in RAS, one a column."""
        return self.affine[:3, :3] / self.spacing

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def points(self, indices: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """RAS mm (n, 3) of voxel indices (n, 3), which may be fractional."""
        return np.asarray(indices, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels (i, j, k) and the affine (index to RAS mm) that says where they lie."""

    array: npt.NDArray[Any]
    affine: Affine

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise ValueError(f"expected a 3-D array, got shape {self.array.shape}")
        object.__setattr__(self, "affine", Grid(self.array.shape, self.affine).affine)

    @property
    def grid(self) -> Grid:
        """The lattice that the voxels lie on."""
        return Grid(self.array.shape, self.affine)
