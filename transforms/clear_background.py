"""Step (3), first half: what is dark is background."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from scanweave.transforms.image import Image
from scanweave.transforms.step import DictionaryStep, Keys


class ClearBackgroundd(DictionaryStep):
    """Set voxels under `fraction` of the volume's maximum, all channels together, to 0; (C, i, j, k) in and out.

    `crop_sample` of the published training code (mateuszbuda/brain-segmentation-pytorch, transform.py).
    """

    def __init__(self, keys: Keys, fraction: float = 0.1, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.fraction = fraction

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.present(d):
            image: Image = d[key]
            dark = image.array < self.fraction * image.array.max()
            d[key] = image.with_array(np.where(dark, np.float32(0.0), image.array))
        return d
