"""Where a search begins: headers are not trusted, so many poses are looked at and the likeliest kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from scanweave.transforms.rigid.pose import TURN_RADIUS_MM
from scanweave.transforms.rigid.samples import ScaledImage
from scanweave.transforms.rigid.settings import RigidSettings

Floats = npt.NDArray[np.float64]


def start_poses(fixed: ScaledImage, moving: ScaledImage, settings: RigidSettings) -> Floats:
    """Return poses (n, 6) about the fixed image's centre of mass: every turn at every shift.

    The shifts bring the centres of mass together, and those of the grids; from half way between, six lead
    `start_shift_mm` along an axis and eight as far along each.
    """
    masses = mass_centre(moving) - mass_centre(fixed)
    grids = image_centre(moving) - image_centre(fixed)
    around = np.array([*np.eye(3), *-np.eye(3), *product((-1.0, 1.0), repeat=3)]) * settings.start_shift_mm
    shifts = np.vstack([masses, grids, (masses + grids) / 2 + around])
    turns = np.deg2rad(list(product(settings.start_angles_deg, repeat=3))) * TURN_RADIUS_MM
    return np.hstack([np.repeat(shifts, len(turns), axis=0), np.tile(turns, (len(shifts), 1))])


def lowest(
    poses: Sequence[Floats] | Floats, values: Sequence[float] | Floats, kept: int, apart_mm: float
) -> list[Floats]:
    """Return at most `kept` poses of finite value, lowest first, of those less than `apart_mm` from a lower one none.

    Of equal ones the first is kept.
    """
    found: list[Floats] = []
    for n in np.argsort(values, kind="stable"):
        if len(found) == kept or not np.isfinite(values[n]):
            break
        if all(np.linalg.norm(poses[n] - other) >= apart_mm for other in found):
            found.append(poses[n])
    return found


def mass_centre(image: ScaledImage) -> Floats:
    """Return the centre (RAS mm) of what is above the image's minimum; of its grid where nothing is."""
    mass = image.array
    profiles = [mass.sum(axis=others, dtype=np.float64) for others in ((1, 2), (0, 2), (0, 1))]
    if not profiles[0].any():
        return image_centre(image)
    index = [float((profile * np.arange(len(profile))).sum() / profile.sum()) for profile in profiles]
    return image.grid.points([index])[0]


def image_centre(image: ScaledImage) -> Floats:
    """Return the centre (RAS mm) of the image's grid."""
    return image.grid.points([(np.array(image.grid.shape) - 1) / 2])[0]
