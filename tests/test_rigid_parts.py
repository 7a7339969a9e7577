"""What the registration is made of: samples, the metric and its derivative, descents, images made smaller."""

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.rigid.descent import descend
from scanweave.transforms.rigid.head import filled, head_mask
from scanweave.transforms.rigid.metric import Similarity
from scanweave.transforms.rigid.pose import TURN_RADIUS_MM, PoseFrame, rotations, turn_jacobians
from scanweave.transforms.rigid.pyramid import pyramid
from scanweave.transforms.rigid.samples import ScaledImage, draw_samples
from scanweave.transforms.rigid.sampling import Sampler, affine_points
from scanweave.transforms.rigid.settings import Descent
from scanweave.transforms.rigid.shrink import blur, shrink
from scanweave.transforms.rigid.starts import image_centre, lowest, mass_centre

RANDOM = np.random.default_rng(0)
AFFINE = np.array([[-2.0, 0.1, 0, 30], [0.1, 2.2, 0.3, -20], [0, -0.2, 5.0, 7], [0, 0, 0, 1]])
turns = st.tuples(*[st.floats(-2.0, 2.0)] * 3)


def smooth(shape, seed=0, sigma=2.0):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma).astype(np.float32)


def rows_of(matrices):
    return np.asarray(matrices, dtype=np.float64)


# --- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 5, 9), (2, 2, 2), (1, 4, 3)])
def test_samples_are_linear_and_slopes_their_derivative(shape):
    array = RANDOM.normal(size=shape).astype(np.float32)
    sampler = Sampler.of(array)
    top = np.array(shape)[:, None] - 1
    x = (RANDOM.random((3, 500)) * top).astype(np.float32)
    values, inside = sampler.values(x)
    assert inside.all()
    np.testing.assert_allclose(values, ndimage.map_coordinates(array, x, order=1), atol=1e-5)
    again, slopes, _ = sampler.slopes(x)
    np.testing.assert_allclose(again, values, atol=1e-6)
    step = np.float32(2**-6)
    for axis in (n for n in range(3) if shape[n] > 1):
        ahead = x.copy()
        ahead[axis] += step
        same_cell = np.floor(ahead[axis]) == np.floor(x[axis])
        rise = (sampler.values(ahead)[0] - values) / step
        np.testing.assert_allclose(slopes[axis][same_cell], rise[same_cell], atol=1e-3)


