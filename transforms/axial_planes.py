"""Step (0): axial slices as the training slices lie, rows from anterior to posterior, columns from right to left."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometric import GeometricStep
from scanweave.transforms.geometry import Affine, Grid, Volume
from scanweave.transforms.image import Image, Plan, Voxels
from scanweave.transforms.resample import resample
from scanweave.transforms.restored import restored
from scanweave.transforms.step import Keys
from scanweave.transforms.volumes import unseen_key

if TYPE_CHECKING:
    from scanweave.transforms.load_study import LoadedStudy

TRAINING_AXES = ("P", "L", "S")
"""Where the voxel axes (row, column, slice) point to in the published training slices."""
HALF = 0.5
THICK_SLICE_RATIO = 1.5
"""The coarsest axis is the slice axis where it is this much coarser than the next; else there is none."""


class AxialPlanesd(GeometricStep):
    """Turn a volume (1, i, j, k) of any orientation into axial slices (1, row, column, slice).

    A volume whose slice normal is within `max_angle` degrees of superior keeps its own planes: axes are permuted
    and flipped, no voxel changes. Any other, an isotropic one included, is resampled on patient-axial planes
    `slice_spacing` mm apart, averaged through the slice, with pixels of `plane_spacing` (smallest, largest) mm;
    `<key>_unseen` is then true where those planes reach beyond the volume, and `resampled_key` lists the volume. Of
    `labels_key` with several labels each is resampled by itself, and the largest share of a voxel decides. Pictures
    without a spacing keep their planes.
    """

    def __init__(
        self,
        keys: Keys,
        max_angle: float = 35.0,
        slice_spacing: float = 3.0,
        plane_spacing: tuple[float, float] = (0.8, 1.2),
        allow_missing_keys: bool = False,
        resampled_key: str = "resampled",
        labels_key: str = "label",
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.labels_key = labels_key
        self.max_angle = max_angle
        self.slice_spacing = slice_spacing
        self.plane_spacing = plane_spacing
        self.resampled_key = resampled_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = super().__call__(data)
        for key in self.present(d):
            _, plan = d[key].moves[-1]
            if not plan["own"]:
                _, inside = resample(_field_of_view(Grid(plan["shape"], plan["affine"])), plan["target"])
                d[unseen_key(key)] = Image(~inside[None], plan["target"].affine)
                d[self.resampled_key] = (*d.get(self.resampled_key, ()), key)
        return d

    def plan_within(self, image: Image, data: Mapping[Hashable, Any]) -> dict[str, Any]:
        """As `plan`, but that nothing is resampled of which no spacing is known."""
        loaded: LoadedStudy | None = data.get("loaded")
        return self._plan(image, own=loaded is not None and not loaded.spacing_known)

    def plan(self, image: Image) -> dict[str, Any]:
        """Either `own` planes by an axis permutation, or the target grid of a resampling."""
        return self._plan(image, own=False)

    def _plan(self, image: Image, *, own: bool) -> dict[str, Any]:
        grid = image.grid
        angle = slice_angle(grid)
        if own or (angle is not None and angle <= self.max_angle):
            to_training = nib.orientations.ornt_transform(
                nib.orientations.io_orientation(grid.affine), nib.orientations.axcodes2ornt(TRAINING_AXES)
            )
            return {"own": True, "shape": grid.shape, "orientation": to_training}
        target = axial_grid(grid, self.slice_spacing, self.plane_spacing)
        return {"own": False, "shape": grid.shape, "target": target}

    def forward(self, image: Image, key: Hashable, plan: Plan) -> tuple[Voxels, Affine]:
        """The axial voxels and their affine."""
        if plan["own"]:
            order = plan["orientation"]
            moved = nib.orientations.apply_orientation(image.array[0], order)
            to_old = nib.orientations.inv_ornt_aff(order, plan["shape"])
            return np.ascontiguousarray(moved)[None], image.affine @ to_old
        target: Grid = plan["target"]
        if key == self.labels_key and image.array.max() > 1:
            moved = _resampled_labels(image.volume, target)
        else:
            moved, _ = resample(image.volume, target)
        return np.ascontiguousarray(moved)[None], target.affine

    def backward(self, voxels: Voxels, plan: Plan) -> Voxels:
        """Back to the volume's own grid: exact for its own planes, linear otherwise."""
        if plan["own"]:
            axes, flips = np.array(plan["orientation"], dtype=int).T
            moved = np.flip(voxels, tuple(int(axes[i]) + 1 for i in range(3) if flips[i] < 0))
            return np.ascontiguousarray(moved.transpose(0, *[int(axis) + 1 for axis in axes]))
        own = Grid(plan["shape"], plan["affine"])
        return np.stack([resample(Volume(channel, plan["target"].affine), own)[0] for channel in voxels])


