"""Slices as volumes: the channels of a stack, and what of it is shown and compared in the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometry import Affine, Volume
from scanweave.transforms.io.series import Series
from scanweave.transforms.io.slice_files import read_slice
from scanweave.transforms.preview import as_bytes, white_level

NOMINAL_SLICE_SPACING = 5.0
"""No spacing is known. Pixels count as 1, slices lie further apart, so that their axis is told; nothing shows it."""
LEAST_WHITE = 128
"""Masks whose brightest value lies under it hold label numbers."""
WHITE = 255
SAME_GRAY = 0.05
"""Of the brightest value: JPEG stores brightness and colour apart, and rounds both."""
NEAR_SHADE = 0.3
"""How far a gray may lie from a label's, as a part of the distance between two: what JPEG makes of them."""
LEAST_NEAR = 0.98
"""Share of a mask's pixels that lie so near; at the edges of labels JPEG mixes them."""


@dataclass(frozen=True, eq=False)
class SlicePictures:
    """What results show of slices: the reference as `gray` (row, column, slice), uint8, under the files' `stems`.

    `truth` (row, column, slice) are the labels that were given, 0 where there are none; `has_truth` says for which
    slices there is a mask.
    """

    stems: tuple[str, ...]
    gray: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]
    has_truth: npt.NDArray[np.bool_]


def read_slices(
    series: Mapping[str, Series], reference: str, labels: int = 1
) -> tuple[dict[str, Volume], SlicePictures]:
    """Each role's channel of one stack, (row, column, slice) float32, and the pictures of the reference.

    Masks hold so many `labels`.

    The affine is nominal: rows to posterior, columns to the left, slices to superior, as the training slices lie.

    Raises
    ------
    InputRefused
        As `read_slice` and `read_masks`; WRONG_SHAPE for colours where a single channel is asked for.
    """
    own = series[reference]
    stack = np.stack([read_channels(file, own) for file in own.files], axis=-1)
    if len(series) == 1 and len(stack) > 1:
        _check_gray(stack, own)
    affine = nominal_affine()
    volumes = {name: Volume(stack[item.volume].astype(np.float32), affine) for name, item in series.items()}
    shown = stack[own.volume]
    finite = np.nan_to_num(shown, nan=0.0, posinf=0.0, neginf=0.0)
    gray = shown if shown.dtype == np.uint8 else as_bytes(finite, white_level(finite))
    truth, has_truth = read_masks(own.masks, shown.shape, labels)
    return volumes, SlicePictures(tuple(file.stem for file in own.files), gray, truth, has_truth)


def _check_gray(stack: npt.NDArray[Any], series: Series) -> None:
    """Many programs store gray as RGB; what really is in colours is no image of one series."""
    low, high = stack.min(axis=0), stack.max(axis=0)
    apart = (high - low).max() / max(high.max(), np.finfo(np.float32).eps)
    if apart > SAME_GRAY:
        message = f"expected gray slices, found colours (channels up to {apart:.0%} of the brightest value apart)"
        raise InputRefused(Problem(Code.WRONG_SHAPE, message, f"series {series.label}"))


def nominal_affine() -> Affine:
    """Voxel indices (row, column, slice) to RAS, in no real unit."""
    affine = np.zeros((4, 4))
    affine[1, 0], affine[0, 1], affine[2, 2], affine[3, 3] = -1.0, -1.0, NOMINAL_SLICE_SPACING, 1.0
    return affine


def read_channels(file: Path, series: Series) -> npt.NDArray[Any]:
    """(channel, row, column) of one slice; a gray one among RGB ones is alike in all channels."""
    pixels = read_slice(file)
    if pixels.shape[:2] != (series.shape or ())[:2]:
        message = f"expected {(series.shape or ())[:2]} pixels, found {pixels.shape[:2]}"
        raise InputRefused(Problem(Code.WRONG_SHAPE, message, file.name))
    if not series.part:
        return pixels[None]
    return np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else np.stack([pixels] * 3)


def read_masks(
    files: Sequence[Path | None], shape: tuple[int, ...], labels: int = 1
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The given masks (row, column, slice) of that shape as numbers of labels, and for which slices there is one.

    Of one label white counts, or anything above 0 where nothing is white. Of several the values are the labels'
    numbers, or, where something is brighter, grays in even steps from black to white (of two labels 127 or 128, and
    255), as programs write them that know no more than gray.

    Raises
    ------
    InputRefused
        As `read_slice`; UNSUPPORTED_FORM for masks in colours, LABEL_MISMATCH for values that are no label's.
    """
    values = {place: _mask_values(file) for place, file in enumerate(files) if file}
    brightest = max((float(found.max()) for found in values.values()), default=0.0)
    truth = np.zeros(shape, dtype=np.uint8)
    for place, found in values.items():
        if labels == 1:
            truth[..., place] = found > (brightest / 2 if brightest >= LEAST_WHITE else 0.0)
        else:
            truth[..., place] = _numbers(found, labels, shades=brightest > labels, file=files[place])
    return truth, np.array([file is not None for file in files])


def _numbers(values: npt.NDArray[Any], labels: int, *, shades: bool, file: Path | None) -> npt.NDArray[np.uint8]:
    exact = values.astype(np.float32) * (labels / WHITE if shades else 1.0)
    numbers = np.rint(exact)
    near = float((np.abs(exact - numbers) <= NEAR_SHADE).mean())
    if near < LEAST_NEAR or numbers.min() < 0 or numbers.max() > labels:
        found = f"{1 - near:.0%} of the pixels between" if near < LEAST_NEAR else f"{values.max():g}"
        message = f"expected the labels 0 to {labels}, or as many grays in even steps up to {WHITE}, found {found}"
        raise InputRefused(Problem(Code.LABEL_MISMATCH, message, file.name if file else ""))
    return numbers.astype(np.uint8)


def _mask_values(file: Path) -> npt.NDArray[Any]:
    pixels = read_slice(file)
    if pixels.ndim == 2:
        return pixels
    if (pixels != pixels[..., :1]).any():
        message = "expected a mask of black and white, found colours"
        raise InputRefused(Problem(Code.UNSUPPORTED_FORM, message, file.name))
    return pixels[..., 0]
