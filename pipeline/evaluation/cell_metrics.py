"""How well cells are found and told apart: the figures of electron-microscopy challenges, of one image.

The challenge of ISBI 2012 (I. Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms
for connectomics", Frontiers in Neuroanatomy 9 (2015)) ranked by warping error, Rand error and pixel error on a withheld
stack whose labels are not public: `PUBLISHED` has the original U-Net's there, the mean of seven rotated inputs. Figures
of other images stand beside them for orientation, not as a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanweave.pipeline.evaluation.metrics import Mask, overlap

PUBLISHED = {"warping_error": 0.000353, "rand_error": 0.0382, "pixel_error": 0.0611}
"""arXiv 1505.04597, table 1."""


@dataclass(frozen=True)
class CellFigures:
    """Of a mask of cells against the true one.

    Attributes
    ----------
    dice, iou
        Of the pixels of cells; 1 where neither mask has any.
    pixel_error
        Share of all pixels, 0..1, that are on the wrong side.
    adapted_rand_error
        1 minus the F-score of the pairs of pixels that lie in one cell, among pixels that are cell in truth: 0 is
        best. What was found to be membrane counts as one more cell. A gap in a membrane joins two cells, and costs
        the pairs between them.
    """

    dice: float
    iou: float
    pixel_error: float
    adapted_rand_error: float


def cell_figures(cells: Mask, truth: Mask) -> CellFigures:
    """Of masks (H, W) of all cells together; a cell is a part connected by edges.

    Raises
    ------
    ValueError
        For masks of different shapes.
    """
    if cells.shape != truth.shape:
        raise ValueError(f"expected cells of the truth's shape {truth.shape}, got {cells.shape}")
    counted = overlap(cells, truth)
    wrong = counted.false_positive + counted.false_negative
    return CellFigures(counted.dice, counted.iou, wrong / truth.size, _rand_error(cells, truth))


def _rand_error(cells: Mask, truth: Mask) -> float:
    """Equal to scikit-image's `adapted_rand_error` of the numbered cells; 0 where there is no pair."""
    (true, cells_true), (found, _) = ndimage.label(truth), ndimage.label(cells)
    true, found = true[truth], found[truth]
    in_truth, in_found, in_both = (
        _pairs(numbers) for numbers in (true, found, found.astype(np.int64) * (cells_true + 1) + true)
    )
    total = in_truth + in_found
    return 1 - 2 * in_both / total if total else 0.0


def _pairs(numbers: npt.NDArray[np.integer]) -> int:
    """Ordered pairs of different pixels that have the same number."""
    _, counts = np.unique(numbers, return_counts=True)
    return int((counts * (counts - 1)).sum())
