"""Where the head lies in another series of the study: one rigid transform, the same bits on every run.

Normalised mutual information over three resolutions, on scattered samples, from many starts, in numpy: SimpleITK's
methods need about ten times as long for an evaluation of the metric (docs/registration.md). Headers are not trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import Affine, Volume
from scanweave.transforms.rigid.descent import Found, descend
from scanweave.transforms.rigid.metric import Similarity
from scanweave.transforms.rigid.pose import PoseFrame
from scanweave.transforms.rigid.pyramid import Pyramid, pyramid
from scanweave.transforms.rigid.quality import judge
from scanweave.transforms.rigid.samples import ScaledImage, draw_samples
from scanweave.transforms.rigid.settings import DEFAULT_SETTINGS, Descent, RigidSettings
from scanweave.transforms.rigid.starts import lowest, mass_centre, start_poses

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RigidResult:
    """A rigid transform and how far to trust it.

    `matrix_ras` (4x4, mm) takes a point of the fixed series to the moving series' point, both RAS. `before`
    and `after` hold the figures of `quality.py` at identity and at the result. `displacement_mm` is the
    mean distance that the fixed head's voxels move. `flag_reason` says why a result is `flagged` for review.
    """

    matrix_ras: Affine
    before: dict[str, float]
    after: dict[str, float]
    displacement_mm: float
    flagged: bool
    flag_reason: str


def estimate_rigid(
    fixed: Volume | Pyramid,
    moving: Volume | Pyramid,
    *,
    try_identity: bool,
    settings: RigidSettings = DEFAULT_SETTINGS,
) -> RigidResult:
    """Return the transform from `fixed` (FLAIR) to `moving`: the same bits on every run, at any thread count.

    A series registered more than once is best given as its `pyramid` of the same settings. `try_identity` adds
    the headers' own alignment as a start: for equal frames of reference, and for NIfTI. Finite voxels are
    expected. Where nothing could be aligned, the result is identity, flagged.
    """
    one, two = (side if isinstance(side, Pyramid) else pyramid(side, settings) for side in (fixed, moving))
    frame = PoseFrame(mass_centre(one.levels[0]))
    starts = _starts(one.levels[0], two.levels[0], frame, settings)
    if try_identity:
        starts.append(np.zeros(6))
    best: Found | None = None
    for level, fixed_image, moving_image in zip(settings.levels, one.levels, two.levels, strict=True):
        found = _descents(fixed_image, moving_image, frame, starts, level.descent, settings)
        best = min(found, key=lambda reached: reached[0], default=None)
        if best is None:
            break
        starts = [best[1]]
    matrix = np.eye(4) if best is None else frame.matrices(best[1][None])[0]
    matrix.setflags(write=False)
    quality = judge(one, two, matrix)
    reason = "no start could be aligned" if best is None else quality.reason
    return RigidResult(
        matrix,
        quality.before,
        quality.after,
        quality.displacement_mm,
        flagged=bool(reason),
        flag_reason=reason,
    )


def _starts(fixed: ScaledImage, moving: ScaledImage, frame: PoseFrame, settings: RigidSettings) -> list[Floats]:
    """The poses from which the coarsest level descends: the best of many after a glance, on few bins."""
    few, others = fixed.with_bins(settings.start_bins), moving.with_bins(settings.start_bins)
    poses = start_poses(fixed, moving, settings)
    count = min(settings.start_samples, settings.max_samples)
    values = Similarity(draw_samples(few, frame, count, settings.seed), others).values(poses)
    kept = lowest(poses, values, settings.starts_kept, settings.start_apart_mm)
    found = _descents(few, others, frame, kept, settings.glance, settings)
    return lowest(
        [pose for _, pose in found], [value for value, _ in found], settings.glances_kept, settings.start_apart_mm / 2
    )


def _descents(
    fixed: ScaledImage,
    moving: ScaledImage,
    frame: PoseFrame,
    starts: list[Floats],
    how: Descent,
    settings: RigidSettings,
) -> list[Found]:
    """What is reached from each start; a start from which the images do not meet leads nowhere and is left out."""
    samples = draw_samples(fixed, frame, min(how.samples, settings.max_samples), settings.seed)
    similarity = Similarity(samples, moving)
    found = descend(similarity.values_and_gradients, starts, how)
    return [reached for reached in found if np.isfinite(reached[0])]
