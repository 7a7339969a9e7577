"""The expert's mask of a case, on the grid of the reference series."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.transforms import Transform

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.files import is_nifti
from scanweave.transforms.io.nifti import read_nifti
from scanweave.transforms.io.slice_files import read_slice
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.volumes import to_metatensor

AFFINE_TOLERANCE = 1e-3
"""mm between the mask's affine and the reference's: what different programs make of one header."""


class LoadTruthd(Transform):
    """Add the mask (1, i, j, k), float32 0 or 1, of the study that `LoadStudyd` has read.

    It comes from the file at `file_key`, NIfTI on the reference's own grid or a picture of one slice, or, where
    there is none, from the masks beside the slices. Every value above 0 is foreground.
    """

    def __init__(self, key: str = "label", file_key: str = "label_file") -> None:
        self.key = key
        self.file_key = file_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        loaded: LoadedStudy = d["loaded"]
        file: Path | None = d.get(self.file_key)
        truth = _masks_of_slices(loaded) if file is None else _mask_of_file(file, loaded)
        d[self.key] = to_metatensor(Volume(truth.astype(np.float32), loaded.grid.affine))
        return d


def _masks_of_slices(loaded: LoadedStudy) -> npt.NDArray[np.bool_]:
    pictures = loaded.pictures
    if pictures is None or not pictures.has_truth.all():
        found = "none" if pictures is None else f"{int(pictures.has_truth.sum())} of {len(pictures.stems)}"
        message = f"expected a mask for each slice, found {found}"
        raise InputRefused(Problem(Code.MISSING_LABEL, message, f"series {loaded.reference.label}"))
    return pictures.truth


def _mask_of_file(file: Path, loaded: LoadedStudy) -> npt.NDArray[np.bool_]:
    if is_nifti(file):
        volumes, _ = read_nifti(file)
        mask = volumes[0]
        where_it_lies = np.abs(mask.affine - loaded.grid.affine).max() <= AFFINE_TOLERANCE
    else:
        pixels = read_slice(file)
        flat = pixels.max(axis=-1) if pixels.ndim == 3 else pixels
        mask = Volume(flat[..., None].astype(np.float32), loaded.grid.affine)
        where_it_lies = True
    if mask.array.shape != loaded.grid.shape or not where_it_lies:
        expected, found = (" x ".join(map(str, shape)) for shape in (loaded.grid.shape, mask.array.shape))
        moved = "" if where_it_lies else ", with another affine"
        message = f"expected a mask on the grid of the reference series ({expected}), found {found}{moved}"
        raise InputRefused(Problem(Code.LABEL_MISMATCH, message, file.name))
    return mask.array > 0
