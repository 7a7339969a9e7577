"""What is measured of a study's mask, once for all results: in result.json, in the report, in the DICOM SR."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scanweave.transforms.axial_planes import slice_axis
from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.io.series import Series
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.measure_mask import ML_DECIMALS, MM_DECIMALS, Diameters, MaskSize, measure_mask
from scanweave.transforms.segments import Segment

DICOM_SLICE_AXIS = 2
"""The reader of DICOM stacks slices along the last axis."""


@dataclass(frozen=True)
class Measured:
    """The `whole` mask, all labels together, and each segment of it, in the slices of the reference series."""

    whole: MaskSize
    segments: tuple[MaskSize, ...]


def measure_study(study: Mapping[Hashable, Any], segments: int) -> Measured | None:
    """The sizes of a mask of so many labels; None for 2-D slices, whose spacing is unknown."""
    loaded: LoadedStudy = study["loaded"]
    if not loaded.spacing_known:
        return None
    labels = study["segmentation"].array[0]
    axis = _slice_axis(loaded.reference, loaded.grid)
    whole = measure_mask(Volume(labels, loaded.grid.affine), axis)
    if segments == 1:
        return Measured(whole, (whole,))
    each = (Volume(labels == label, loaded.grid.affine) for label in range(1, segments + 1))
    return Measured(whole, tuple(measure_mask(mask, axis) for mask in each))


def measurements_record(study: Mapping[Hashable, Any], segments: Sequence[Segment]) -> dict[str, Any]:
    """`measurements` and `segments` of result.json; the former is absent where nothing can be measured."""
    measured: Measured | None = study.get("measurements")
    if measured is None:
        counts = np.bincount(study["segmentation"].array.ravel(), minlength=len(segments) + 1)
        return {"segments": _named(segments, [{"volume_ml": None, "volume_voxels": int(n)} for n in counts[1:]])}
    loaded: LoadedStudy = study["loaded"]
    axis = _slice_axis(loaded.reference, loaded.grid)
    size = measured.whole
    parts = [{"volume_ml": round(p.volume_ml, ML_DECIMALS), **_lines(p.diameters)} for p in size.parts]
    record = {"plane": size.plane, "slice_axis": "ijk"[axis], **_lines(size.diameters), "parts": parts}
    each = [{"volume_ml": round(item.volume_ml, ML_DECIMALS), **_lines(item.diameters)} for item in measured.segments]
    return {"segments": _named(segments, each), "measurements": record}


def _named(segments: Sequence[Segment], each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By name: the value in the mask, the label for people, and what was measured."""
    numbered = enumerate(zip(segments, each, strict=True), start=1)
    return {segment.name: {"value": n, "label": segment.label, **measured} for n, (segment, measured) in numbered}


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
