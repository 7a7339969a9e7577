"""The results of 2-D slices as pictures: a mask for each slice, and the slice with the outlines on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanweave.transforms.io.slice_volume import WHITE, SlicePictures

MASK_FOLDER, OVERLAY_FOLDER = "masks", "overlay"
MASK_ENDING = "_mask.png"
FOUND_COLOUR, TRUE_COLOUR = (255, 0, 0), (0, 255, 0)
"""Of the outlines, RGB; where both run they are yellow, their sum."""


def save_slices(folder: Path, mask: npt.NDArray[np.uint8], pictures: SlicePictures, labels: int = 1) -> None:
    """Write masks/<stem>_mask.png (8 bits, 0 or 255; of several `labels` grays in even steps) and overlay/<stem>.png
    (RGB) of every slice, empty ones too.

    `mask` (row, column, slice) has the labels' numbers; pictures have the slices' own size.

    Raises
    ------
    OSError
        The disk is full or the folder cannot be written.
    """
    from PIL import Image

    for name in (MASK_FOLDER, OVERLAY_FOLDER):
        (folder / name).mkdir()
    for place, stem in enumerate(pictures.stems):
        found, true = mask[..., place] > 0, pictures.truth[..., place] > 0
        shades = mask[..., place].astype(np.uint16) * WHITE // labels
        Image.fromarray(shades.astype(np.uint8)).save(folder / MASK_FOLDER / f"{stem}{MASK_ENDING}")
        drawn = Image.fromarray(overlay(pictures.gray[..., place], found, true))
        drawn.save(folder / OVERLAY_FOLDER / f"{stem}.png")


def overlay(
    gray: npt.NDArray[np.uint8], found: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """(row, column) of a slice and of two masks as RGB (row, column, 3), with one-pixel outlines inside the masks."""
    drawn = np.repeat(gray[..., None], 3, axis=-1)
    around, around_true = outline(found), outline(true)
    drawn[around | around_true] = 0
    drawn[around] += np.array(FOUND_COLOUR, dtype=np.uint8)
    drawn[around_true] += np.array(TRUE_COLOUR, dtype=np.uint8)
    return drawn


def outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels of a mask that touch what is outside, by a side; the picture's border is outside."""
    from scipy import ndimage

    return mask & ~ndimage.binary_erosion(mask)
