"""Volume and diameters of masks against brute force over scikit-image's outlines, in oblique and anisotropic grids."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial.transform import Rotation
from skimage import measure

from scanweave.transforms.geometry import Volume
from scanweave.transforms.measure_mask import MOST_PARTS, measure_mask

EXACT_MM = 1e-5
OBLIQUE = Rotation.from_euler("zyx", (12, -17, 23), degrees=True).as_matrix()


def affine_of(spacing, rotation=OBLIQUE, origin=(-70.0, 31.0, -12.0), shear=0.0):
    affine = np.eye(4)
    affine[:3, :3] = rotation @ (np.eye(3) + shear * np.eye(3, k=1)) @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


MASKS = arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.sampled_from([0, 0, 1]))
AFFINES = st.builds(
    affine_of,
    st.tuples(*[st.floats(0.3, 7)] * 3),
    st.builds(
        lambda x, y, z: Rotation.from_euler("zyx", (x, y, z), degrees=True).as_matrix(), *[st.floats(0, 360)] * 3
    ),
    shear=st.sampled_from([0.0, 0.3]),
)


def outlines(mask, slice_axis):
    """RAS mm of the outline of each region that is connected in one slice, as lists of closed curves (n, 3)."""
    for number, plane in enumerate(np.moveaxis(mask.array != 0, slice_axis, 0)):
        regions, count = measure.label(plane, connectivity=2, return_num=True)
        for region in range(1, count + 1):
            curves = measure.find_contours(np.pad(regions == region, 1).astype(float), 0.5, fully_connected="high")
            yield [mask.grid.points(np.insert(curve - 1, slice_axis, number, axis=1)) for curve in curves]


def brute_long(mask, slice_axis):
    """The longest distance of two vertices of one region's outline."""
    return max(
        np.linalg.norm(one - other)
        for curves in outlines(mask, slice_axis)
        for one, other in combinations(np.concatenate(curves), 2)
    )


def across(curves, place, along, normal):
    """How far apart the outermost points of the curves lie on the line across `along` at `place`."""
    heights = []
    for curve in curves:
        places, side = curve @ along - place, curve @ np.cross(normal, along)
        heights += list(side[np.abs(places) < EXACT_MM / 10])
        crosses = places[:-1] * places[1:] < 0
        share = places[:-1][crosses] / (places[:-1] - places[1:])[crosses]
        heights += list((1 - share) * side[:-1][crosses] + share * side[1:][crosses])
    return max(heights) - min(heights) if heights else 0.0


def check_against_brute_force(mask, slice_axis):
    size = measure_mask(mask, slice_axis)
    voxels = int((mask.array != 0).sum())
    assert size.volume_ml == pytest.approx(voxels * abs(np.linalg.det(mask.affine[:3, :3])) / 1000)
    if not voxels:
        assert (size.count, size.parts, size.diameters) == (0, (), None)
        return
    parts = measure.label(mask.array != 0, connectivity=3)
    sizes = sorted(np.bincount(parts.ravel())[1:], reverse=True)
    assert size.count == len(sizes)
    assert [part.voxels for part in size.parts] == sizes[:MOST_PARTS]
    found = size.diameters
    assert found.long_mm == pytest.approx(brute_long(mask, slice_axis), abs=EXACT_MM)
    assert max(part.diameters.long_mm for part in size.parts) <= found.long_mm + EXACT_MM
    for ends, length in ((found.long_ends, found.long_mm), (found.short_ends, found.short_mm)):
        assert np.linalg.norm(np.subtract(*ends)) == pytest.approx(length, abs=EXACT_MM)
        indices = (np.array(ends) - mask.affine[:3, 3]) @ np.linalg.inv(mask.affine[:3, :3]).T
        assert indices[:, slice_axis] == pytest.approx(found.slice_index, abs=EXACT_MM)
    along = np.subtract(*found.long_ends) / found.long_mm
    assert along @ np.subtract(*found.short_ends) == pytest.approx(0, abs=EXACT_MM)
    in_plane = [mask.affine[:3, axis] for axis in range(3) if axis != slice_axis]
    normal = np.cross(*in_plane) / np.linalg.norm(np.cross(*in_plane))
    (own,) = (curves for curves in outlines(mask, slice_axis) if holds(curves, found.long_ends))
    places = np.concatenate(own) @ along
    anywhere = np.random.default_rng(0).uniform(places.min(), places.max(), 20)
    tried = [across(own, place, along, normal) for place in (*places, *anywhere)]
    assert found.short_mm == pytest.approx(max(tried), abs=EXACT_MM)


def holds(curves, ends):
    """Whether both ends are vertices of the curves."""
    vertices = np.concatenate(curves)
    return all(np.linalg.norm(vertices - end, axis=1).min() < EXACT_MM for end in ends)


@settings(deadline=None, max_examples=50)
@given(MASKS, AFFINES, st.integers(0, 2))
def test_volume_parts_and_diameters_are_those_of_brute_force(array, affine, slice_axis):
    check_against_brute_force(Volume(array, affine), slice_axis)


