"""Probabilities to a mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from scanweave.transforms.image import Image


class Thresholdd:
    """Add `name`, the mask (C, i, j, k) of 0 and 1, uint8: where `key` is at least `threshold`."""

    def __init__(self, key: str = "pred", name: str = "segmentation", threshold: float = 0.5) -> None:
        self.key = key
        self.name = name
        self.threshold = threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image: Image = data[self.key]
        return {**data, self.name: image.with_array((image.array >= self.threshold).astype(np.uint8))}
