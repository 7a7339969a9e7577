"""How much each pixel counts in training: rare classes more, and most the thin background between two objects.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv 1505.04597, equation 2.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanweave.transforms.image import Image

Weights = npt.NDArray[np.float32]
"""(H, W)."""
NIL = 6.0
"""Where both distances together are as many sigma, the term is under 2e-8 of w0, and is left out."""


class WeightMapd:
    """Add `name` (1, row, column, slice), float32: `weight_map` of each slice of `key`, whose labels are one mask.

    Each volume's classes count alike, whatever share of it they have; in the paper, those of the whole training set.
    """

    def __init__(self, key: str = "label", name: str = "weight", w0: float = 10.0, sigma: float = 5.0) -> None:
        self.key = key
        self.name = name
        self.w0 = w0
        self.sigma = sigma

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        label: Image = data[self.key]
        inside = label.array[0].round() > 0
        classes = balance(inside)
        planes = [weight_map(inside[..., k], self.w0, self.sigma, classes) for k in range(inside.shape[-1])]
        return {**data, self.name: label.with_array(np.stack(planes, axis=-1)[None])}


def weight_map(
    labels: npt.NDArray[Any],
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: tuple[float, float] | None = None,
) -> Weights:
    """(H, W): w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2)), the second term on the background alone.

    `labels` (H, W) numbers the objects from 1, in any order, or is a mask (bool, or of one number beside 0), whose
    objects are its parts connected by edges. d1 and d2 are the distances, in pixels between centres, to the nearest
    and the second nearest object; with fewer than two objects there is no second term. w_c is `class_weights` of
    background and objects: those of a whole training set, as in the paper, or by default `balance` of this image.

    Raises
    ------
    ValueError
        For labels that are not an image.
    """
    if labels.ndim != 2:
        raise ValueError(f"expected labels (H, W), got shape {labels.shape}")
    objects = _objects(labels)
    inside = objects > 0
    of_background, of_objects = balance(inside) if class_weights is None else class_weights
    first, second = _two_nearest(objects, NIL * sigma)
    border = w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return np.where(inside, of_objects, of_background + border).astype(np.float32)


def balance(*masks: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Weights of background and objects by which both count alike over all `masks`, and their pixels 1 on average.

    Pixels / (2 x pixels of the class), as scikit-learn's "balanced"; where only one class occurs, both weigh 1.
    """
    total = sum(mask.size for mask in masks)
    inside = sum(int(np.count_nonzero(mask)) for mask in masks)
    if inside in (0, total):
        return 1.0, 1.0
    return total / (2 * (total - inside)), total / (2 * inside)


def _objects(labels: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Objects numbered from 1 without a gap."""
    numbers = np.unique(labels[labels != 0])
    if len(numbers) == 1:
        return np.asarray(ndimage.label(labels != 0)[0], dtype=np.intp)
    return np.where(labels != 0, np.searchsorted(numbers, labels) + 1, 0)


def _two_nearest(
    objects: npt.NDArray[np.intp], reach: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distances (H, W) to the nearest and the second nearest object; infinite beyond `reach`.

    An object is looked at in its surroundings only: hundreds of them take no longer than a few distance transforms.
    """
    first, second = np.full(objects.shape, np.inf), np.full(objects.shape, np.inf)
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        around = tuple(slice(max(int(side.start - reach), 0), int(side.stop + reach) + 1) for side in box)
        distance = ndimage.distance_transform_edt(objects[around] != number)
        near, far = first[around], second[around]
        np.minimum(far, np.maximum(near, distance), out=far)
        np.minimum(near, distance, out=near)
    return first, second