def test_a_large_irregular_mask_too():
    noise = np.random.default_rng(0).normal(size=(30, 24, 3))
    smooth = ndimage.gaussian_filter(noise, (2, 2, 0.5))
    check_against_brute_force(Volume(smooth > np.percentile(smooth, 70), affine_of((0.9, 1.25, 5.5))), 2)


@settings(deadline=None, max_examples=25)
@given(MASKS, AFFINES, st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_how_voxels_are_stored_does_not_matter(array, affine, axes, flips):
    flipped = np.flip(array.transpose(axes), [n for n in range(3) if flips[n]])
    other = affine[:, [*axes, 3]].copy()
    for axis in (n for n in range(3) if flips[n]):
        other[:3, 3] += other[:3, axis] * (flipped.shape[axis] - 1)
        other[:3, axis] *= -1
    one, two = measure_mask(Volume(array, affine), 2), measure_mask(Volume(flipped, other), axes.index(2))
    assert one.volume_ml == pytest.approx(two.volume_ml) and one.count == two.count
    assert [part.voxels for part in one.parts] == [part.voxels for part in two.parts]
    if one.diameters:
        assert one.diameters.long_mm == pytest.approx(two.diameters.long_mm)


def test_a_voxel_is_as_long_and_as_wide_as_it_is():
    array = np.zeros((5, 6, 7), np.uint8)
    array[1, 2, 3] = 1
    size = measure_mask(Volume(array, affine_of((0.9, 1.25, 5.5))))
    assert (size.diameters.long_mm, size.diameters.short_mm) == pytest.approx((1.25, 0.9))
    assert size.diameters.slice_index == 3 and size.volume_ml == pytest.approx(0.9 * 1.25 * 5.5 / 1000)
    middle = np.mean(size.diameters.long_ends, axis=0)
    assert middle == pytest.approx(Volume(array, affine_of((0.9, 1.25, 5.5))).grid.points([(1, 2, 3)])[0])


def test_a_bar_is_measured_in_its_own_slice_and_parts_by_size():
    array = np.zeros((30, 30, 6), np.uint8)
    array[2:4, 2:22, 1] = 1  # 40 voxels, long in j
    array[10:26, 25:29, 3:5] = 1  # 128 voxels, shorter
    size = measure_mask(Volume(array, np.diag([1.0, 1.0, 4.0, 1.0])))
    assert [part.voxels for part in size.parts] == [128, 40]
    assert [part.diameters.slice_index for part in size.parts] == [3, 1]
    assert size.diameters == size.parts[1].diameters
    assert size.diameters.long_mm == pytest.approx(np.hypot(20, 1))
    assert size.parts[0].diameters.long_mm == pytest.approx(np.hypot(16, 3))


def test_regions_of_a_part_that_do_not_touch_in_a_slice_are_measured_apart():
    array = np.zeros((3, 20, 2), np.uint8)
    array[1, 0:3, 0] = array[1, 17:20, 0] = 1  # one part: a bridge joins them in the next slice,
    array[1, 2:18, 1] = 1  # which is the longest itself
    size = measure_mask(Volume(array, np.eye(4)))
    assert size.count == 1 and size.diameters.slice_index == 1
    assert size.diameters.long_mm == pytest.approx(16)


@pytest.mark.parametrize("radius", [4.0, 11.5, 30.0])
def test_a_disc_is_as_wide_as_it_is_within_a_voxel(radius):
    rows, columns = 0.9 * np.mgrid[-40:41, -40:41]
    disc = (rows - 0.2) ** 2 + (columns + 0.3) ** 2 < radius**2
    size = measure_mask(Volume(disc[:, :, None], np.diag([0.9, 0.9, 5.0, 1.0])))
    assert (size.diameters.long_mm, size.diameters.short_mm) == pytest.approx((2 * radius, 2 * radius), abs=0.9)


def test_many_specks_are_counted_and_the_largest_listed():
    array = np.zeros((40, 40, 3), np.uint8)
    array[::3, ::3, 1] = 1
    array[30:34, 30, 1] = 1
    size = measure_mask(Volume(array, np.eye(4)))
    assert size.count == measure.label(array, connectivity=3).max() > MOST_PARTS
    assert len(size.parts) == MOST_PARTS and size.parts[0].voxels == max(part.voxels for part in size.parts)


def test_a_thin_part_beyond_those_that_are_listed_still_counts_for_the_longest():
    array = np.zeros((90, 40, 8), np.uint8)
    for n in range(MOST_PARTS):
        array[4 * n : 4 * n + 3, 0:3, 0:7] = 1  # 63 voxels each
    array[0:50, 20, 3] = 1
    size = measure_mask(Volume(array, np.eye(4)))
    assert 50 not in [part.voxels for part in size.parts]
    assert size.diameters.long_mm == pytest.approx(50)


def test_the_mask_stays_as_it_was():
    array = np.zeros((4, 4, 4), np.uint8)
    array[1:3, 1, 1] = 7
    mask = Volume(array.copy(), np.eye(4))
    measure_mask(mask)
    assert np.array_equal(mask.array, array)
