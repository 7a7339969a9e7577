"""Step (4): the z-score of the whole volume. That of a single slice is the mistake of the public example."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor
from monai.transforms import Transform


class ZScoreVolumed(Transform):
    """Clip (C, i, j, k) to percentiles of all channels together, then (x - mean) / std for each channel.

    `normalize_volume` of the published training code: background included. The mask `unseen_key`
    (C, i, j, k), 1 where a series has no voxels, is left out of the statistics and removed.
    """

    def __init__(
        self, image_key: str = "image", unseen_key: str = "unseen", lower: float = 10.0, upper: float = 99.0
    ) -> None:
        self.image_key = image_key
        self.unseen_key = unseen_key
        self.lower = lower
        self.upper = upper

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image = d[self.image_key]
        voxels = image.numpy()
        unseen = d.pop(self.unseen_key, None)
        seen = np.ones(voxels.shape, dtype=bool) if unseen is None else unseen.numpy() == 0
        low, high = (float(level) for level in np.percentile(voxels[seen], (self.lower, self.upper)))
        clipped = np.clip(voxels, low, high)
        scaled = np.empty_like(clipped)
        for channel, inside, out in zip(clipped, seen, scaled, strict=True):
            mean, deviation = _moments(channel[inside])
            np.divide(channel - mean, deviation, out=out)
        d[self.image_key] = MetaTensor(torch.from_numpy(scaled)).copy_meta_from(image)
        return d


def _moments(samples: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation; (0, 1) of nothing, and deviation 1 of a constant, so that neither divides by 0."""
    if not samples.size:
        return 0.0, 1.0
    return float(samples.mean(dtype=np.float64)), float(samples.std(dtype=np.float64)) or 1.0
