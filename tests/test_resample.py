"""Resampling: where the samples come from, where there are none, and what a thick slice is made of."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from scanweave.transforms.geometry import LPS_FROM_RAS, Grid, Volume
from scanweave.transforms.resample import from_sitk, resample, samples_per_voxel, to_sitk

FLOAT32_ULPS = 2e-5
"""Relative to values near 1: linear weights in float32."""


def oblique_affine(spacing=(1.0, 1.2, 3.0), degrees=(10.0, -20.0, 15.0), origin=(-12.0, 7.0, 30.0), flip=False):
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * spacing
    if flip:
        affine[:3, 0] *= -1
    affine[:3, 3] = origin
    return affine


def random_volume(shape=(12, 14, 9), affine=None, seed=0):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return Volume(values, oblique_affine() if affine is None else affine)


@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1.0, 1, 1, 1]), oblique_affine(), oblique_affine(flip=True)])
def test_on_its_own_grid_a_volume_is_itself(affine):
    volume = random_volume(affine=affine)
    values, inside = resample(volume, volume.grid)
    assert values.dtype == np.float32
    assert inside.dtype == bool
    assert inside.all()
    np.testing.assert_allclose(values, volume.array, atol=FLOAT32_ULPS)


def test_the_matrix_takes_a_grid_point_to_the_volume_s_point():
    volume = random_volume(affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    matrix = np.eye(4)
    matrix[0, 3] = 6.0  # three voxels: grid voxel i shows the volume's voxel i + 3
    values, inside = resample(volume, volume.grid, matrix, fill=-7.0)
    np.testing.assert_allclose(values[:-3], volume.array[3:], atol=FLOAT32_ULPS)
    assert (values[-3:] == -7.0).all()
    assert inside[:-3].all()
    assert not inside[-3:].any()


def test_a_linear_field_is_sampled_exactly_at_the_moved_points():
    slope, moving = np.array([0.3, -0.7, 0.2]), oblique_affine()
    grid = Grid((40, 40, 20), moving)
    indices = np.argwhere(np.ones(grid.shape))
    volume = Volume((grid.points(indices) @ slope).reshape(grid.shape), moving)
    matrix = oblique_affine(spacing=(1, 1, 1), degrees=(4, 3, -5), origin=(2.0, -1.0, 1.5))
    target = Grid((11, 9, 7), oblique_affine((1.1, 1.0, 3.0), (0, 5, 0), (-2.0, 22.0, 55.0), flip=True))
    points = target.points(np.argwhere(np.ones(target.shape)))
    expected = ((points @ matrix[:3, :3].T + matrix[:3, 3]) @ slope).reshape(target.shape)
    values, inside = resample(volume, target, matrix)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(values[inside], expected[inside], atol=2e-3)


def test_scipy_agrees():
    volume = random_volume((20, 22, 12))
    matrix = oblique_affine(spacing=(1, 1, 1), degrees=(4, 3, -5), origin=(2.0, -1.0, 1.5))
    grid = Grid((17, 19, 11), oblique_affine((1.1, 1.0, 3.0), flip=True, origin=(4.0, 10.0, 28.0)))
    to_index = np.linalg.inv(volume.affine) @ matrix @ grid.affine
    indices = np.argwhere(np.ones(grid.shape)) @ to_index[:3, :3].T + to_index[:3, 3]
    there = ((indices >= -0.5) & (indices <= np.array(volume.array.shape) - 0.5)).all(axis=1)
    expected = ndimage.map_coordinates(volume.array, indices.T, order=1, mode="nearest")
    values, inside = resample(volume, grid, matrix)
    assert 0.1 < there.mean() < 0.9
    np.testing.assert_array_equal(inside.ravel(), there)
    np.testing.assert_allclose(values.ravel(), np.where(there, expected, 0.0), atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flipped_array_needs_its_flipped_affine(axis):
    volume = random_volume()
    turn = np.eye(4)
    turn[axis, axis], turn[axis, 3] = -1.0, volume.array.shape[axis] - 1
    twin = Volume(np.flip(volume.array, axis), volume.affine @ turn)
    liar = Volume(np.flip(volume.array, axis), volume.affine)
    np.testing.assert_allclose(resample(twin, volume.grid)[0], volume.array, atol=FLOAT32_ULPS)
    assert np.abs(resample(liar, volume.grid)[0] - volume.array).max() > 1.0


@pytest.mark.parametrize(("offset", "seen"), [(-0.51, False), (-0.49, True), (4.49, True), (4.51, False)])
def test_the_field_of_view_ends_at_the_outer_voxels_edges(offset, seen):
    volume = Volume(np.arange(125.0).reshape(5, 5, 5), np.eye(4))
    grid = Grid((1, 1, 1), np.array([[1, 0, 0, offset], [0, 1, 0, 2], [0, 0, 1, 2], [0, 0, 0, 1.0]]))
    values, inside = resample(volume, grid, fill=-1.0)
    edge = volume.array[0 if offset < 2 else 4, 2, 2]
    assert inside.item() is seen
    assert values.item() == (edge if seen else -1.0)


def test_a_thick_slice_is_the_mean_of_the_thin_ones_through_it():
    volume = Volume(np.random.default_rng(3).normal(size=(6, 5, 40)), np.eye(4))
    grid = Grid((6, 5, 8), np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 5, 2], [0, 0, 0, 1.0]]))
    assert samples_per_voxel(volume.grid, grid) == (1, 1, 5)
    values, inside = resample(volume, grid)
    assert inside.all()
    np.testing.assert_allclose(values, volume.array.reshape(6, 5, 8, 5).mean(axis=3), atol=FLOAT32_ULPS)


def test_half_a_thick_slice_outside_counts_what_is_inside():
    volume = Volume(np.full((4, 4, 20), 3.0), np.eye(4))
    affine = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 4, -4.5], [0, 0, 0, 1.0]])
    values, inside = resample(volume, Grid((4, 4, 3), affine))  # slices -6.5..-2.5, -2.5..1.5, 1.5..5.5
    np.testing.assert_array_equal(inside[0, 0], [False, True, True])
    np.testing.assert_allclose(values[0, 0], [0.0, 3.0, 3.0])


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ((0.9, 0.9, 5.5), (0.9, 0.9, 5.5), (1, 1, 1)),
        ((1.0, 1.0, 1.0), (0.9, 0.9, 5.5), (1, 1, 6)),
        ((0.5, 0.5, 6.0), (1.0, 1.0, 3.0), (2, 2, 1)),
    ],
)
def test_samples_follow_the_resolutions(source, target, expected):
    tilt = oblique_affine(spacing=(1, 1, 1), degrees=(13.0, 0, 0), origin=(0, 0, 0))
    grids = [Grid((9, 9, 9), np.diag([*spacing, 1.0])) for spacing in (source, target)]
    assert samples_per_voxel(*grids) == expected
    assert samples_per_voxel(grids[0], grids[1], tilt)[2] == expected[2]


def test_inputs_are_left_alone():
    volume, matrix = random_volume(), np.eye(4)
    before = volume.array.copy(), volume.affine.copy(), matrix.copy()
    values, _ = resample(volume, volume.grid, matrix)
    values[:] = 99.0
    for kept, now in zip(before, (volume.array, volume.affine, matrix), strict=True):
        np.testing.assert_array_equal(kept, now)


@pytest.mark.parametrize("matrix", [np.eye(3), np.full((4, 4), np.nan)])
def test_a_broken_matrix_is_refused(matrix):
    volume = random_volume()
    with pytest.raises(ValueError, match="4x4"):
        resample(volume, volume.grid, matrix)


@pytest.mark.parametrize("flip", [False, True])
def test_itk_sees_the_same_points_in_lps(flip):
    volume = random_volume(affine=oblique_affine(flip=flip))
    image = to_sitk(volume)
    index = (3, 5, 2)
    assert image.GetPixelID() == sitk.sitkFloat32
    assert image[index] == volume.array[index]
    expected = LPS_FROM_RAS[:3, :3] @ volume.grid.points([index])[0]
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), expected, atol=1e-9)
    back = from_sitk(image)
    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-12)
