"""Where the head lies in another series of the study: one rigid transform, the same bits on every run.

Mattes mutual information (Mattes et al., IEEE TMI 22(1), 2003) over three resolutions in SimpleITK. Headers
are not trusted: the coarsest level is started from a grid of poses. The settings won a comparison with
elastix, greedy, ANTs and the usual SimpleITK examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from scanweave.transforms.geometry import LPS_FROM_RAS, Affine, Grid, Volume
from scanweave.transforms.resample import from_sitk, to_sitk
from scanweave.transforms.rigid_quality import judge
from scanweave.transforms.rigid_settings import DEFAULT_SETTINGS, RigidSettings

if TYPE_CHECKING:
    import SimpleITK as sitk

Process = TypeVar("Process", bound="sitk.ProcessObject")

THICK_SLICE_RATIO = 2.0
"""An axis this many times coarser than the finest is not blurred: its voxels are blur enough."""


@dataclass(frozen=True, eq=False)
class RigidResult:
    """A rigid transform and how far to trust it.

    `matrix_ras` (4x4, mm) takes a point of the fixed series to the moving series' point, both RAS. `before`
    and `after` hold the figures of `rigid_quality` at identity and at the result. `displacement_mm` is the
    mean distance that the fixed head's voxels move. `flag_reason` says why a result is `flagged` for review.
    """

    matrix_ras: Affine
    before: dict[str, float]
    after: dict[str, float]
    displacement_mm: float
    flagged: bool
    flag_reason: str


def estimate_rigid(
    fixed: Volume, moving: Volume, *, try_identity: bool, settings: RigidSettings = DEFAULT_SETTINGS
) -> RigidResult:
    """Return the transform from `fixed` (FLAIR) to `moving`: the same bits on every run, at any thread count.

    `try_identity` adds the headers' own alignment as a start: for equal frames of reference, and for NIfTI.
    Finite voxels are expected. Where nothing could be aligned, the result is identity, flagged.
    """
    fixed_levels = _pyramid(fixed, settings)
    moving_levels = _pyramid(moving, settings)
    starts = _best_starts(fixed_levels[0], moving_levels[0], settings)
    if try_identity:
        starts.append(_euler(_mass_centre(fixed_levels[0]), np.zeros(3), (0.0, 0.0, 0.0)))
    descents = [_descend(fixed_levels[0], moving_levels[0], start, 0, settings) for start in starts]
    best = min((found for found in descents if found is not None), key=lambda found: found[0], default=None)
    for level in range(1, len(settings.levels)):
        if best is not None:
            best = _descend(fixed_levels[level], moving_levels[level], best[1], level, settings) or best
    matrix = np.eye(4) if best is None else _matrix_ras(best[1])
    matrix.setflags(write=False)
    middle = len(settings.levels) // 2
    quality = judge(from_sitk(fixed_levels[middle]), from_sitk(moving_levels[middle]), matrix)
    reason = "no start could be aligned" if best is None else quality.reason
    return RigidResult(
        matrix,
        quality.before,
        quality.after,
        quality.displacement_mm,
        flagged=bool(reason),
        flag_reason=reason,
    )


def shrink_factors(grid: Grid, voxel_mm: float, min_voxels: int) -> tuple[int, int, int]:
    """Return by how much to shrink each axis of `grid` for voxels of about `voxel_mm`.

    An axis that has fewer than twice `min_voxels` keeps its voxels.
    """
    i, j, k = (
        max(1, min(round(voxel_mm / spacing), n // min_voxels))
        for spacing, n in zip(grid.spacing.tolist(), grid.shape, strict=True)
    )
    return i, j, k


def _pyramid(volume: Volume, settings: RigidSettings) -> list[sitk.Image]:
    """One shrunken, then blurred image for each level."""
    import SimpleITK as sitk

    image = to_sitk(volume)
    spacing = volume.grid.spacing
    blurred = spacing <= THICK_SLICE_RATIO * spacing.min()
    levels = []
    for level in settings.levels:
        shrink = _one_thread(sitk.BinShrinkImageFilter())
        shrink.SetShrinkFactors(list(shrink_factors(volume.grid, level.voxel_mm, settings.min_voxels)))
        blur = _one_thread(sitk.DiscreteGaussianImageFilter())
        blur.SetVariance((blurred * level.sigma_mm**2).tolist())
        levels.append(blur.Execute(shrink.Execute(image)))
    return levels


def _best_starts(fixed: sitk.Image, moving: sitk.Image, settings: RigidSettings) -> list[sitk.Euler3DTransform]:
    """The `starts_kept` poses of lowest metric; of equal ones the first tried."""
    centres = [(_mass_centre(fixed), _mass_centre(moving)), (_image_centre(fixed), _image_centre(moving))]
    judged = []
    turns = product(settings.start_angles_deg, repeat=3)
    for (fixed_centre, moving_centre), angles in product(centres, turns):
        pose = _euler(fixed_centre, moving_centre - fixed_centre, angles)
        method = _method(fixed, pose, settings.start_sampling, settings)
        try:
            value = method.MetricEvaluate(fixed, moving)
        except RuntimeError:  # ITK: the images do not overlap at this pose, or hold a single value
            continue
        if np.isfinite(value):
            judged.append((value, pose))
    return [pose for _, pose in sorted(judged, key=lambda found: found[0])[: settings.starts_kept]]


def _descend(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.Euler3DTransform, index: int, settings: RigidSettings
) -> tuple[float, sitk.Euler3DTransform] | None:
    """The metric and the optimum that level `index` reaches from `start`; None where ITK lost the overlap."""
    import SimpleITK as sitk

    level = settings.levels[index]
    pose = sitk.Euler3DTransform(start)
    method = _method(fixed, pose, level.sampling, settings)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=level.rate,
        minStep=level.min_step,
        numberOfIterations=level.iterations,
        relaxationFactor=level.relaxation,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # ITK: all samples map outside the moving image, or it holds a single value
        return None
    value = method.GetMetricValue()
    return (value, pose) if np.isfinite(value) else None


def _method(
    fixed: sitk.Image, pose: sitk.Euler3DTransform, sampling: float, settings: RigidSettings
) -> sitk.ImageRegistrationMethod:
    """A metric about `pose`, which optimising changes in place."""
    import SimpleITK as sitk

    method = _one_thread(sitk.ImageRegistrationMethod())
    method.SetMetricAsMattesMutualInformation(settings.bins)
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    method.SetMetricSamplingStrategy(sitk.ImageRegistrationMethod.RANDOM)
    fraction = min(sampling, settings.max_samples / fixed.GetNumberOfPixels())
    method.SetMetricSamplingPercentage(fraction, settings.seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(pose, inPlace=True)
    return method


def _one_thread(process: Process) -> Process:
    """`process` on one thread of its own, whatever the process-wide default is.

    ITK adds the metric's parts in the order in which threads finish. The metric heeds the work units and not
    the threads: with the latter alone results differ in their last bits (SimpleITK 2.5).
    """
    process.SetNumberOfThreads(1)
    process.SetNumberOfWorkUnits(1)
    return process


def _euler(
    centre: npt.NDArray[np.float64], shift: npt.NDArray[np.float64], angles_deg: tuple[float, ...]
) -> sitk.Euler3DTransform:
    """Rotation by `angles_deg` about `centre`, then `shift` (LPS mm)."""
    import SimpleITK as sitk

    pose = sitk.Euler3DTransform()
    pose.SetCenter(centre.tolist())
    pose.SetTranslation(shift.tolist())
    pose.SetRotation(*np.deg2rad(angles_deg).tolist())
    return pose


def _mass_centre(image: sitk.Image) -> npt.NDArray[np.float64]:
    """Centre (LPS mm) of what is above the image's minimum; of the image itself where nothing is."""
    import SimpleITK as sitk

    mass = sitk.GetArrayFromImage(image).astype(np.float64).transpose(2, 1, 0)
    mass -= mass.min()
    if not mass.any():
        return _image_centre(image)
    profiles = [mass.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1))]
    index = [float(profile @ np.arange(len(profile)) / profile.sum()) for profile in profiles]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(index))


def _image_centre(image: sitk.Image) -> npt.NDArray[np.float64]:
    """Centre (LPS mm) of the image's grid."""
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _matrix_ras(pose: sitk.Euler3DTransform) -> Affine:
    """The 4x4 of `pose` in RAS: x -> R (x - centre) + centre + translation, which ITK states in LPS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(pose.GetMatrix(), (3, 3))
    centre = np.array(pose.GetCenter())
    matrix[:3, 3] = centre + pose.GetTranslation() - matrix[:3, :3] @ centre
    return LPS_FROM_RAS @ matrix @ LPS_FROM_RAS