def _resampled_labels(labels: Volume, target: Grid) -> npt.NDArray[np.float32]:
    numbers = np.unique(labels.array[labels.array > 0])
    shares = [resample(Volume((labels.array == n).astype(np.float32), labels.affine), target)[0] for n in numbers]
    largest = numbers[np.argmax(shares, axis=0)]
    return np.where(np.sum(shares, axis=0) > HALF, largest, 0).astype(np.float32)


def on_own_planes(image: Image) -> Volume | None:
    """The first channel as it lay before `AxialPlanesd`, where that step changed no voxel; None where it resampled."""
    if not all(plan.get("own", False) for _, plan in image.moves):
        return None
    return restored(image).volume


def _field_of_view(grid: Grid) -> Volume:
    """One voxel as large as `grid`: its edges are all that it takes to say what lies inside."""
    shape = np.array(grid.shape)
    affine = grid.affine.copy()
    affine[:3, :3] *= shape
    affine[:3, 3] = grid.points([(shape - 1) / 2])[0]
    return Volume(np.ones((1, 1, 1), dtype=np.float32), affine)


def slice_axis(grid: Grid) -> int | None:
    """The voxel axis across the slices; None where the voxels are nearly cubes and how they are stored says nothing."""
    order = np.argsort(grid.spacing)
    thick = grid.spacing[order[2]] > THICK_SLICE_RATIO * grid.spacing[order[1]]
    return int(order[2]) if thick else None


def slice_angle(grid: Grid) -> float | None:
    """Degrees between the slice normal and the superior axis, 0..90; None where there is no slice axis.

    The normal is perpendicular to the planes, which in a sheared affine is not the direction of stacking.
    """
    across = slice_axis(grid)
    if across is None:
        return None
    first, second = (grid.directions[:, axis] for axis in range(3) if axis != across)
    normal = np.cross(first, second)
    return float(np.degrees(np.arccos(np.clip(abs(normal[2]) / np.linalg.norm(normal), 0.0, 1.0))))


def axial_grid(grid: Grid, slice_spacing: float, plane_spacing: tuple[float, float]) -> Grid:
    """Patient-axial planes that cover `grid` from edge to edge, in the orientation of the training slices."""
    corners = grid.points(np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape])).reshape(3, -1).T)
    low, high = corners.min(axis=0), corners.max(axis=0)
    pixel = float(np.clip(grid.spacing.min(), *plane_spacing))
    extent = (high - low)[[1, 0, 2]]  # A-P, R-L, I-S
    steps = np.array([pixel, pixel, slice_spacing])
    shape = np.maximum(np.ceil(extent / steps - 1e-6), 1).astype(int)
    # Rows run to posterior (-y), columns to the left (-x), slices to superior (+z).
    affine = np.zeros((4, 4))
    affine[1, 0], affine[0, 1], affine[2, 2], affine[3, 3] = -pixel, -pixel, slice_spacing, 1.0
    affine[:3, 3] = (low + high) / 2 - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
