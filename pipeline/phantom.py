"""A phantom study: one invented head imaged three times, with a lesion and a motion that are known.

The demo runs the whole chain on it and compares: Dice with the true lesion, millimetres with the true motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from scanweave.pipeline.phantom_head import LESION_TISSUES, make_head
from scanweave.pipeline.phantom_scan import CONTRASTS, Plan, expose, scan, tissue_part
from scanweave.transforms.geometry import Affine, Volume

HEAD_CENTRE = np.array([0.0, -6.0, 4.0])
"""In head coordinates, mm: the point about which the head turns."""
MOTION_DEG = (4.0, 8.0)
MOTION_MM = (6.0, 12.0)
"""How far the head turns and moves between series, the least and the most."""
LESION_PART = 0.5
"""A voxel belongs to the true lesion from this part on."""
HEAD_SIGNAL = 60
"""On the FLAIR: above noise and spinal fluid."""
AFFINE_TOLERANCE_MM = 1e-3
"""Two grids whose affines differ by less are one."""

PLANS: dict[str, Plan] = {
    "pre": Plan("pre", (224, 256, 24), (0.9, 0.9, 5.5), (4.0, -3.5, 0.0), (2.0, -2.0, 14.0)),
    "flair": Plan("flair", (208, 256, 24), (0.9, 0.9, 5.5), (14.0, 3.4, -1.0), (-1.0, -3.0, 12.0)),
    "post": Plan("post", (224, 256, 24), (0.9, 0.9, 5.5), (-3.0, 2.0, 1.0), (-3.0, 0.0, 12.0)),
}
"""Oblique as in practice: the FLAIR along the skull base, both T1 re-planned after the head had moved."""

OTHER_PLANS: dict[str, Plan] = {
    "localiser-axial": Plan("pre", (128, 128, 3), (2.0, 2.0, 20.0), (0, 0, 0), (0, 0, 10)),
    "localiser-coronal": Plan("pre", (128, 128, 3), (2.0, 2.0, 20.0), (0, 0, 0), (0, 0, 0), "coronal"),
    "localiser-sagittal": Plan("pre", (128, 128, 3), (2.0, 2.0, 20.0), (0, 0, 0), (0, 0, 0), "sagittal"),
    "crop": Plan("pre", (96, 80, 40), (1.0, 1.0, 1.0), (0, 0, 0), (0, 10, 20)),
    "adc": Plan("adc", (128, 128, 20), (1.8, 1.8, 6.5), (10.0, 2.0, 0.0), (0, -3, 12)),
}
"""What lies beside the three in a real study and must not be taken for one of them."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """One study of an invented head, and what is true of it.

    `series` holds int16 volumes by role: "pre", "flair", "post". `motion` holds, for "pre" and "post", the
    4x4 matrix in RAS mm that takes a point of the FLAIR to the same anatomy's point in that series. `lesion`
    (uint8) is 1 in the lesion and 0 elsewhere, on the FLAIR's grid. `others` holds the localiser's three
    stacks and two decoys.
    """

    seed: int
    series: dict[str, Volume]
    motion: dict[str, Affine]
    lesion: Volume
    others: dict[str, Volume]


def make_phantom(seed: int = 7) -> Phantom:
    """The phantom of `seed`: the same seed gives the same voxels."""
    rng = np.random.default_rng(seed)
    head = make_head(rng)
    flair_pose = _rigid(rng.uniform(-3, 3, 3), rng.uniform(-4, 4, 3))
    motion = {role: _draw_motion(rng) for role in ("pre", "post")}
    poses = {"flair": flair_pose} | {role: moved @ flair_pose for role, moved in motion.items()}
    exposures = {name: expose(head, contrast) for name, contrast in CONTRASTS.items()}

    def take(plan: Plan, pose: Affine) -> Volume:
        return scan(exposures[plan.contrast], CONTRASTS[plan.contrast].noise, plan.grid, pose, rng)

    series = {role: take(plan, poses[role]) for role, plan in PLANS.items()}
    others = {name: take(plan, poses["pre"]) for name, plan in OTHER_PLANS.items()}
    grid = PLANS["flair"].grid
    part = tissue_part(head, LESION_TISSUES, grid, flair_pose)
    lesion = Volume((part >= LESION_PART).astype(np.uint8), grid.affine)
    return Phantom(seed, series, motion, lesion, others)


def phantom_dice(mask: Volume, phantom: Phantom) -> float:
    """Dice of a mask (over 0 is lesion) with the true lesion.

    Raises ValueError when `mask` does not lie on the FLAIR's grid.
    """
    truth = phantom.lesion
    same_affine = np.allclose(mask.affine, truth.affine, rtol=0, atol=AFFINE_TOLERANCE_MM)
    if mask.array.shape != truth.array.shape or not same_affine:
        raise ValueError(f"expected a mask on the FLAIR's grid {truth.array.shape}, got {mask.array.shape}")
    found, true = mask.array > 0, truth.array > 0
    return float(2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true)))


def head_points(phantom: Phantom, step: int = 4) -> npt.NDArray[np.float64]:
    """RAS mm (n, 3) of voxels of the FLAIR inside the head's signal, every `step`-th along i and j."""
    flair = phantom.series["flair"]
    thinned = flair.array[::step, ::step]
    indices = np.argwhere(thinned > HEAD_SIGNAL) * (step, step, 1)
    return flair.grid.points(indices)


def motion_error_mm(matrix_ras: Affine, truth: Affine, points: npt.NDArray[np.float64]) -> float:
    """Mean distance in mm between where two matrices take `points` (n, 3), RAS mm in the FLAIR."""
    difference = np.asarray(matrix_ras, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    return float(np.linalg.norm(points @ difference[:3, :3].T + difference[:3, 3], axis=1).mean())


def _draw_motion(rng: np.random.Generator) -> Affine:
    axis, direction = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
    return _rigid(axis * rng.uniform(*MOTION_DEG), direction * rng.uniform(*MOTION_MM))


def _rigid(turn_deg: npt.NDArray[np.float64], shift_mm: npt.NDArray[np.float64]) -> Affine:
    """Turns about the head's centre (axis times angle), then shifts."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    matrix[:3, 3] = HEAD_CENTRE + shift_mm - matrix[:3, :3] @ HEAD_CENTRE
    return matrix
