"""Whether a rigid alignment can be trusted: figures before and after, and a reason to look again.

Mutual information alone depends on the contrast of the two series. How sharply it falls when the pose is
disturbed depends less: at a true alignment it falls in every direction, while the heads of two patients,
noise, or a pose that is some millimetres off leave it flat or rising somewhere. A head mirrored left to right
is nearly its own twin and is not caught.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Affine
from scanweave.transforms.rigid.metric import Similarity, information
from scanweave.transforms.rigid.pose import PoseFrame, rotations
from scanweave.transforms.rigid.pyramid import Pyramid
from scanweave.transforms.rigid.samples import draw_samples
from scanweave.transforms.rigid.sampling import Sampler, affine_points

Floats = npt.NDArray[np.float64]

SAMPLES = 15_000
SEED = 1
MIN_POINTS = 200
"""Fewer common points than this carry no statistics."""
DISTURB_MM = 4.0
DISTURB_DEG = 4.0
EDGE_VOXELS = 0.5
"""The field of view ends at the outer voxels' edges."""

# Chosen on tcga-fg-6692 and 20 LGG patients, 500 pairs of benchmarks/registration.py (docs/registration.md):
#   256 within 1 mm of the truth   sharpness 0.16, 0.21 ..   margin 0.07, 0.10 ..   nmi 1.05 ..
#   168 failures                   sharpness .. 0.18         margin .. 0.07         nmi 1.00 ..
#   (another patient, noise, gone astray; but for two of negative margin)
# Tested on study-siemens and 20 other patients: of 237 good ones three below, all of two patients with poor scans.
# The bound on nmi, which noise does not reach, was added after the test: noise that fitted by chance had a
# sharpness of 0.17 and a margin of 0.10 there.
MIN_SHARPNESS = 0.195
MIN_MARGIN = 0.06
MIN_NMI = 1.02
MIN_HEAD_IN_VIEW = 0.5
"""Half a head is mostly found, but what cannot be seen of the other half is worth a look."""


@dataclass(frozen=True, eq=False)
class Quality:
    """Figures at identity (`before`) and at the result (`after`); `reason` is "" where nothing is amiss.

    head_in_view   fraction of the fixed head inside the moving series' field of view
    head_dice      Dice of the two head masks inside that field of view
    nmi            normalised mutual information of the heads, 1 (none) .. 2 (Studholme et al., Pattern
                   Recognition 32, 1999)
    sharpness      mean fraction of the mutual information lost over 12 disturbed poses; `after` only
    margin         the smallest of the 12 losses, negative where a neighbouring pose fits better; `after` only
    """

    before: dict[str, float]
    after: dict[str, float]
    displacement_mm: float
    reason: str


def judge(fixed: Pyramid, moving: Pyramid, matrix_ras: Affine) -> Quality:
    """Return the quality of `matrix_ras` (fixed point to moving point, RAS mm).

    The heads are compared at the pyramids' middle levels; how sharp the alignment is shows best at the finest.
    """
    displacement = _displacement_mm(fixed, matrix_ras)
    before, after = (_overlap(fixed, moving, matrix) for matrix in (np.eye(4), matrix_ras))
    after |= _sharpness(fixed, moving, matrix_ras)
    return Quality(before, after, displacement, _reason(after))


