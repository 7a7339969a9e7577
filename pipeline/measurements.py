"""What is measured of a study's mask, once for all results: in result.json, in the report, in the DICOM SR."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from scanweave.transforms.axial_planes import slice_axis
from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.io.series import Series
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.measure_mask import ML_DECIMALS, MM_DECIMALS, Diameters, MaskSize, measure_mask

DICOM_SLICE_AXIS = 2
"""The reader of DICOM stacks slices along the last axis."""


def measure_study(study: Mapping[Hashable, Any]) -> MaskSize | None:
    """The sizes of the mask in the slices of the reference series; None for 2-D slices, whose spacing is unknown."""
    loaded: LoadedStudy = study["loaded"]
    if not loaded.spacing_known:
        return None
    mask = Volume(study["segmentation"].array[0], loaded.grid.affine)
    return measure_mask(mask, _slice_axis(loaded.reference, mask.grid))


def measurements_record(study: Mapping[Hashable, Any]) -> dict[str, Any]:
    """`measurements` of result.json; the key is absent where nothing can be measured."""
    size: MaskSize | None = study.get("measurements")
    if size is None:
        return {}
    loaded: LoadedStudy = study["loaded"]
    axis = _slice_axis(loaded.reference, loaded.grid)
    parts = [{"volume_ml": round(p.volume_ml, ML_DECIMALS), **_lines(p.diameters)} for p in size.parts]
    record = {"plane": size.plane, "slice_axis": "ijk"[axis], **_lines(size.diameters), "parts": parts}
    return {"measurements": record}


def _lines(diameters: Diameters | None) -> dict[str, Any]:
    if diameters is None:
        return dict.fromkeys(("slice", "long_axis_mm", "long_axis_ras", "short_axis_mm", "short_axis_ras"))
    return {
        "slice": diameters.slice_index,
        "long_axis_mm": round(diameters.long_mm, MM_DECIMALS),
        "long_axis_ras": _rounded(diameters.long_ends),
        "short_axis_mm": round(diameters.short_mm, MM_DECIMALS),
        "short_axis_ras": _rounded(diameters.short_ends),
    }


def _rounded(ends: tuple[tuple[float, float, float], ...]) -> list[list[float]]:
    return [[round(value, MM_DECIMALS) for value in point] for point in ends]


def _slice_axis(reference: Series, grid: Grid) -> int:
    """Of NIfTI the axis that is much coarser than the others, where there is none that nearest to superior."""
    if reference.source == "dicom":
        return DICOM_SLICE_AXIS
    coarse = slice_axis(grid)
    return int(np.abs(grid.directions[2]).argmax()) if coarse is None else coarse
