"""The expert's mask of a case, on the grid of the reference series."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometry import Volume
from scanweave.transforms.image import Image
from scanweave.transforms.io.files import is_nifti
from scanweave.transforms.io.nifti import read_nifti
from scanweave.transforms.io.slice_files import slice_form
from scanweave.transforms.io.slice_volume import read_masks
from scanweave.transforms.load_study import LoadedStudy

AFFINE_TOLERANCE = 1e-3
"""mm between the mask's affine and the reference's: what different programs make of one header."""


class LoadTruthd:
    """Add the mask (1, i, j, k), float32, of the study that `LoadStudyd` has read: 0, or the number of a label.

    It comes from the file at `file_key`, NIfTI on the reference's own grid or a picture of one slice, or, where there
    is none, from the masks beside the slices. Of one of the `labels` every value above 0 of NIfTI is lesion; of several
    the values are their numbers. Pictures are read as `read_masks` says. `own_key` names a second entry for it, which
    no later step moves.
    """

    def __init__(
        self, key: str = "label", file_key: str = "label_file", own_key: str | None = None, labels: int = 1
    ) -> None:
        self.key = key
        self.labels = labels
        self.own_key = own_key
        self.file_key = file_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        loaded: LoadedStudy = d["loaded"]
        file: Path | None = d.get(self.file_key)
        truth = _masks_of_slices(loaded) if file is None else _mask_of_file(file, loaded, self.labels)
        d[self.key] = Image.of(Volume(truth.astype(np.float32), loaded.grid.affine))
        if self.own_key is not None:
            d[self.own_key] = d[self.key]
        return d


def _masks_of_slices(loaded: LoadedStudy) -> npt.NDArray[np.uint8]:
    pictures = loaded.pictures
    if pictures is None or not pictures.has_truth.all():
        found = "none" if pictures is None else f"{int(pictures.has_truth.sum())} of {len(pictures.stems)}"
        message = f"expected a mask for each slice, found {found}"
        raise InputRefused(Problem(Code.MISSING_LABEL, message, f"series {loaded.reference.label}"))
    return pictures.truth


def _mask_of_file(file: Path, loaded: LoadedStudy, labels: int) -> npt.NDArray[Any]:
    if not is_nifti(file):
        _check_grid(_picture_shape(file), loaded, file)
        return read_masks([file], loaded.grid.shape, labels)[0]
    volumes, _ = read_nifti(file)
    mask = volumes[0]
    _check_grid(mask.array.shape, loaded, file)
    apart = float(np.abs(mask.affine - loaded.grid.affine).max())
    if apart > AFFINE_TOLERANCE:
        message = f"expected a mask on the grid of the reference series, found an affine that differs by {apart:.3g}"
        raise InputRefused(Problem(Code.LABEL_MISMATCH, message, file.name))
    if labels == 1:
        return np.asarray(mask.array > 0)
    if not np.isin(mask.array, range(labels + 1)).all():
        message = f"expected the labels 0 to {labels}, found other values, up to {float(np.max(mask.array)):g}"
        raise InputRefused(Problem(Code.LABEL_MISMATCH, message, file.name))
    return mask.array


def _picture_shape(file: Path) -> tuple[int, ...]:
    form = slice_form(file)
    if isinstance(form, Problem):
        raise InputRefused(form)
    return form.rows, form.columns, 1


def _check_grid(shape: tuple[int, ...], loaded: LoadedStudy, file: Path) -> None:
    if shape != loaded.grid.shape:
        expected, found = (" x ".join(map(str, one)) for one in (loaded.grid.shape, shape))
        message = f"expected a mask on the grid of the reference series ({expected}), found {found}"
        raise InputRefused(Problem(Code.LABEL_MISMATCH, message, file.name))