def _displacement_mm(fixed: Pyramid, matrix_ras: Affine) -> float:
    """How far the head's voxels move on average."""
    head = np.argwhere(fixed.head)
    if not len(head):
        return 0.0
    points = fixed.middle.grid.points(head[:: max(1, len(head) // SAMPLES)])
    moved = np.einsum("ij,nj->ni", matrix_ras[:3, :3] - np.eye(3), points) + matrix_ras[:3, 3]
    return float(np.sqrt((moved**2).sum(axis=1)).mean())


def _overlap(fixed: Pyramid, moving: Pyramid, matrix_ras: Affine) -> dict[str, float]:
    """head_in_view, head_dice and nmi of one pose, at every nth voxel of the fixed grid."""
    shape = fixed.head.shape
    chosen = np.arange(0, fixed.head.size, max(1, fixed.head.size // (2 * SAMPLES)))
    index = np.stack(np.unravel_index(chosen, shape)).astype(np.float32)
    to_index = np.linalg.inv(moving.middle.grid.affine) @ matrix_ras @ fixed.middle.grid.affine
    there = affine_points(to_index[None], index)[:, 0]
    values, inside = moving.middle.sampler.values(there, EDGE_VOXELS)
    share, _ = Sampler.of(moving.head.astype(np.float32)).values(there, EDGE_VOXELS)
    heads = fixed.head.ravel()[chosen]
    own, other = heads & inside, (share > 0.5) & inside
    either = own | other
    figures = {
        "head_in_view": float(own.sum() / max(1, heads.sum())),
        "head_dice": float(2 * (own & other).sum() / max(1, own.sum() + other.sum())),
        "nmi": 1.0,
    }
    if either.sum() >= MIN_POINTS:
        bins = fixed.middle.bins
        rows = fixed.middle.array.ravel()[chosen][either].astype(np.intp)
        joint = np.bincount(rows * bins + values[either].astype(np.intp), minlength=bins * bins)
        sides, together = information(joint.reshape(1, bins, bins) / either.sum())
        figures["nmi"] = float(sides[0] / together[0]) if together[0] > 0 else 1.0
    return figures


def _sharpness(fixed: Pyramid, moving: Pyramid, matrix_ras: Affine) -> dict[str, float]:
    """Losses of mutual information at poses disturbed about the fixed head's centre; 0 with none to lose."""
    flat = {"sharpness": 0.0, "margin": 0.0}
    if not fixed.head.any():
        return flat
    frame = PoseFrame(fixed.middle.grid.points([np.argwhere(fixed.head).mean(axis=0)])[0])
    samples = draw_samples(fixed.levels[-1], frame, SAMPLES, SEED, (fixed.middle.grid, fixed.head))
    similarity = Similarity(samples, moving.levels[-1])
    joints, held = similarity.joints(matrix_ras @ np.array(_disturbances(frame)))
    sides, together = information(joints / np.maximum(held, 1)[:, None, None])
    known = np.where(held < MIN_POINTS, 0.0, sides - together)
    if known[0] <= 0:
        return flat
    losses = 1 - known[1:] / known[0]
    return {"sharpness": float(losses.mean()), "margin": float(losses.min())}


def _disturbances(frame: PoseFrame) -> list[Affine]:
    """None; then shifts by DISTURB_MM along and turns by DISTURB_DEG about each RAS axis, both ways."""
    poses = [np.eye(4)]
    for axis, sign in product(range(3), (1.0, -1.0)):
        shift, turn = np.eye(4), np.eye(4)
        shift[axis, 3] = sign * DISTURB_MM
        turn[:3, :3] = rotations(np.eye(3)[[axis]] * sign * np.deg2rad(DISTURB_DEG))[0]
        turn[:3, 3] = frame.centre - turn[:3, :3] @ frame.centre
        poses += [shift, turn]
    return poses


def _reason(after: dict[str, float]) -> str:
    """Why a person should look at the alignment, or ""."""
    if after["nmi"] < MIN_NMI:
        return f"the series have nothing in common: normalised mutual information {after['nmi']:.3f} is under {MIN_NMI}"
    if after["sharpness"] < MIN_SHARPNESS:
        return f"alignment is not distinct: sharpness {after['sharpness']:.2f} is under {MIN_SHARPNESS}"
    if after["margin"] < MIN_MARGIN:
        return f"a neighbouring pose fits about as well: margin {after['margin']:.2f} is under {MIN_MARGIN}"
    if after["head_in_view"] < MIN_HEAD_IN_VIEW:
        return f"only {after['head_in_view']:.0%} of the head is in the moving series' field of view"
    return ""
