"""What scanweave did before: SimpleITK's registration methods with the settings that won a comparison of tools."""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk

from scanweave.transforms.geometry import LPS_FROM_RAS, Affine, Volume
from scanweave.transforms.resample import to_sitk
from scanweave.transforms.rigid.shrink import shrink_factors

LEVELS = (
    (7.2, 4.0, 0.50, 4.0, 0.10, 0.80, 80),
    (3.6, 2.0, 0.20, 1.0, 0.02, 0.85, 60),
    (1.8, 1.0, 0.05, 1.0, 0.02, 0.85, 60),
)
"""Voxels and blur (mm), share of the voxels sampled; step, least step (mm), relaxation and iterations."""
START_DEG, START_SHARE, STARTS_KEPT = (-15.0, 0.0, 15.0), 0.25, 2
BINS, SEED, MIN_VOXELS, MAX_SAMPLES = 32, 1, 24, 20_000
THICK_SLICE_RATIO = 2.0


def estimate_with_itk(fixed: Volume, moving: Volume) -> Affine:
    """Return the matrix (4x4, RAS mm) from `fixed` to `moving`; identity where every start fails."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    pyramids = _pyramid(fixed), _pyramid(moving)
    starts = _starts(pyramids[0][0], pyramids[1][0])
    found = [descent for start in starts if (descent := _descend(pyramids, start, 0)) is not None]
    if not found:
        return np.eye(4)
    best = min(found, key=lambda reached: reached[0])
    for level in (1, 2):
        best = _descend(pyramids, best[1], level) or best
    pose, matrix = best[1], np.eye(4)
    matrix[:3, :3] = np.reshape(pose.GetMatrix(), (3, 3))
    centre = np.array(pose.GetCenter())
    matrix[:3, 3] = centre + pose.GetTranslation() - matrix[:3, :3] @ centre
    return LPS_FROM_RAS @ matrix @ LPS_FROM_RAS


def _pyramid(volume: Volume) -> list[sitk.Image]:
    image, spacing = to_sitk(volume), volume.grid.spacing
    blurred = spacing <= THICK_SLICE_RATIO * spacing.min()
    shrunken = [sitk.BinShrink(image, shrink_factors(volume.grid, level[0], MIN_VOXELS)) for level in LEVELS]
    return [
        sitk.DiscreteGaussian(small, variance=(blurred * level[1] ** 2).tolist())
        for small, level in zip(shrunken, LEVELS, strict=True)
    ]


def _starts(fixed: sitk.Image, moving: sitk.Image) -> list[sitk.Euler3DTransform]:
    centres = [tuple(map(_mass_centre, (fixed, moving))), tuple(map(_middle, (fixed, moving)))]
    judged = []
    for (one, two), angles in product(centres, product(START_DEG, repeat=3)):
        pose = sitk.Euler3DTransform()
        pose.SetCenter(one.tolist())
        pose.SetTranslation((two - one).tolist())
        pose.SetRotation(*np.deg2rad(angles).tolist())
        try:
            judged.append((_method(fixed, pose, START_SHARE).MetricEvaluate(fixed, moving), pose))
        except RuntimeError:
            continue
    return [pose for _, pose in sorted(judged, key=lambda one: one[0])[:STARTS_KEPT]]


def _descend(
    pyramids: tuple[list[sitk.Image], list[sitk.Image]], start: sitk.Euler3DTransform, number: int
) -> tuple[float, sitk.Euler3DTransform] | None:
    _, _, share, rate, least, relaxation, iterations = LEVELS[number]
    fixed, moving = pyramids[0][number], pyramids[1][number]
    pose = sitk.Euler3DTransform(start)
    method = _method(fixed, pose, share)
    method.SetOptimizerAsRegularStepGradientDescent(rate, least, iterations, relaxationFactor=relaxation)
    method.SetOptimizerScalesFromPhysicalShift()
    try:
        method.Execute(fixed, moving)
    except RuntimeError:
        return None
    return method.GetMetricValue(), pose


def _method(fixed: sitk.Image, pose: sitk.Euler3DTransform, share: float) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(BINS)
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    method.SetMetricSamplingStrategy(sitk.ImageRegistrationMethod.RANDOM)
    method.SetMetricSamplingPercentage(min(share, MAX_SAMPLES / fixed.GetNumberOfPixels()), SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(pose, inPlace=True)
    return method


def _mass_centre(image: sitk.Image) -> np.ndarray:
    mass = sitk.GetArrayFromImage(image).astype(np.float64).transpose(2, 1, 0)
    mass -= mass.min()
    profiles = [mass.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1))]
    return np.array(
        image.TransformContinuousIndexToPhysicalPoint(
            [float(profile @ np.arange(len(profile)) / profile.sum()) for profile in profiles]
        )
    )


def _middle(image: sitk.Image) -> np.ndarray:
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
