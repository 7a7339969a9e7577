"""The weight map: equal to a slow direct computation, and brightest where two real cells nearly touch."""

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

from scanweave.pipeline.training.weight_map import balance, weight_map

Labels = npt.NDArray[np.int_]


def by_the_formula(labels: Labels, w0: float, sigma: float, class_weights: tuple[float, float]) -> npt.NDArray:
    """Every background pixel against every pixel of every object."""
    found = np.where(labels > 0, class_weights[1], class_weights[0]).astype(float)
    pixels = [np.argwhere(labels == number) for number in np.unique(labels[labels > 0])]
    for at in np.argwhere(labels == 0):
        distances = sorted(np.sqrt(((one - at) ** 2).sum(axis=1)).min() for one in pixels)
        if len(distances) > 1:
            found[tuple(at)] += w0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))
    return found


SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
SPARSE = st.sampled_from([0] * 12 + [1, 2, 3, 17])
"""Of no, one or several objects, whose numbers have gaps and whose parts may lie apart."""


@settings(max_examples=60, deadline=None)
@given(
    labels=hnp.arrays(np.int64, SHAPES, elements=SPARSE),
    w0=st.floats(0, 20),
    sigma=st.sampled_from([0.5, 1.0, 2.5, 5.0]),
)
def test_it_is_the_direct_computation(labels: Labels, w0: float, sigma: float) -> None:
    weights = (2.0, 0.5)
    before = labels.copy()
    if len(np.unique(labels[labels > 0])) == 1:  # one number is a mask
        objects, _ = ndimage.label(labels)
    else:
        objects = labels
    found = weight_map(labels, w0, sigma, weights)
    assert found.shape == labels.shape and found.dtype == np.float32
    assert np.allclose(found, by_the_formula(objects, w0, sigma, weights), rtol=1e-6, atol=1e-6)
    assert np.array_equal(labels, before)


def test_far_and_near_objects_of_a_large_image() -> None:
    """Of sizes at which the surroundings of an object are less than the image."""
    labels = np.zeros((70, 90), np.int64)
    for number, (row, column) in enumerate([(0, 0), (4, 9), (20, 12), (50, 85), (69, 40), (60, 42)], start=1):
        labels[row : row + 3, column : column + 4] = number
    for sigma in (1.0, 3.0, 5.0):
        expected = by_the_formula(labels, 10, sigma, (1, 1))
        assert np.abs(weight_map(labels, 10, sigma, (1, 1)) - expected).max() < 1e-6


def test_between_two_straight_edges() -> None:
    """A gap of four pixels: everywhere in it d1 + d2 is 5."""
    labels = np.zeros((9, 12), np.int64)
    labels[:, :4], labels[:, 8:] = 1, 2
    found = weight_map(labels, class_weights=(1.0, 1.0))
    assert np.allclose(found[:, 4:8], 1 + 10 * np.exp(-25 / 50)) and (found[labels > 0] == 1).all()


@pytest.mark.parametrize("labels", [np.zeros((5, 6), np.int64), np.ones((5, 6), np.int64), np.eye(1, dtype=bool)])
def test_with_one_class_or_one_object_nothing_is_added(labels: npt.NDArray) -> None:
    assert (weight_map(labels) == 1).all()
    one = np.zeros((8, 8), np.uint8)
    one[2:5, 3:6] = 7
    assert set(np.unique(weight_map(one, class_weights=(2, 3)))) == {2, 3}


def test_a_mask_is_parts_connected_by_edges() -> None:
    mask = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]], bool)
    numbered = np.array([[4, 0, 0], [0, 9, 9], [0, 0, 0]])
    expected = weight_map(numbered, class_weights=(1, 1))
    assert expected[0, 1] > 5
    for same in (mask, mask.astype(np.uint8) * 255):
        assert np.array_equal(weight_map(same, class_weights=(1, 1)), expected)


def test_classes_count_alike_and_pixels_one_on_average() -> None:
    masks = [np.zeros((4, 5), bool), np.ones((3, 2), bool)]
    masks[0][0, :3] = True
    background, objects = balance(*masks)
    assert 17 * background == pytest.approx(9 * objects) == pytest.approx(13)
    assert balance(masks[1]) == balance(np.zeros((2, 2), bool)) == (1, 1)
    assert set(np.unique(weight_map(masks[0], w0=0))) == set(np.float32(balance(masks[0])))


def test_only_images_have_one() -> None:
    with pytest.raises(ValueError, match=r"\(H, W\), got shape \(1, 4, 4\)"):
        weight_map(np.zeros((1, 4, 4), bool))


def test_of_real_membranes(data_dir: Path) -> None:
    """Of a part of each image, by a distance transform of the whole part for each cell."""
    files = sorted((data_dir / "cells" / "label").glob("*.png"))
    assert len(files) == 24
    for file in files:
        cells = (np.asarray(Image.open(file)) > 0)[:200, 300:]
        objects, count = ndimage.label(cells)
        each = [ndimage.distance_transform_edt(objects != number) for number in range(1, count + 1)]
        first, second = np.sort(np.stack(each), axis=0)[:2]
        background, of_cells = balance(cells)
        expected = np.where(cells, of_cells, background + 10 * np.exp(-((first + second) ** 2) / 50))
        assert np.abs(weight_map(cells) - expected).max() < 2e-6
        assert background > 1 > of_cells and expected.max() > background + 5
