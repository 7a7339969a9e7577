"""Gray pictures inside the page, and the outline that lies over each."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanweave.pipeline.report.outlines import outlines
from scanweave.pipeline.report.view import View
from scanweave.transforms.preview import Bytes, Preview

JPEG_QUALITY = 85
"""Noise of a scan survives, and 26 slices take 0.4 MB."""
Labels = npt.NDArray[np.uint8]
YELLOW = "#ffd400"
"""Of the outline where there is one segment: no tissue and no other line has it."""
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
class Drawn:
    """The outline of one segment on a slice, in a box of `width` x `height`; `color` as in CSS."""

    path: str
    width: float
    height: float
    color: str


@dataclass(frozen=True)
class SlicePicture:
    """One slice, `number` from 1; `drawn` lies over it.

    `pixels` counts the mask's; `position` and `area_cm2` are None where no spacing is known; `file` names a 2-D
    slice's, "" of others.
    """

    picture: Picture
    number: int
    drawn: tuple[Drawn, ...]
    pixels: int
    position: str | None
    area_cm2: float | None
    file: str


@dataclass(frozen=True)
class Slices:
    """All slices in order; `step` is the size in pixels of the blocks that outlines follow, 1 but for ragged masks."""

    pictures: tuple[SlicePicture, ...]
    step: int


def slice_pictures(
    preview: Preview, labels: Labels, view: View, *, known_mm: bool, files: Sequence[str] = (), colors: Sequence[str]
) -> Slices:
    """Every slice of the reference with the outlines of `labels` (i, j, k), both on the view's grid.

    The n-th of `colors`, from 1, is that of label n.
    Without `known_mm` neither spacing nor the patient's sides are known, and none is claimed; `files` then names
    the slices, in the order of the voxels.
    """
    names = list(files)[:: -1 if view.axis in view.flips else 1] or [""] * labels.shape[view.axis]
    gray, masks = np.ascontiguousarray(view.stack(preview.voxels)), view.stack(labels)
    height, width = (gray.shape[n] * preview.factors[axis] for n, axis in ((1, view.rows), (2, view.columns)))
    # A picture made coarser may reach past the series' end, which a flip has brought to the upper or left edge.
    above = height - masks.shape[1] if view.rows in view.flips else 0
    before = width - masks.shape[2] if view.columns in view.flips else 0
    found = [outlines(masks == n, (above, before)) for n in range(1, len(colors) + 1)]
    tall, wide = view.pixel_mm
    pictures = []
    for n, plane in enumerate(gray):
        plain = f"{view.name} slice" if known_mm else "slice"
        drawn = tuple(
            Drawn(one.paths[n], width / one.step, height / one.step, color)
            for one, color in zip(found, colors, strict=True)
            if one.paths[n]
        )
        pixels = sum(one.pixels[n] for one in found)
        with_mask = "with the outline of the mask" if drawn else "without mask"
        edges = (view.left, view.right, view.top) if known_mm else ("", "", "")
        alt = f"{plain} {n + 1} of {len(gray)}, {with_mask}"
        pictures.append(
            SlicePicture(
                Picture(jpeg_uri(plane), width * wide / (height * tall), alt, *edges),
                n + 1,
                drawn,
                pixels,
                view.position(n) if known_mm else None,
                pixels * tall * wide / MM2_PER_CM2 if known_mm else None,
                names[n],
            )
        )
    return Slices(tuple(pictures), max(one.step for one in found))


def jpeg_uri(pixels: Bytes) -> str:
    """A (row, column) picture as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
