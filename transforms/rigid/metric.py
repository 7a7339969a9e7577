"""How much one image tells about another at a pose, and which way it tells more: normalised mutual information.

Studholme et al., Pattern Recognition 32 (1999): unlike mutual information alone it is not won by moving the head out
of the other's field of view. The moving image's histogram is smooth in the pose (linear Parzen windows), so that its
derivative is exact: Thevenaz and Unser, IEEE Transactions on Image Processing 9(12), 2000.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanweave.transforms.rigid.samples import FixedSamples, ScaledImage
from scanweave.transforms.rigid.sampling import Mask, Values, affine_points

Floats = npt.NDArray[np.float64]

MIN_SHARE = 0.05
"""Of the samples; fewer inside the moving image carry no statistics."""
BATCH_SAMPLES = 16_000
"""Judged together: about what the processor's cache holds."""
LEAST_INFORMATION = 1e-6
"""Nats; a single value tells nothing but what rounding adds."""
LEAST_SHARE = 1e-12
"""Of the samples, in a bin that holds none: keeps its logarithm finite."""


class Similarity:
    """Minus the normalised mutual information (-2..-1) of fixed samples and a moving image, as a function of the pose.

    Poses (n, 6) are judged together, in batches that the processor's cache holds.
    """

    def __init__(self, fixed: FixedSamples, moving: ScaledImage) -> None:
        self._fixed = fixed
        self._moving = moving
        self._bins = moving.bins
        self._rows = fixed.rows * moving.bins
        self._to_index = np.linalg.inv(moving.grid.affine)
        self._least = max(1.0, MIN_SHARE * len(fixed.rows))
        self._batch = max(1, BATCH_SAMPLES // max(1, len(fixed.rows)))

    def values(self, poses: Floats) -> Floats:
        """The value (n) at each pose; inf where too few samples lie in the moving image."""
        matrices = self._fixed.frame.matrices(poses)
        found = [self._values(matrices[at : at + self._batch]) for at in range(0, len(poses), self._batch)]
        return np.concatenate([np.empty(0), *found])

    def values_and_gradients(self, poses: Floats) -> tuple[Floats, Floats]:
        """The values (n) and their derivatives (n, 6), a mm; inf and zeros where too few samples lie inside."""
        found = [self._slopes(poses[at : at + self._batch]) for at in range(0, len(poses), self._batch)]
        return np.concatenate([value for value, _ in found]), np.concatenate([gradient for _, gradient in found])

    def joints(self, matrices: Floats) -> tuple[Floats, Floats]:
        """The joint histograms (n, bins, bins; fixed, moving) of poses (n, 4, 4), and how many samples each holds.

        A sample outside the moving image is left out; one inside counts for two neighbouring bins of that image.
        """
        values, inside = self._moving.sampler.values(self._indices(matrices))
        return self._counted(values, inside, len(matrices))[:2]

    def _values(self, matrices: Floats) -> Floats:
        joint, held = self.joints(matrices)
        nmi, _ = _nmi(joint / np.maximum(held, 1)[:, None, None])
        return np.where(held < self._least, np.inf, -nmi)

    def _slopes(self, poses: Floats) -> tuple[Floats, Floats]:
        count, frame = len(poses), self._fixed.frame
        matrices = frame.matrices(poses)
        values, slopes, inside = self._moving.sampler.slopes(self._indices(matrices))
        joint, held, bins = self._counted(values, inside, count)
        share = 1 / np.maximum(held, 1)[:, None, None]
        nmi, derivative = _nmi(joint * share)
        enough = held >= self._least
        rise = np.zeros(derivative.shape, dtype=np.float32)
        rise[:, :, :-1] = np.diff(derivative, axis=2) * -share * enough[:, None, None]
        weights = rise.ravel().take(bins, mode="clip")
        weights *= inside
        slopes *= weights
        slopes = slopes.reshape(3, count, -1)
        to_index = self._to_index[:3, :3]
        forces = slopes.sum(axis=2, dtype=np.float64).T @ to_index
        moments = np.einsum("inm,jm->nji", slopes, self._fixed.points).astype(np.float64)
        moments = matrices[:, :3, :3] @ moments @ to_index
        torques = (moments - moments.transpose(0, 2, 1))[:, [1, 2, 0], [2, 0, 1]]
        return np.where(enough, -nmi, np.inf), frame.gradients(poses, forces, torques)

    def _indices(self, matrices: Floats) -> Values:
        """Voxel indices (3, n * m) in the moving image of the samples under each pose."""
        from_centre = matrices.copy()
        from_centre[:, :3, 3] += (matrices[:, :3, :3] * self._fixed.frame.centre).sum(axis=2)
        return affine_points(self._to_index @ from_centre, self._fixed.points).reshape(3, -1)

    def _counted(self, values: Values, inside: Mask, count: int) -> tuple[Floats, Floats, npt.NDArray[np.intp]]:
        """The histograms (count, bins, bins), how many samples each holds, each sample's lower bin in all of them."""
        size = self._bins * self._bins
        lower = values.astype(np.int32)
        share = values - lower
        share *= inside
        bins = (np.arange(count)[:, None] * size + self._rows).ravel() + lower
        upper = np.bincount(bins, share, minlength=count * size)
        joint = np.bincount(bins, inside, minlength=count * size) - upper
        joint[1:] += upper[:-1]
        held = inside.reshape(count, -1).sum(axis=1, dtype=np.float64)
        return np.maximum(joint, 0.0, out=joint).reshape(count, self._bins, self._bins), held, bins


def information(joint: Floats) -> tuple[Floats, Floats]:
    """Return H(f) + H(m) and H(f, m), in nats (n), of joint distributions (n, bins, bins): Shannon's entropies."""
    sides = _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=2))
    return sides, _entropy(joint.reshape(len(joint), -1))


def _entropy(shares: Floats) -> Floats:
    return -(shares * np.log(np.maximum(shares, LEAST_SHARE))).sum(axis=-1)


def _nmi(joint: Floats) -> tuple[Floats, Floats]:
    """(H(f) + H(m)) / H(f, m) of joint distributions, and its derivatives (n, bins, bins), up to a constant a row.

    -inf and zeros where one image tells nothing of the other.
    """
    sides, together = information(joint)
    telling = sides - together > LEAST_INFORMATION
    together = np.where(telling, together, np.inf)
    nmi = np.where(telling, sides, -np.inf) / np.where(telling, together, 1.0)
    log_joint = np.log(np.maximum(joint, LEAST_SHARE))
    log_moving = np.log(np.maximum(joint.sum(axis=1), LEAST_SHARE))
    slope = np.where(telling, nmi, 0.0)[:, None, None] * log_joint - log_moving[:, None, :]
    return nmi, slope / together[:, None, None]
