"""Turns a scan into another acquisition of the same head: sagittal, coronal, isotropic, oblique."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.resample import resample

AXES = {"axial": (0, 1, 2), "sagittal": (1, 2, 0), "coronal": (0, 2, 1), "isotropic": (1, 2, 0)}
"""Which patient axes (R, A, S) the voxel axes i, j, k follow; k runs across the slices."""


@dataclass(frozen=True)
class Acquisition:
    """A `plane` of `AXES`, pixels and slices in mm, and how far the box is turned about the patient's R axis."""

    plane: str
    pixel: float
    slice_spacing: float
    turned_deg: float = 0.0

    def __str__(self) -> str:
        turned = f"-turned-{self.turned_deg:g}" if self.turned_deg else ""
        return f"{self.plane}-{self.pixel:g}x{self.slice_spacing:g}mm{turned}"

    def grid(self, source: Grid) -> Grid:
        """The lattice that covers all of `source`; its axes run against R, A and S, as scanners store them."""
        frame = Rotation.from_euler("x", self.turned_deg, degrees=True).as_matrix()
        corners = (
            source.points(np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in source.shape])).reshape(3, -1).T) @ frame
        )
        low, high = corners.min(axis=0), corners.max(axis=0)
        order = list(AXES[self.plane])
        steps = np.array([self.pixel, self.pixel, self.slice_spacing])
        i, j, k = (int(n) for n in np.ceil((high - low)[order] / steps))
        affine = np.eye(4)
        affine[:3, :3] = -frame[:, order] * steps
        affine[:3, 3] = frame @ (low + high) / 2 - affine[:3, :3] @ ((np.array([i, j, k]) - 1) / 2)
        return Grid((i, j, k), affine)

    def of(self, volume: Volume) -> Volume:
        """`volume` as this acquisition would have seen it, 0 where it was not imaged."""
        grid = self.grid(volume.grid)
        return Volume(resample(volume, grid)[0], grid.affine)
