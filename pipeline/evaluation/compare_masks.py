"""The step of an evaluation that compares: masks in model space and on the study's own grid, with the expert's."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from scanweave.pipeline.evaluation.metrics import Mask, hd95, hd95_in_planes, lone_slices, overlap
from scanweave.pipeline.result import flags_of, without_uids
from scanweave.transforms.image import Image
from scanweave.transforms.input_distance import InputDistance
from scanweave.transforms.keep_components import Components
from scanweave.transforms.load_study import LoadedStudy
from scanweave.transforms.segments import Segment

Figures: TypeAlias = Mapping[str, Any]
MILLIMETRES, PIXELS = "mm", "px"
INSIDE = 0.5
"""A resampled truth is the share of a voxel inside it."""


class CompareMasksd:
    """Add `figures`, all that an evaluation says of one case: of all labels together, and the Dice of each.

    In model space (1, row, column, slice): `label` against `model_mask` (what the component rule leaves), `found` (all
    components) and `model_largest`. On the reference's own grid (1, i, j, k): `truth` against `segmentation`.
    """

    def __init__(self, segments: Sequence[Segment] = ()) -> None:
        self.names = [segment.name for segment in segments]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {**data, "figures": {**_figures(data), **self._dice_of_each(data)}}

    def _dice_of_each(self, study: Mapping[Hashable, Any]) -> dict[str, float]:
        """`dice_<name>` and `dice_original_<name>`; nothing of a single label, which is all."""
        if len(self.names) < 2:
            return {}
        pairs = {"dice": ("model_mask", "label"), "dice_original": ("segmentation", "truth")}
        return {
            f"{figure}_{name}": overlap(*(study[key].array[0].round() == label for key in keys)).dice
            for figure, keys in pairs.items()
            for label, name in enumerate(self.names, start=1)
        }


def _figures(study: Mapping[Hashable, Any]) -> Figures:
    loaded: LoadedStudy = study["loaded"]
    components: Components = study["model_components"]
    label, mask, truth, own = (_mask(study[key]) for key in ("label", "model_mask", "truth", "segmentation"))
    counted = overlap(mask, label)
    missed, false = lone_slices(mask, label)
    in_mm = loaded.spacing_known
    voxel_ml = study["label"].grid.voxel_ml if in_mm else None
    return {
        "dice": counted.dice,
        "iou": counted.iou,
        "hd95": _distance(mask, label, study["label"], in_mm=in_mm),
        "hd95_unit": MILLIMETRES if in_mm else PIXELS,
        "volume_error_percent": counted.volume_error_percent,
        "dice_original": overlap(own, truth).dice,
        "hd95_original": _distance(own, truth, study["truth"], in_mm=in_mm),
        "dice_all": overlap(_mask(study["found"]), label).dice,
        "dice_largest": overlap(_mask(study["model_largest"]), label).dice,
        "components": components.count,
        "slices": mask.shape[-1],
        "slices_missed": missed,
        "slices_false": false,
        "truth_voxels": counted.truth,
        "mask_voxels": counted.mask,
        "false_positive_voxels": counted.false_positive,
        "false_negative_voxels": counted.false_negative,
        "truth_ml": _ml(counted.truth, voxel_ml),
        "mask_ml": _ml(counted.mask, voxel_ml),
        "false_positive_ml": _ml(counted.false_positive, voxel_ml),
        "warnings": _warnings(study),
    }


def _mask(image: Image) -> Mask:
    return image.array[0] > INSIDE


def _distance(mask: Mask, truth: Mask, image: Image, *, in_mm: bool) -> float | None:
    if not in_mm:
        return hd95_in_planes(mask, truth)
    return hd95(mask, truth, [float(step) for step in image.grid.spacing])


def _ml(voxels: int, voxel_ml: float | None) -> float | None:
    return None if voxel_ml is None else voxels * voxel_ml


def _warnings(study: Mapping[Hashable, Any]) -> list[str]:
    """What a reader of the case's figures must know: flagged registrations, substituted series, unusual input."""
    loaded: LoadedStudy = study["loaded"]
    distances: Mapping[str, InputDistance] = study.get("input_distance", {})
    told = [*flags_of(study), *loaded.selection.warnings, *study.get("remarks", ())]
    told += [
        f"the brightness distribution of {role} is unlike training's ({item.distance:.2f} over {item.limit:.2f})"
        for role, item in distances.items()
        if item.unlike
    ]
    if not np.any(study["label"].array > INSIDE):
        told.append("the truth is empty in model space")
    return [without_uids(text, phi=False) for text in told]
