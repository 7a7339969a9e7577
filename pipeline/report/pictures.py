"""Gray pictures inside the page, and the outline that lies over each."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scanweave.pipeline.report.outline import Mask
from scanweave.pipeline.report.outlines import outlines
from scanweave.pipeline.report.view import View
from scanweave.transforms.preview import Bytes, Preview

JPEG_QUALITY = 85
"""Noise of a scan survives, and 26 slices take 0.4 MB."""
MM2_PER_CM2 = 100.0


@dataclass(frozen=True)
class Picture:
    """A gray JPEG as a data URI; `aspect` is its width over its height in mm."""

    uri: str
    aspect: float
    alt: str
    left: str
    right: str
    top: str


@dataclass(frozen=True)
class SlicePicture:
    """One slice, `number` from 1; `path` lies over it in a box of `width` x `height`.

    `pixels` counts the mask's; `position` and `area_cm2` are None where no spacing is known; `file` names a 2-D
    slice's, "" of others.
    """

    picture: Picture
    number: int
    path: str
    width: float
    height: float
    pixels: int
    position: str | None
    area_cm2: float | None
    file: str


@dataclass(frozen=True)
class Slices:
    """All slices in order; `step` is the size in pixels of the blocks that outlines follow, 1 but for ragged masks."""

    pictures: tuple[SlicePicture, ...]
    step: int


def slice_pictures(preview: Preview, mask: Mask, view: View, *, known_mm: bool, files: Sequence[str] = ()) -> Slices:
    """Every slice of the reference with the outline of `mask` (i, j, k), both on the view's grid.

    Without `known_mm` neither spacing nor the patient's sides are known, and none is claimed; `files` then names
    the slices, in the order of the voxels.
    """
    names = list(files)[:: -1 if view.axis in view.flips else 1] or [""] * mask.shape[view.axis]
    gray, masks = np.ascontiguousarray(view.stack(preview.voxels)), view.stack(mask)
    height, width = (gray.shape[n] * preview.factors[axis] for n, axis in ((1, view.rows), (2, view.columns)))
    # A picture made coarser may reach past the series' end, which a flip has brought to the upper or left edge.
    above = height - masks.shape[1] if view.rows in view.flips else 0
    before = width - masks.shape[2] if view.columns in view.flips else 0
    drawn = outlines(masks, (above, before))
    tall, wide = view.pixel_mm
    pictures = []
    for n, plane in enumerate(gray):
        plain = f"{view.name} slice" if known_mm else "slice"
        with_mask = "with the outline of the mask" if drawn.paths[n] else "without mask"
        edges = (view.left, view.right, view.top) if known_mm else ("", "", "")
        alt = f"{plain} {n + 1} of {len(gray)}, {with_mask}"
        pictures.append(
            SlicePicture(
                Picture(jpeg_uri(plane), width * wide / (height * tall), alt, *edges),
                n + 1,
                drawn.paths[n],
                width / drawn.step,
                height / drawn.step,
                drawn.pixels[n],
                view.position(n) if known_mm else None,
                drawn.pixels[n] * tall * wide / MM2_PER_CM2 if known_mm else None,
                names[n],
            )
        )
    return Slices(tuple(pictures), drawn.step)


def jpeg_uri(pixels: Bytes) -> str:
    """A (row, column) picture as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
