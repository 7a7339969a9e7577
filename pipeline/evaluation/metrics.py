"""How far a mask agrees with an expert's: plain functions of two arrays.

Conventions for empty masks: both empty is full agreement (Dice 1, IoU 1, distance 0); one empty is none (Dice 0, IoU
0), and there is no distance to what is not there (None).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask: TypeAlias = npt.NDArray[np.bool_]

PERCENTILE = 95.0
"""Of the surface distances: a single stray voxel does not decide, as it does in the Hausdorff distance itself."""
PIXEL = (1.0, 1.0)
"""Spacing in the plane where no millimetres are known."""


@dataclass(frozen=True)
class Overlap:
    """Counts of voxels: in the mask, in the truth, in both."""

    mask: int
    truth: int
    common: int

    @property
    def dice(self) -> float:
        """2 |A and B| / (|A| + |B|)."""
        total = self.mask + self.truth
        return 2 * self.common / total if total else 1.0

    @property
    def iou(self) -> float:
        """|A and B| / |A or B|, the Jaccard index."""
        union = self.mask + self.truth - self.common
        return self.common / union if union else 1.0

    @property
    def volume_error_percent(self) -> float | None:
        """Of the truth's volume: positive where too much was found; None where the truth is empty."""
        return 100 * (self.mask - self.truth) / self.truth if self.truth else None

    @property
    def false_positive(self) -> int:
        """Voxels of the mask outside the truth."""
        return self.mask - self.common

    @property
    def false_negative(self) -> int:
        """Voxels of the truth outside the mask."""
        return self.truth - self.common


def overlap(mask: Mask, truth: Mask) -> Overlap:
    """The counts of two masks of one shape."""
    return Overlap(int(np.count_nonzero(mask)), int(np.count_nonzero(truth)), int(np.count_nonzero(mask & truth)))


def hd95(mask: Mask, truth: Mask, spacing: Sequence[float]) -> float | None:
    """The 95 % Hausdorff distance in the unit of `spacing`, one number for each axis.

    The surface of a mask are its voxels with a neighbour by a face outside it; what lies beyond the array is outside.
    The larger of the two 95th percentiles: of the distances from the mask's surface to the truth's, and back (as
    MONAI's `compute_hausdorff_distance`).
    """
    if not (mask.any() and truth.any()):
        return None if mask.any() or truth.any() else 0.0
    return _larger_percentile([_surface_distances(mask, truth, spacing)])


def hd95_in_planes(mask: Mask, truth: Mask) -> float | None:
    """As `hd95`, in pixels within the slices along the last axis: for volumes whose slice distance is not known.

    The 2-D distances of all slices where both masks have a pixel are pooled, each direction for itself. Slices
    where only one of them has a pixel have no distance; `lone_slices` counts them. None where no slice has both.
    """
    if not (mask.any() or truth.any()):
        return 0.0
    both = np.flatnonzero(mask.any(axis=(0, 1)) & truth.any(axis=(0, 1)))
    if not both.size:
        return None
    return _larger_percentile(_surface_distances(mask[..., k], truth[..., k], PIXEL) for k in both)


def lone_slices(mask: Mask, truth: Mask) -> tuple[int, int]:
    """Slices along the last axis with truth and no mask (missed), and with a mask and no truth (false)."""
    found, true = mask.any(axis=(0, 1)), truth.any(axis=(0, 1))
    return int((true & ~found).sum()), int((found & ~true).sum())


def _larger_percentile(pairs: Iterable[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]) -> float:
    there, back = zip(*pairs, strict=True)
    return max(float(np.percentile(np.concatenate(distances), PERCENTILE)) for distances in (there, back))


def _surface_distances(
    mask: Mask, truth: Mask, spacing: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """From each voxel of one surface to the nearest of the other, both ways; neither mask is empty."""
    box = _common_box(mask | truth)  # exact: both surfaces lie inside, and nothing else takes part
    surface, true_surface = (_surface(voxels[box]) for voxels in (mask, truth))
    to_truth = ndimage.distance_transform_edt(~true_surface, sampling=tuple(spacing))
    to_mask = ndimage.distance_transform_edt(~surface, sampling=tuple(spacing))
    return to_truth[surface], to_mask[true_surface]


def _surface(voxels: Mask) -> Mask:
    return voxels & ~ndimage.binary_erosion(voxels)


def _common_box(voxels: Mask) -> tuple[slice, ...]:
    (box,) = ndimage.find_objects(voxels.astype(np.uint8))
    return tuple(box)
