"""Probabilities to a mask of labels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.transforms.image import Image


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


def label_map(probabilities: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.uint8]:
    """(1, ...) from a channel for each segment (C, ...): n where the n-th is the largest and at least `threshold`."""
    if len(probabilities) == 1:
        return (probabilities >= threshold).astype(np.uint8)
    found = probabilities.argmax(axis=0)[None]
    largest = np.take_along_axis(probabilities, found, axis=0)
    return np.where(largest >= threshold, found + 1, 0).astype(np.uint8)
