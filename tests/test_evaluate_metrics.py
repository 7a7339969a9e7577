"""The figures of an evaluation: by hand, against MONAI and SimpleITK, and at the edges where masks are empty."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from monai.metrics import compute_hausdorff_distance

from scanweave.pipeline.evaluation.metrics import hd95, hd95_in_planes, lone_slices, overlap
from scanweave.pipeline.evaluation.summary import SEED, bootstrap_interval, summarize

SHAPE = (9, 8, 6)
MASKS = arrays.arrays(bool, SHAPE)
SPACING = (0.9, 1.1, 5.0)


def box(*bounds: tuple[int, int], shape: tuple[int, ...] = (20, 20, 4)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*pair) for pair in bounds)] = True
    return mask


EMPTY = np.zeros(SHAPE, dtype=bool)
FULL = ~EMPTY


# --- overlap --------------------------------------------------------------------------------------------------------


def test_overlap_by_hand() -> None:
    """10 x 10 against the same moved by 2: 80 in both, 120 in either."""
    counted = overlap(box((0, 10), (0, 10), (1, 2)), box((2, 12), (0, 10), (1, 2)))
    assert (counted.dice, counted.iou) == (0.8, 80 / 120)
    assert (counted.false_positive, counted.false_negative, counted.volume_error_percent) == (20, 20, 0)
    assert overlap(box((0, 10), (0, 5), (0, 1)), box((0, 10), (0, 10), (0, 1))).volume_error_percent == -50


def test_overlap_of_empty_masks() -> None:
    both, missed, invented = overlap(EMPTY, EMPTY), overlap(EMPTY, FULL), overlap(FULL, EMPTY)
    assert (both.dice, both.iou, both.volume_error_percent) == (1, 1, None)
    assert (missed.dice, missed.iou, missed.volume_error_percent) == (0, 0, -100)
    assert (invented.dice, invented.iou, invented.volume_error_percent) == (0, 0, None)


@given(MASKS, MASKS)
@settings(max_examples=25, deadline=None)
def test_overlap_is_simpleitks(mask: np.ndarray, truth: np.ndarray) -> None:
    if not (mask.any() and truth.any()):
        return
    oracle = sitk.LabelOverlapMeasuresImageFilter()
    oracle.Execute(*(sitk.GetImageFromArray(voxels.astype(np.uint8)) for voxels in (mask, truth)))
    counted = overlap(mask, truth)
    assert counted.dice == pytest.approx(oracle.GetDiceCoefficient())
    assert counted.iou == pytest.approx(oracle.GetJaccardCoefficient())
    assert counted.false_negative / counted.truth == pytest.approx(oracle.GetFalseNegativeError())


# --- distance -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_distance_of_a_moved_box_is_in_the_spacing_of_its_axis(axis: int) -> None:
    """A plate moved across itself by two voxels: every surface voxel is that far away."""
    bounds = [(4, 16), (4, 16), (4, 16)]
    plate, moved = list(bounds), list(bounds)
    plate[axis], moved[axis] = (5, 6), (7, 8)
    found = hd95(box(*plate, shape=(20, 20, 20)), box(*moved, shape=(20, 20, 20)), SPACING)
    assert found == pytest.approx(2 * SPACING[axis])


@given(MASKS, MASKS)
@settings(max_examples=30, deadline=None)
def test_distance_is_monais(mask: np.ndarray, truth: np.ndarray) -> None:
    if not (mask.any() and truth.any()):
        return
    one_hot = [torch.from_numpy(voxels)[None, None].float() for voxels in (mask, truth)]
    oracle = compute_hausdorff_distance(*one_hot, include_background=True, percentile=95, spacing=SPACING)
    assert hd95(mask, truth, SPACING) == pytest.approx(float(oracle), rel=1e-4)  # float32 percentiles


def test_distance_of_empty_masks() -> None:
    for measure in (lambda a, b: hd95(a, b, SPACING), hd95_in_planes):
        assert measure(EMPTY, EMPTY) == 0
        assert measure(EMPTY, FULL) is None and measure(FULL, EMPTY) is None


@given(MASKS, MASKS)
@settings(max_examples=25, deadline=None)
def test_distance_in_one_plane_is_that_of_the_picture(mask: np.ndarray, truth: np.ndarray) -> None:
    mask[..., 1:] = truth[..., 1:] = False
    if not (mask.any() and truth.any()):
        return
    one_hot = [torch.from_numpy(voxels[..., 0])[None, None].float() for voxels in (mask, truth)]
    oracle = compute_hausdorff_distance(*one_hot, include_background=True, percentile=95)
    assert hd95_in_planes(mask, truth) == pytest.approx(float(oracle), rel=1e-4)  # float32 percentiles


def test_distances_in_planes_are_pooled_and_know_no_neighbouring_slice() -> None:
    """One slice agrees, the other is off by 3: half of all surface pixels, so the 95th percentile is 3."""
    truth = box((5, 15), (5, 6), (0, 2))
    mask = box((5, 15), (5, 6), (0, 1)) | box((5, 15), (8, 9), (1, 2))
    assert hd95_in_planes(mask, truth) == 3
    assert hd95_in_planes(mask, box((5, 15), (5, 6), (2, 3))) is None


def test_lone_slices_are_counted() -> None:
    assert lone_slices(box((0, 5), (0, 5), (0, 2)), box((0, 5), (0, 5), (1, 4))) == (2, 1)
    assert lone_slices(EMPTY, EMPTY) == (0, 0)


# --- many patients --------------------------------------------------------------------------------------------------

FIGURES = [0.2, 0.85, 0.88, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96]
NAMES = [f"p{n}" for n in range(len(FIGURES))]


def test_summary_by_hand() -> None:
    found = summarize(FIGURES, NAMES)
    assert (found.count, found.missing) == (10, 0)
    assert found.mean == pytest.approx(np.mean(FIGURES)) and found.median == pytest.approx(0.915)
    assert found.std == pytest.approx(np.std(FIGURES, ddof=1))
    assert found.mean_interval is not None and found.median_interval is not None
    assert found.mean_interval[0] < found.mean < found.mean_interval[1]
    assert 0.85 < found.median_interval[0] < found.median < found.median_interval[1] < 0.96
    assert found == summarize(FIGURES, NAMES), "the same figures give the same interval"


def test_interval_is_that_of_resampling_by_hand() -> None:
    chance = np.random.default_rng(SEED + 1)
    means = chance.choice(FIGURES, (20000, len(FIGURES))).mean(axis=1)
    assert bootstrap_interval(FIGURES, np.mean) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.01)


def test_interval_covers_as_often_as_it_says() -> None:
    """Of 60 samples of 20, the interval misses the true mean in a few; one of 60 % would in 24."""
    chance = np.random.default_rng(3)
    intervals = [bootstrap_interval(chance.normal(0.8, 0.1, 20), np.mean) for _ in range(60)]
    covered = sum(low <= 0.8 <= high for low, high in filter(None, intervals))
    assert 50 <= covered <= 60


def test_nothing_is_told_of_a_spread_that_is_not_seen() -> None:
    for figures in ([0.9], [0.9, 0.9, 0.9]):
        found = summarize(figures, NAMES[: len(figures)])
        assert (found.mean_interval, found.median_interval) == (None, None) and found.mean == pytest.approx(0.9)
    assert summarize([0.9], ["a"]).std is None
    nothing = summarize([None, None], ["a", "b"])
    assert (nothing.count, nothing.missing, nothing.mean, nothing.median) == (0, 2, None, None)


def test_patient_with_several_cases_counts_once() -> None:
    found = summarize([0.2, 0.4, 0.9, None], ["a", "a", "b", "c"])
    assert (found.count, found.missing) == (2, 1)
    assert found.mean == pytest.approx((0.3 + 0.9) / 2)
