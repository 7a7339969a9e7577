"""The step of an evaluation that looks at cells one by one, after `CompareMasksd`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from statistics import fmean
from typing import Any

from scanweave.pipeline.evaluation.cell_metrics import cell_figures
from scanweave.pipeline.evaluation.compare_masks import INSIDE
from scanweave.pipeline.evaluation.evaluation import OF_CELLS


class CompareCellsd:
    """Add `pixel_error` and `adapted_rand_error` to `figures`: on the pictures' own pixels, the mean of a stack's.

    `truth` and `segmentation` are (1, row, column, slice), all labels together.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        truth, mask = (data[key].array[0] > INSIDE for key in ("truth", "segmentation"))
        planes = [cell_figures(mask[..., k], truth[..., k]) for k in range(truth.shape[-1])]
        added = {name: fmean(getattr(plane, name) for plane in planes) for name in OF_CELLS}
        return {**data, "figures": {**data["figures"], **added}}
