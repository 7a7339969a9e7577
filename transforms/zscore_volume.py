"""Step (4): the z-score of the whole volume. That of a single slice is the mistake of the public example."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.transforms.image import Image


class ZScoreVolumed:
    """Clip (C, i, j, k) to percentiles of all channels together, then (x - mean) / std for each channel.

    `normalize_volume` of the published training code: background included. The mask `unseen_key`
    (C, i, j, k), true where a series has no voxels, is left out of the statistics and removed.

    Training volumes are slabs through the brain. One that `resampled_key` names was cut from an acquisition that
    goes on to neck and vertex, or through the corners of an oblique box: there, slices whose section of the head is
    under `min_section` of the channel's largest are left out of the statistics too, or their background dilutes them.
    """

    def __init__(
        self,
        image_key: str = "image",
        unseen_key: str = "unseen",
        lower: float = 10.0,
        upper: float = 99.0,
        min_section: float = 0.6,
        resampled_key: str = "resampled",
    ) -> None:
        self.image_key = image_key
        self.unseen_key = unseen_key
        self.lower = lower
        self.upper = upper
        self.min_section = min_section
        self.resampled_key = resampled_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        image: Image = d[self.image_key]
        voxels = image.array
        unseen: Image | None = d.pop(self.unseen_key, None)
        seen = np.ones(voxels.shape, dtype=bool) if unseen is None else ~unseen.array
        if d.get(self.resampled_key):
            seen &= _slab(voxels, self.min_section)
        low, high = (float(level) for level in np.percentile(voxels[seen], (self.lower, self.upper)))
        clipped = np.clip(voxels, low, high)
        scaled = np.empty_like(clipped)
        for channel, inside, out in zip(clipped, seen, scaled, strict=True):
            mean, deviation = _moments(channel[inside])
            np.divide(channel - mean, deviation, out=out)
        d[self.image_key] = image.with_array(scaled)
        return d


def _slab(voxels: npt.NDArray[np.float32], min_section: float) -> npt.NDArray[np.bool_]:
    """(C, 1, 1, k): where a slice's share of voxels over 0 is at least `min_section` of the channel's largest share."""
    sections = (voxels > 0).mean(axis=(1, 2), keepdims=True)
    return sections >= min_section * sections.max(axis=3, keepdims=True)


def _moments(samples: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation; (0, 1) of nothing, and deviation 1 of a constant, so that neither divides by 0."""
    if not samples.size:
        return 0.0, 1.0
    return float(samples.mean(dtype=np.float64)), float(samples.std(dtype=np.float64)) or 1.0