def test_outside_begins_beyond_the_margin():
    sampler = Sampler.of(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    x = np.array([[0, 0, 3], [0, 0, 3.4], [0, -0.6, 3], [1.2, 2, 3]], dtype=np.float32).T
    np.testing.assert_array_equal(sampler.values(x)[1], [True, False, False, False])
    np.testing.assert_array_equal(sampler.values(x, margin=0.5)[1], [True, True, False, True])
    assert sampler.values(x, margin=0.5)[0][1] == 3.0  # held between centre and edge


def test_affine_points():
    points = RANDOM.normal(size=(3, 50)).astype(np.float32)
    both = rows_of([AFFINE, np.eye(4)])
    found = affine_points(both, points)
    for n, matrix in enumerate(both):
        np.testing.assert_allclose(found[:, n], matrix[:3, :3] @ points + matrix[:3, 3:], atol=1e-4)


def test_samples_are_spread_and_drawn_alike():
    image = ScaledImage.of(smooth((20, 30, 10)), Grid((20, 30, 10), AFFINE), 16)
    frame = PoseFrame(image_centre(image))
    one, two = (draw_samples(image, frame, 1500, seed=3) for _ in range(2))
    assert one.points.tobytes() == two.points.tobytes() and one.rows.tobytes() == two.rows.tobytes()
    back = np.linalg.inv(AFFINE[:3, :3]) @ (one.points + frame.centre[:, None] - AFFINE[:3, 3:])
    cells = np.ravel_multi_index(np.rint(back).astype(int), (20, 30, 10)) // 4
    assert len(one.rows) == 1500 and len(np.unique(cells)) > 1300  # one of every four voxels, by and large
    np.testing.assert_allclose(
        one.rows, ndimage.map_coordinates(image.array, back, order=1, mode="nearest") - 0.5, atol=0.51
    )
    mask = np.zeros((20, 30, 10), dtype=bool)
    mask[5:9, 5:9, 5:9] = True
    inside = draw_samples(image, frame, 1500, seed=3, region=(image.grid, mask))
    back = np.linalg.inv(AFFINE[:3, :3]) @ (inside.points + frame.centre[:, None] - AFFINE[:3, 3:])
    assert len(inside.rows) == 64 and back.min() > 4.49 and back.max() < 8.51


# --- poses -----------------------------------------------------------------------------------------------------------


@given(turns)
def test_rotations_and_their_jacobian(turn):
    turn = np.array(turn)
    np.testing.assert_allclose(rotations(turn[None])[0], Rotation.from_rotvec(turn).as_matrix(), atol=1e-9)
    step = 1e-5
    for axis in np.eye(3) * step:
        change = rotations((turn + axis)[None])[0] @ rotations((turn - axis)[None])[0].T
        found = Rotation.from_matrix(change).as_rotvec() / (2 * step)
        np.testing.assert_allclose(turn_jacobians(turn[None])[0] @ (axis / step), found, atol=1e-5)


@given(turns, turns)
def test_a_pose_turns_about_the_centre(shift, turn):
    frame = PoseFrame(np.array([10.0, -20.0, 30.0]))
    (matrix,) = frame.matrices(np.array([[*shift, *np.multiply(turn, TURN_RADIUS_MM)]]))
    np.testing.assert_allclose((matrix @ [*frame.centre, 1])[:3], frame.centre + shift, atol=1e-9)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)


# --- the metric ------------------------------------------------------------------------------------------------------


def images(shape=(40, 44, 20), rim=6):
    """Of one pattern in two contrasts, the fixed one without a rim."""
    base = smooth(shape, 0, 3.0)
    other = np.abs(base - base.mean()) + 0.1 * smooth(shape, 1, 2.0)
    inner = base[rim:-rim, rim:-rim, rim:-rim]
    affine = AFFINE.copy()
    affine[:3, 3] += AFFINE[:3, :3].sum(axis=1) * rim
    return ScaledImage.of(inner, Grid(inner.shape, affine), 24), ScaledImage.of(other, Grid(shape, AFFINE), 24)


@pytest.fixture(scope="module")
def similarity():
    fixed, moving = images()
    return Similarity(draw_samples(fixed, PoseFrame(image_centre(fixed)), 12_000, 1), moving)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_the_gradient_is_the_value_s_derivative(similarity, pose):
    pose = np.array(pose)
    values, gradients = similarity.values_and_gradients(np.stack([pose, -pose]))
    np.testing.assert_allclose(values, similarity.values(np.stack([pose, -pose])), atol=1e-6)
    step = 0.01
    numeric = (similarity.values(pose + step * np.eye(6)) - similarity.values(pose - step * np.eye(6))) / (2 * step)
    assert np.linalg.norm(gradients[0] - numeric) < 0.05 * np.linalg.norm(numeric) + 2e-5


def test_many_poses_are_judged_as_one_by_one(similarity):
    poses = RANDOM.normal(size=(9, 6)) * 5
    together, gradients = similarity.values_and_gradients(poses)
    alone = [similarity.values_and_gradients(pose[None]) for pose in poses]
    np.testing.assert_array_equal(together, [value[0] for value, _ in alone])
    np.testing.assert_array_equal(gradients, [gradient[0] for _, gradient in alone])


def test_it_is_lowest_where_the_images_lie_alike(similarity):
    off = np.vstack([sign * 4.0 * np.eye(6) for sign in (1, -1)])
    here = similarity.values(np.zeros((1, 6)))[0]
    assert -2 <= here < similarity.values(off).min()


