"""Probabilities to a mask of labels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from scanweave.transforms.image import Image
from scanweave.transforms.segments import label_map


class Thresholdd:
    """Add `name`, the mask (1, i, j, k), uint8: 0, or n where the n-th channel of `key` (C, i, j, k), from 1, is the
    largest and at least `threshold`."""

    def __init__(self, key: str = "pred", name: str = "segmentation", threshold: float = 0.5) -> None:
        self.key = key
        self.name = name
        self.threshold = threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image: Image = data[self.key]
        return {**data, self.name: image.with_array(label_map(image.array, self.threshold))}
