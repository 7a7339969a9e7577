"""Do the slices of a series form one regular block? Decided on a few numbers a slice, before any pixel is read.

SimpleITK, MONAI's readers and dcm2niix read most of the defects named here without a word, at wrong places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, Problem

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference between direction cosines of one series: 0.06 degrees, 0.25 mm over 250 mm."""
ORTHONORMAL_TOLERANCE = 2e-3
"""Of the direction cosines' squares and product: three decimals keep it, and 0.06 degrees off a right angle each."""
PIXEL_SPACING_TOLERANCE_MM = 1e-3
SPACING_TOLERANCE_MM = 0.1
"""Largest difference between slice steps, and largest distance of a slice from its place in an even stack.

Scanners round positions to 0.001 .. 0.01 mm.
"""
TILT_TOLERANCE_MM = 0.2
"""Largest sideways distance of a slice's origin from the line along the normal through the first one's."""
DUPLICATE_TOLERANCE_MM = 0.01
"""Slices closer than this lie at one position."""
MIN_SLICES = 3


@dataclass(frozen=True)
class SliceGeometry:
    """Where one slice lies (PS3.3 C.7.6.2): LPS millimetres, None where the header lacks the attribute."""

    orientation: tuple[float, ...] | None  # ImageOrientationPatient: row direction, column direction
    position: tuple[float, ...] | None  # ImagePositionPatient: centre of the first voxel
    pixel_spacing: tuple[float, ...] | None  # between rows, between columns
    rows: int
    columns: int
    frame_of_reference: str = ""

    @property
    def complete(self) -> bool:
        """Whether the slice has voxels and can be placed at all."""
        if min(self.rows, self.columns) < 1:
            return False
        lengths = ((self.orientation, 6), (self.position, 3), (self.pixel_spacing, 2))
        present = all(value is not None and len(value) == n and np.isfinite(value).all() for value, n in lengths)
        return present and min(self.pixel_spacing or (0,)) > 0 and self._orthonormal

    @property
    def _orthonormal(self) -> bool:
        """Whether the orientation is two unit vectors at a right angle, as the standard wants, but for rounding."""
        cosines = np.reshape(self.orientation or (0.0,) * 6, (2, 3))
        return bool(np.abs(cosines @ cosines.T - np.eye(2)).max() <= ORTHONORMAL_TOLERANCE)

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector across the slice, LPS."""
        cosines = np.asarray(self.orientation, dtype=np.float64)
        normal = np.cross(cosines[:3], cosines[3:])
        return normal / max(float(np.linalg.norm(normal)), 1e-12)


def geometry_problems(slices: Sequence[SliceGeometry], where: str) -> list[Problem]:
    """All reasons why `slices` (in any order) are not one regular block of parallel, evenly spaced planes."""
    incomplete = sum(not item.complete for item in slices)
    if incomplete:
        message = f"{incomplete} of {len(slices)} slices lack a valid matrix, position, orientation or spacing"
        return [Problem(Code.MISSING_GEOMETRY, message, where)]
    problems = [*_uniformity(slices, where)]
    if not any(problem.code is Code.MIXED_ORIENTATION for problem in problems):
        problems += _stacking(slices, where)
    return problems


def slice_spacing(slices: Sequence[SliceGeometry]) -> float | None:
    """The usual distance between neighbouring slices in mm, gaps notwithstanding; None for a single slice."""
    positions = np.sort([float(np.dot(item.position or (), slices[0].normal)) for item in slices])
    return float(np.median(np.diff(positions))) if len(slices) > 1 else None


def _uniformity(slices: Sequence[SliceGeometry], where: str) -> list[Problem]:
    problems = []
    orientations = np.array([item.orientation for item in slices])
    spread = float(np.ptp(orientations, axis=0).max())
    if spread > ORIENTATION_TOLERANCE:
        kinds = len(np.unique(orientations.round(2), axis=0))
        message = f"expected one orientation, found {kinds} (direction cosines differ by {spread:.3f})"
        problems.append(Problem(Code.MIXED_ORIENTATION, message, where))
    matrices = {(item.columns, item.rows) for item in slices}
    pixel_spread = float(np.ptp(np.array([item.pixel_spacing for item in slices]), axis=0).max())
    if len(matrices) > 1 or pixel_spread > PIXEL_SPACING_TOLERANCE_MM:
        sizes = ", ".join(f"{columns}x{rows}" for columns, rows in sorted(matrices))
        message = f"expected one matrix, found {sizes}, pixel spacings {pixel_spread:.3f} mm apart"
        problems.append(Problem(Code.MIXED_MATRIX, message, where))
    frames = {item.frame_of_reference for item in slices}
    if len(frames) > 1:
        message = f"expected one frame of reference, found {len(frames)}"
        problems.append(Problem(Code.MIXED_FRAME_OF_REFERENCE, message, where))
    return problems


def _stacking(slices: Sequence[SliceGeometry], where: str) -> list[Problem]:
    """Checks along the normal: duplicates, tilt, gaps."""
    if len(slices) < 2:
        return []
    normal = slices[0].normal
    positions = np.array([item.position for item in slices], dtype=np.float64)
    positions = positions[np.argsort(positions @ normal, kind="stable")]
    steps = np.diff(positions @ normal)
    problems = []
    duplicates = int((steps < DUPLICATE_TOLERANCE_MM).sum())
    if duplicates:
        message = f"{duplicates} of {len(slices)} slices lie at the position of another"
        problems.append(Problem(Code.DUPLICATE_POSITION, message, where))
    drift = positions - np.outer(positions @ normal, normal)
    sideways = float(np.linalg.norm(drift - drift[0], axis=1).max())
    if sideways > TILT_TOLERANCE_MM:
        angle = np.degrees(np.arctan2(sideways, float(steps.sum())))
        message = f"the slices are stacked {angle:.1f} degrees off their normal ({sideways:.1f} mm in all)"
        problems.append(Problem(Code.TILT, message, where))
    if not duplicates:
        problems += _gaps(steps, where)
    return problems


def _gaps(steps: npt.NDArray[np.float64], where: str) -> list[Problem]:
    step = float(steps.min())
    if float(steps.max()) - step <= SPACING_TOLERANCE_MM:
        off = float(np.abs(np.cumsum(steps - steps.mean())).max())  # many small differences make a large one
        if off <= SPACING_TOLERANCE_MM:
            return []
        message = f"expected even spacing, found slices up to {off:.2f} mm off their places in an even stack"
        return [Problem(Code.UNEVEN_SPACING, message, where)]
    multiples = np.maximum(np.rint(steps / step), 1)
    if (np.abs(steps - multiples * step) <= SPACING_TOLERANCE_MM).all():
        missing = int((multiples - 1).sum())
        message = f"{missing} slice(s) missing: gaps up to {steps.max():.2f} mm where slices are {step:.2f} mm apart"
        return [Problem(Code.MISSING_SLICE, message, where)]
    message = f"expected even spacing, found steps of {step:.2f} to {steps.max():.2f} mm"
    return [Problem(Code.UNEVEN_SPACING, message, where)]