def test_images_that_do_not_meet_have_no_value(similarity):
    far = np.array([[500.0, 0, 0, 0, 0, 0]])
    values, gradients = similarity.values_and_gradients(far)
    assert np.isinf(values[0]) and not gradients.any()
    assert np.isinf(similarity.values(far)[0])


def test_a_single_value_tells_nothing():
    grid = Grid((20, 20, 10), AFFINE)
    fixed, _ = images()
    flat = ScaledImage.of(np.full((20, 20, 10), 5, dtype=np.float32), grid, 24)
    judged = Similarity(draw_samples(fixed, PoseFrame(image_centre(fixed)), 5000, 1), flat)
    values, gradients = judged.values_and_gradients(np.zeros((1, 6)))
    assert np.isinf(values[0]) and not gradients.any()


# --- descents and starts ---------------------------------------------------------------------------------------------

HOW = Descent(0, first_mm=1.0, longest_mm=3.0, tolerance_mm=1e-6, evaluations=60)


def test_a_valley_is_followed_to_its_bottom():
    asked = []

    def valley(places):
        asked.append(len(places))
        x, y = places.T
        gradients = np.stack([2 * (x - 1) - 40 * x * (y - x * x), 20 * (y - x * x)], axis=1)
        return (x - 1) ** 2 + 10 * (y - x * x) ** 2, gradients

    found = descend(valley, [np.array([-1.2, 1.0]), np.array([3.0, 3.0]), np.ones(2)], HOW)
    for value, place in found:
        np.testing.assert_allclose(place, [1, 1], atol=1e-4)
        assert value < 1e-8
    assert asked[0] == 3 and len(asked) <= HOW.evaluations


def test_a_descent_keeps_to_its_evaluations_and_never_rises():
    def rough(places):
        noise = np.sin(places * 1e4).sum(axis=1)
        return (places**2).sum(axis=1) + noise, 2 * places

    few = Descent(0, first_mm=1.0, longest_mm=3.0, tolerance_mm=1e-9, evaluations=7)
    start = np.array([3.0, -2.0])
    asked = []
    ((value, place),) = descend(lambda places: (asked.append(1), rough(places))[1], [start], few)
    assert len(asked) <= 7
    assert value <= rough(start[None])[0][0] and value == rough(place[None])[0][0]


def test_a_gradient_that_lies_leads_nowhere():
    ((value, place),) = descend(lambda places: ((places**2).sum(axis=1), -2 * places), [np.array([3.0, -2.0])], HOW)
    np.testing.assert_array_equal(place, [3, -2])
    assert value == 13


def test_no_value_no_descent():
    nowhere = descend(lambda places: (np.full(len(places), np.inf), np.zeros_like(places)), [np.ones(6)], HOW)
    assert np.isinf(nowhere[0][0])
    assert descend(lambda places: (places, places), [], HOW) == []


def test_the_lowest_are_kept_apart():
    poses = np.array([[0.0, 0], [1, 0], [10, 0], [20, 0], [30, 0]])
    kept = lowest(poses, np.array([2.0, 1.0, 3.0, np.inf, 4.0]), kept=3, apart_mm=5)
    np.testing.assert_array_equal(kept, [[1, 0], [10, 0], [30, 0]])


def test_centres():
    array = np.zeros((10, 12, 8), dtype=np.float32)
    array[2:5, 3:6, 4] = 7
    image = ScaledImage.of(array, Grid(array.shape, AFFINE), 16)
    np.testing.assert_allclose(mass_centre(image), (AFFINE @ [3, 4, 4, 1])[:3], atol=1e-4)
    np.testing.assert_allclose(image_centre(image), (AFFINE @ [4.5, 5.5, 3.5, 1])[:3])


