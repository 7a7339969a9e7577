"""The figures of cells: by hand, by their definitions, and scikit-image's Rand error of the connected parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy import ndimage
from skimage.metrics import adapted_rand_error

from scanweave.pipeline.evaluation.cell_metrics import PUBLISHED, CellFigures, cell_figures

Mask = npt.NDArray[np.bool_]


def two_rooms(gap: bool = False) -> Mask:
    """Two cells of 5 x 4 pixels beside a membrane of one, with a door in it or without."""
    cells = np.ones((5, 9), bool)
    cells[:, 4] = False
    cells[2, 4] = gap
    return cells


def test_the_truth_itself_is_without_error() -> None:
    assert cell_figures(two_rooms(), two_rooms()) == CellFigures(1.0, 1.0, 0.0, 0.0)


def test_a_gap_in_the_membrane() -> None:
    """One pixel of 45 wrong, and both cells one: 2 x 20 x 19 ordered pairs in truth, 40 x 39 as found."""
    found = cell_figures(two_rooms(gap=True), two_rooms())
    assert found.pixel_error == 1 / 45
    assert found.iou == 40 / 41 and found.dice == 80 / 81
    assert found.adapted_rand_error == pytest.approx(1 - 2 * 760 / (760 + 1560))


def test_cells_that_meet_at_a_corner_are_two() -> None:
    corner = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], bool)
    full = np.ones((4, 4), bool)
    assert cell_figures(corner, corner).adapted_rand_error == 0
    assert cell_figures(full, corner).adapted_rand_error == pytest.approx(1 - 2 * 24 / (24 + 56))


SHAPE = (7, 8)
MASKS = hnp.arrays(bool, SHAPE, elements=st.booleans())


def rand_by_pairs(cells: Mask, truth: Mask) -> float:
    """Over all ordered pairs of pixels that are cell in truth; what was not found counts as one more cell."""
    inside = truth.ravel()
    true, found = (ndimage.label(mask)[0].ravel()[inside] for mask in (truth, cells))
    together, there = (values[:, None] == values[None] for values in (true, found))
    for pairs in (together, there):
        np.fill_diagonal(pairs, False)
    total = together.sum() + there.sum()
    return float(1 - 2 * (together & there).sum() / total) if total else 0.0


@settings(max_examples=80, deadline=None)
@given(cells=MASKS, truth=MASKS)
def test_they_are_their_definitions(cells: Mask, truth: Mask) -> None:
    found = cell_figures(cells, truth)
    assert found.adapted_rand_error == pytest.approx(rand_by_pairs(cells, truth), abs=1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected, _, _ = adapted_rand_error(ndimage.label(truth)[0], ndimage.label(cells)[0])
    assert found.adapted_rand_error == pytest.approx(0.0 if np.isnan(expected) else expected, abs=1e-12)
    assert found.pixel_error == pytest.approx((cells ^ truth).mean())
    if (cells | truth).any():
        assert found.iou == pytest.approx((cells & truth).sum() / (cells | truth).sum())
        assert found.dice == pytest.approx(2 * found.iou / (1 + found.iou))


def test_masks_of_two_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"truth's shape \(5, 9\), got \(4, 9\)"):
        cell_figures(two_rooms()[1:], two_rooms())


@pytest.mark.parametrize("pixels", [1, 2, -1])
def test_real_cells_with_other_membranes(data_dir: Path, pixels: int) -> None:
    """Scikit-image's figure; of cells 2 pixels larger, few pixels are wrong, and many cells flow together."""
    truth = np.asarray(Image.open(data_dir / "cells" / "label" / "20.png")) > 0
    change = ndimage.binary_dilation if pixels > 0 else ndimage.binary_erosion
    cells = change(truth, iterations=abs(pixels))
    found = cell_figures(cells, truth)
    expected, _, _ = adapted_rand_error(ndimage.label(truth)[0], ndimage.label(cells)[0])
    assert found.adapted_rand_error == pytest.approx(expected, abs=1e-12)
    assert found.dice > 0.92 and found.pixel_error < 0.13
    assert (found.adapted_rand_error > 5 * PUBLISHED["rand_error"]) == (pixels == 2)
