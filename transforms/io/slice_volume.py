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
"""Masks whose brightest value lies under it hold label numbers: all above 0 is foreground."""


@dataclass(frozen=True, eq=False)
class SlicePictures:
    """What results show of slices: the reference as `gray` (row, column, slice), uint8, under the files' `stems`.

    `truth` (row, column, slice) is the mask that was given, False where there is none; `has_truth` says for which
    slices there is one.
    """

    stems: tuple[str, ...]
    gray: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.bool_]
    has_truth: npt.NDArray[np.bool_]


def read_slices(series: Mapping[str, Series], reference: str) -> tuple[dict[str, Volume], SlicePictures]:
    """Each role's channel of one stack, (row, column, slice) float32, and the pictures of the reference.

    The affine is nominal: rows to posterior, columns to the left, slices to superior, as the training slices lie.

    Raises
    ------
    InputRefused
        As `read_slice`; UNSUPPORTED_FORM for masks in colours.
    """
    own = series[reference]
    stack = np.stack([read_channels(file, own) for file in own.files], axis=-1)
    affine = nominal_affine()
    volumes = {name: Volume(stack[item.volume].astype(np.float32), affine) for name, item in series.items()}
    shown = stack[own.volume]
    finite = np.nan_to_num(shown, nan=0.0, posinf=0.0, neginf=0.0)
    gray = shown if shown.dtype == np.uint8 else as_bytes(finite, white_level(finite))
    truth, has_truth = read_masks(own.masks, shown.shape)
    return volumes, SlicePictures(tuple(file.stem for file in own.files), gray, truth, has_truth)


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
    files: Sequence[Path | None], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The given masks (row, column, slice) of that shape, and for which slices there is one.

    White counts, or any label above 0 where none is white.

    Raises
    ------
    InputRefused
        As `read_slice`; UNSUPPORTED_FORM for masks in colours.
    """
    values = {place: _mask_values(file) for place, file in enumerate(files) if file}
    brightest = max((float(found.max()) for found in values.values()), default=0.0)
    level = brightest / 2 if brightest >= LEAST_WHITE else 0.0
    truth = np.zeros(shape, dtype=bool)
    for place, found in values.items():
        truth[..., place] = found > level
    return truth, np.array([file is not None for file in files])


def _mask_values(file: Path) -> npt.NDArray[Any]:
    pixels = read_slice(file)
    if pixels.ndim == 2:
        return pixels
    if (pixels != pixels[..., :1]).any():
        message = "expected a mask of black and white, found colours"
        raise InputRefused(Problem(Code.UNSUPPORTED_FORM, message, file.name))
    return pixels[..., 0]