# --- smaller images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_shrinking_means_blocks_and_keeps_places(order, kind):
    array = np.asarray(RANDOM.integers(0, 900, (9, 8, 5)), dtype=kind, order=order)
    small = shrink(Volume(array, AFFINE), (2, 3, 1))
    assert small.array.shape == (4, 2, 5) and small.array.dtype == np.float32
    expected = array[:8, :6].reshape(4, 2, 2, 3, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(small.array, expected, rtol=1e-6)
    corners = [
        [index * factor + (factor - 1) / 2 for index, factor in zip(at, (2, 3, 1), strict=True)]
        for at in product((0, 1), repeat=3)
    ]
    np.testing.assert_allclose(
        small.grid.points(list(product((0, 1), repeat=3))), Grid(array.shape, AFFINE).points(corners)
    )


def test_blur_is_a_gaussian():
    array = smooth((20, 18, 16), sigma=1.0)
    expected = ndimage.gaussian_filter(array, (1.2, 0.8, 0), mode="nearest", truncate=3)
    np.testing.assert_allclose(blur(array, np.array([1.2, 0.8, 0])), expected, atol=0.02 * array.std())
    assert blur(np.ones((5, 5, 5), dtype=np.float32), np.ones(3)) == pytest.approx(1)


def test_holes_are_filled_plane_by_plane():
    mask = np.zeros((8, 9, 3), dtype=bool)
    mask[1:7, 1:7, :] = True
    mask[3:5, 3:5, :] = False
    mask[3:5, 4:, 1] = False  # open to the side in this plane alone
    expected = np.stack([ndimage.binary_fill_holes(mask[:, :, k]) for k in range(3)], axis=2)
    np.testing.assert_array_equal(filled(mask), expected)
    assert not expected[4, 5, 1]


def test_the_head_is_the_largest_body():
    array = np.zeros((40, 40, 20), dtype=np.int16)
    array[5:25, 5:25, 4:16] = 300
    array[10:20, 10:20, 8:12] = 0
    array[32:36, 32:36, 4:8] = 500
    head = head_mask(Volume(array, np.eye(4)))
    assert head[15, 15, 10] and head[6, 6, 5] and not head[33, 33, 5] and not head[28, 28, 10]
    assert not head_mask(Volume(np.zeros((5, 5, 5)), np.eye(4))).any()


def test_a_large_volume_is_not_copied():
    """0.5 mm isotropic volumes have 90 million voxels: a pyramid may need a fraction of what they hold."""
    import tracemalloc

    volume = Volume(np.ones((240, 240, 240), dtype=np.int16), np.diag([0.5, 0.5, 0.5, 1]))
    tracemalloc.start()
    try:
        levels = pyramid(volume).levels
        assert tracemalloc.get_traced_memory()[1] < volume.array.nbytes
    finally:
        tracemalloc.stop()
    assert [level.grid.shape for level in levels] == [(20, 20, 20), (30, 30, 30), (60, 60, 60)] or levels[
        -1
    ].grid.shape == (60, 60, 60)


# --- the whole -------------------------------------------------------------------------------------------------------

REGISTERS = """
import sys
import numpy as np
from scanweave.transforms.geometry import Volume
from scanweave.transforms.rigid.estimate import estimate_rigid
i, j, k = np.mgrid[:40, :44, :22]
def head(shift):
    inside = ((i - 20 - shift) / 14) ** 2 + ((j - 22) / 17) ** 2 + ((k - 11) / 9) ** 2
    values = (inside < 1) * (60 + 40 * np.sin(i / 3 + j / 4) * np.cos(k / 2))
    return Volume(values.astype(np.float32), np.diag([4.0, 4, 6, 1]))
found = estimate_rigid(head(0), head(2), try_identity=True)
print(found.matrix_ras.tobytes().hex(), sorted(found.after.items()))
print([name for name in ("scipy", "torch", "monai", "highdicom") if name in sys.modules])
"""


def test_bits_and_imports_in_a_process_of_its_own():
    """Threads of the linear algebra libraries are set before numpy is imported; nothing slow is imported at all."""
    said = []
    for threads in ("1", "4"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        ran = subprocess.run(
            [sys.executable, "-c", REGISTERS], env=environment, capture_output=True, text=True, check=True
        )
        said.append(ran.stdout.splitlines())
    assert said[0] == said[1]
    assert said[0][1] == "[]"
