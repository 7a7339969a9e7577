"""What a run does itself, because importing SciPy takes it a second, is what SciPy does."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull

from scanweave.transforms.connected import boxes_of, connected_parts
from scanweave.transforms.crop_square import opened_in_plane
from scanweave.transforms.geometry import Volume
from scanweave.transforms.plane_checks import check_planes
from scanweave.transforms.resize_plane import NEGLIGIBLE_WEIGHT, spline_matrix
from scanweave.transforms.slice_diameters import longest_line

RNG = np.random.default_rng(20261122)


@pytest.mark.parametrize("shape", [(20, 30, 10), (1, 30, 9), (40, 50), (7, 1, 1), (0, 4, 3)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("order", ["C", "F"])
def test_connected_parts_and_their_boxes_are_numbered_as_scipy_numbers_them(shape: tuple[int, ...], share: float,
                                                                            order: str) -> None:  # fmt: skip
    mask = np.asarray(RNG.random(shape) < share, order=order)
    labels, count = connected_parts(mask)
    expected, known = ndimage.label(mask, np.ones((3,) * mask.ndim))
    assert count == known
    assert np.array_equal(labels, expected)
    assert boxes_of(labels, count) == (ndimage.find_objects(expected) if known else [])


@pytest.mark.parametrize("shape", [(30, 40, 6), (3, 3, 2), (1, 9, 2), (2, 2, 1)])
@pytest.mark.parametrize("share", [0.3, 0.8, 0.95, 1.0])
def test_slices_are_opened_as_by_scipy(shape: tuple[int, int, int], share: float) -> None:
    occupied = RNG.random(shape) < share
    assert np.array_equal(opened_in_plane(occupied), ndimage.binary_opening(occupied, np.ones((3, 3, 1))))


@pytest.mark.parametrize("before", [1, 2, 3, 7, 100, 224, 255, 320, 512])
@pytest.mark.parametrize("after", [1, 5, 256])
def test_the_spline_is_that_of_scipys_zoom(before: int, after: int) -> None:
    zoomed = [
        ndimage.zoom(impulse, after / before, order=2, mode="grid-constant", grid_mode=True)
        for impulse in np.eye(before)
    ]
    difference = np.abs(spline_matrix(before, after) - np.stack(zoomed, axis=1))
    assert difference.max() <= NEGLIGIBLE_WEIGHT + np.finfo(np.float32).eps


def test_the_longest_line_is_among_the_corners_of_the_convex_hull() -> None:
    for n in (3, 4, 9, 60):
        for _ in range(50):
            points = RNG.integers(0, 12, (n, 2)) @ np.array([[0.7, 0.0], [0.1, 0.9]])
            if np.linalg.matrix_rank(points - points[0]) < 2:
                continue
            corners = points[ConvexHull(points).vertices]
            apart = np.linalg.norm(corners[:, None] - corners[None], axis=2).max()
            one, other = longest_line(points)
            assert np.linalg.norm(one - other) == pytest.approx(apart, abs=1e-9)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (3.3, -2.2, 0.4), (0.5, 0.5, 6.5), (90.0, 0.0, 0.0)])
def test_planes_of_a_series_where_its_headers_say_it_lies(shift: tuple[float, float, float]) -> None:
    fixed = Volume(RNG.random((30, 40, 8)).astype(np.float32), np.diag([1.0, 1.0, 5.0, 1.0]))
    turned = np.array([[0.0, 1.1, 0.0, -4.0], [1.0, 0.0, 0.1, 2.0], [0.0, 0.1, 4.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    turned[:3, 3] += shift
    moving = Volume(RNG.random((36, 30, 9)).astype(np.float32), turned)
    for check in check_planes(fixed, moving, fixed.array):
        indices = np.indices(fixed.array.shape)
        plane = np.take(indices, check.index, axis=1 + check.axis)
        points = nib.affines.apply_affine(np.linalg.inv(turned) @ fixed.affine, plane.reshape(3, -1).T).T
        expected = ndimage.map_coordinates(moving.array, points, order=1, mode="constant", cval=0.0)
        white = moving.array.max() / 255
        assert np.abs(check.before.ravel() * white - expected.clip(0, None)).max() < 3 * white
