"""One slice with the outlines of the truth and of what was found, enlarged, as pixels to put on a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanweave.pipeline.evaluation.canvas import BOTH, FOUND, TRUTH, Pixels
from scanweave.pipeline.evaluation.metrics import Mask

DARKEST, BRIGHTEST = 1.0, 98.5
"""Percentiles of the volume that are shown black and white."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """A case to look at: `gray` (row, column, slice) uint8 of the reference, and the masks on the same grid."""

    gray: npt.NDArray[np.uint8]
    truth: Mask
    found: Mask

    @classmethod
    def of(cls, study: Mapping[str, Any], channel: int) -> Tiles:
        """Those of an evaluated study in model space; `channel` is the reference's in the network's input."""
        voxels = study["image"].array[channel]
        low, high = np.percentile(voxels, (DARKEST, BRIGHTEST))
        scaled = (voxels - low) * (255.0 / max(high - low, np.finfo(np.float32).eps))
        gray = np.clip(scaled, 0, 255).astype(np.uint8)
        return cls(gray, *(study[key].array[0] > 0.5 for key in ("label", "model_mask")))

    def __len__(self) -> int:
        return self.gray.shape[-1]

    @property
    def marked(self) -> npt.NDArray[np.intp]:
        """The slices where either mask has a pixel."""
        return np.flatnonzero((self.truth | self.found).any(axis=(0, 1)))

    def tile(self, number: int, size: int) -> Pixels:
        """The slice as (size, size, 3): outlines one pixel wide, inside the masks; yellow where both run."""
        from PIL import Image

        gray = np.asarray(Image.fromarray(self.gray[..., number]).resize((size, size), Image.Resampling.BICUBIC))
        around_truth, around_found = (_outline(mask[..., number], size) for mask in (self.truth, self.found))
        drawn = np.repeat(gray[..., None], 3, axis=-1)
        for where, colour in (
            (around_truth, TRUTH),
            (around_found, FOUND),
            (around_truth & around_found, BOTH),
        ):
            drawn[where] = colour
        return drawn


def _outline(mask: Mask, size: int) -> Mask:
    """Of the enlarged mask, nearest pixel by nearest pixel."""
    rows, columns = ((np.arange(size) * n) // size for n in mask.shape)
    large = mask[np.ix_(rows, columns)]
    return large & ~ndimage.binary_erosion(large)
