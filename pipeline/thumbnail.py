"""A small picture of a result, for a table of many: the slice with most of the mask, its outline drawn in."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scanweave.pipeline.report.view import View
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.preview import display_axis

LARGEST_SIDE = 160
"""Pixels; a picture takes some 5 kB, so that ten thousand are a page's images and no archive."""
JPEG_QUALITY = 80
OUTLINE = (255, 212, 0)
"""As in the report."""


def write_thumbnail(path: Path, study: Mapping[Hashable, Any]) -> None:
    """Write the picture of `study`, what came out of the chain; of an empty mask it is the middle slice.

    Nothing is written where the chain's first step kept no preview.
    """
    from PIL import Image

    loaded: LoadedStudy = study["loaded"]
    if loaded.preview is None:
        return
    view = View.of(loaded.grid, display_axis(loaded.grid))
    masks = view.stack(study["segmentation"].array[0] > 0)
    areas = masks.sum(axis=(1, 2))
    number = int(np.argmax(areas)) if areas.any() else len(masks) // 2
    gray = np.ascontiguousarray(view.stack(loaded.preview.voxels)[number // loaded.preview.factors[view.axis]])
    tall, wide = view.pixel_mm
    height, width = masks.shape[1] * tall, masks.shape[2] * wide
    scale = LARGEST_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = np.array(Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR).convert("RGB"))
    share = Image.fromarray(masks[number].astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    picture[_outline(np.asarray(share) > 127)] = OUTLINE
    Image.fromarray(picture).save(path, "JPEG", quality=JPEG_QUALITY)


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask (row, column) that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside
