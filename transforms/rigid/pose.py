"""Six numbers in millimetres for a rigid pose, so that a step of one millimetre means as much in each of them.

Everything here takes many poses at once: one by one, the calls would cost more than the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TURN_RADIUS_MM = 60.0
"""A turn of one radian moves a head's voxels by about this much on average."""
SMALL_TURN_RAD = 1e-4
"""Below this the first terms of the series are exact in double precision, and the quotients are not."""


@dataclass(frozen=True, eq=False)
class PoseFrame:
    """What the six numbers of a pose mean: x -> R (x - centre) + centre + shift, all RAS mm.

    A pose (6) is the shift (3) and the rotation vector (3) in radians times `TURN_RADIUS_MM`. `centre` is the
    fixed head's: turns about it move the head least.
    """

    centre: Floats

    def matrices(self, poses: Floats) -> Floats:
        """The 4x4 of each pose (n, 6), fixed point to moving point."""
        found = np.zeros((len(poses), 4, 4))
        found[:, :3, :3] = rotations(poses[:, 3:] / TURN_RADIUS_MM)
        found[:, :3, 3] = self.centre + poses[:, :3] - (found[:, :3, :3] * self.centre).sum(axis=2)
        found[:, 3, 3] = 1.0
        return found

    def gradients(self, poses: Floats, forces: Floats, torques: Floats) -> Floats:
        """The gradients (n, 6) in the poses of sums over moved points x'.

        `forces` (n, 3) are the sums of the derivatives in x', `torques` (n, 3) those of the vector products of
        R (x - centre) and the derivative.
        """
        jacobians = turn_jacobians(poses[:, 3:] / TURN_RADIUS_MM)
        turns = (jacobians * torques[:, :, None]).sum(axis=1) / TURN_RADIUS_MM
        return np.concatenate([forces, turns], axis=1)


def rotations(turns_rad: Floats) -> Floats:
    """Return the matrices (n, 3, 3) of rotation vectors (n, 3; radians; Rodrigues)."""
    cross, squared, sine, cosine, _ = _series(turns_rad)
    return np.eye(3) + sine * cross + cosine * squared


def turn_jacobians(turns_rad: Floats) -> Floats:
    """Return J (n, 3, 3) with R(w + dw) = R(J dw) R(w) to first order: the left Jacobian of the rotation group."""
    cross, squared, _, cosine, rest = _series(turns_rad)
    return np.eye(3) + cosine * cross + rest * squared


def _series(turns_rad: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """The cross-product matrix of w, its square; sin t / t, (1 - cos t) / t^2, (t - sin t) / t^3 of its length t."""
    cross = np.zeros((len(turns_rad), 3, 3))
    x, y, z = turns_rad.T
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -z, y, -x
    cross -= cross.transpose(0, 2, 1)
    length = x * x + y * y + z * z  # squared
    squared = turns_rad[:, :, None] * turns_rad[:, None, :] - length[:, None, None] * np.eye(3)
    small = length < SMALL_TURN_RAD**2
    angle = np.sqrt(np.where(small, 1.0, length))
    sine = np.where(small, 1 - length / 6, np.sin(angle) / angle)
    cosine = np.where(small, 1 / 2 - length / 24, (1 - np.cos(angle)) / angle**2)
    rest = np.where(small, 1 / 6 - length / 120, (angle - np.sin(angle)) / angle**3)
    return cross, squared, sine[:, None, None], cosine[:, None, None], rest[:, None, None]
