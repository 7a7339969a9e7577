"""Rigid registration: found on phantoms and real heads, the same to the bit, and flagged where it cannot be right."""

from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from scanweave.transforms.geometry import LPS_FROM_RAS, Grid, Volume
from scanweave.transforms.resample import resample
from scanweave.transforms.rigid.estimate import estimate_rigid
from scanweave.transforms.rigid.head import head_mask
from scanweave.transforms.rigid.pyramid import pyramid
from scanweave.transforms.rigid.quality import MIN_MARGIN, MIN_SHARPNESS, judge
from scanweave.transforms.rigid.settings import RigidSettings

WITHIN_MM = 1.0
"""What methods of registration agree on is 0.3..0.5 mm on thick slices."""

# centre and half axes (RAS mm), then T1 and FLAIR brightness; later ones lie over earlier ones
SCALP, SKULL, CSF, GREY, WHITE = (300, 250), (40, 30), (60, 40), (130, 180), (190, 140)
HEAD = (
    ((0, 96, -28), (14, 22, 20), SCALP),  # nose
    ((-74, -8, -20), (14, 16, 24), SCALP),
    ((74, -8, -20), (14, 16, 24), SCALP),
    ((0, -30, -80), (52, 50, 60), SCALP),  # neck
    ((0, 0, 0), (72, 95, 78), SCALP),
    ((0, 0, 0), (66, 88, 72), SKULL),
    ((-30, 72, -28), (16, 14, 13), SCALP),
    ((30, 72, -28), (16, 14, 13), SCALP),
    ((-30, 74, -28), (11, 11, 11), CSF),
    ((30, 74, -28), (11, 11, 11), CSF),
    ((0, -6, 2), (61, 76, 64), CSF),
    ((-27, -2, 4), (34, 76, 58), GREY),
    ((27, -2, 2), (33, 75, 59), GREY),
    ((-26, -4, 6), (24, 60, 42), WHITE),
    ((27, 0, 3), (25, 58, 44), WHITE),
    ((-12, 5, 8), (7, 30, 12), CSF),
    ((12, 3, 7), (8, 31, 11), CSF),
    ((30, 40, 10), (12, 14, 12), (150, 290)),
    ((-30, -50, -20), (14, 12, 10), GREY),
    ((0, -55, -45), (40, 25, 18), GREY),
)
OTHER_HEAD = tuple(
    (np.multiply(centre, (1, 0.8, 1.3)) + np.multiply((2, -3, 1), i > 2), np.multiply(axes, (1.06, 0.92, 1.03)), tissue)
    for i, (centre, axes, tissue) in enumerate(HEAD)
)


def rigid(shift, degrees):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees)).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def head(contrast, grid, matrix=None, seed=0, structures=HEAD):
    """The phantom where `matrix` (phantom to scanner, mm) put it, drawn on `grid` point by point."""
    points = grid.points(np.argwhere(np.ones(grid.shape)))
    to_phantom = np.linalg.inv(np.eye(4) if matrix is None else matrix)
    points = points @ to_phantom[:3, :3].T + to_phantom[:3, 3]
    values = np.zeros(len(points))
    folds = np.sin((points + np.array([0, 3, 5])) / [6.0, 5.0, 8.0]).prod(axis=1) > 0.1
    for centre, axes, tissue in structures:
        inside = (((points - centre) / axes) ** 2).sum(axis=1) < 1
        values[inside] = tissue[contrast]
        values[inside & folds & (tissue == GREY)] = CSF[contrast]  # some hundred sulci
    noise = np.random.default_rng(seed).normal(scale=6.0, size=values.shape)
    return Volume(np.abs(values + noise).reshape(grid.shape).astype(np.int16), grid.affine)


def oblique_grid(shape, spacing, degrees):
    affine = rigid((0, 0, 0), degrees) @ np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


FLAIR_GRID = oblique_grid((64, 76, 26), (2.8, 2.8, 6.0), (6, -4, 3))
T1_GRID = oblique_grid((70, 70, 28), (2.9, 2.9, 5.6), (-5, 2, 0))
FLAIR = head(1, FLAIR_GRID)
FLAIR_HEAD = FLAIR_GRID.points(np.argwhere(head_mask(FLAIR)))


def mean_distance_mm(one, two, points):
    return float(np.linalg.norm(points @ (one - two)[:3, :3].T + (one - two)[:3, 3], axis=1).mean())


def head_points(volume):
    """RAS mm of the head's voxels, one in 64."""
    return volume.grid.points(np.argwhere(head_mask(volume))[::64])


@pytest.mark.parametrize("try_identity", [False, True])
@pytest.mark.parametrize(
    ("shift", "degrees"), [((0, 0, 0), (0, 0, 0)), ((6, -9, 8), (4, 3, -6)), ((-8, 10, -14), (14, -8, 9))]
)
def test_a_moved_phantom_is_found(shift, degrees, try_identity):
    moved = rigid(shift, degrees)  # takes a point of the FLAIR's head to the T1's
    result = estimate_rigid(FLAIR, head(0, T1_GRID, moved, seed=1), try_identity=try_identity)
    assert mean_distance_mm(result.matrix_ras, moved, FLAIR_HEAD) < WITHIN_MM
    assert result.displacement_mm == pytest.approx(mean_distance_mm(moved, np.eye(4), FLAIR_HEAD), abs=WITHIN_MM)
    assert (result.flagged, result.flag_reason) == (False, "")
    assert result.after["nmi"] > result.before["nmi"] - 0.01
    rotation = result.matrix_ras[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_the_transform_and_the_resampling_agree_on_the_direction():
    moved = rigid((6, -9, 8), (4, 3, -6))
    still, moving = head(0, FLAIR_GRID, seed=2), head(0, T1_GRID, moved, seed=1)
    result = estimate_rigid(FLAIR, moving, try_identity=True)
    there = np.corrcoef(resample(moving, FLAIR_GRID, result.matrix_ras)[0].ravel(), still.array.ravel())[0, 1]
    back = np.corrcoef(resample(moving, FLAIR_GRID, np.linalg.inv(result.matrix_ras))[0].ravel(), still.array.ravel())[
        0, 1
    ]
    assert there > 0.9
    assert there > back + 0.1


def test_bits_do_not_depend_on_threads():
    moving = head(0, T1_GRID, rigid((6, -9, 8), (4, 3, -6)), seed=1)
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    try:
        results = []
        for threads in (1, 4):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            results += [estimate_rigid(FLAIR, moving, try_identity=True) for _ in range(2)]
            assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads
        with ThreadPoolExecutor(3) as pool:
            results += pool.map(lambda _: estimate_rigid(FLAIR, moving, try_identity=True), range(3))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert len({result.matrix_ras.tobytes() for result in results}) == 1
    assert all(result.after == results[0].after and result.before == results[0].before for result in results)


def test_inputs_are_left_alone():
    moving = head(0, T1_GRID, seed=1)
    kept = FLAIR.array.copy(), FLAIR.affine.copy(), moving.array.copy(), moving.affine.copy()
    estimate_rigid(FLAIR, moving, try_identity=True)
    for before, now in zip(kept, (FLAIR.array, FLAIR.affine, moving.array, moving.affine), strict=True):
        np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize("kind", ["another head", "noise", "one value", "a small box"])
def test_what_cannot_be_aligned_is_flagged(kind):
    random = np.random.default_rng(4)
    box = np.zeros(T1_GRID.shape)
    box[20:40, 25:45, 8:18] = 100 + random.normal(size=(20, 20, 10))
    moving = {
        "another head": head(0, T1_GRID, structures=OTHER_HEAD),
        "noise": Volume(random.normal(300, 100, T1_GRID.shape), T1_GRID.affine),
        "one value": Volume(np.full(T1_GRID.shape, 5.0), T1_GRID.affine),
        "a small box": Volume(box, T1_GRID.affine),
    }[kind]
    result = estimate_rigid(FLAIR, moving, try_identity=True)
    assert result.flagged
    assert result.flag_reason
    assert np.isfinite(result.matrix_ras).all()
    assert all(np.isfinite(list(result.after.values())))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_pose_five_millimetres_off_is_flagged(axis):
    moving = head(0, T1_GRID, seed=1)
    off = rigid(5.0 * np.eye(3)[axis], (0, 0, 0))
    right, wrong = (judge(pyramid(FLAIR), pyramid(moving), pose) for pose in (np.eye(4), off))
    assert right.reason == ""
    assert right.after["sharpness"] > MIN_SHARPNESS
    assert right.after["margin"] > MIN_MARGIN
    assert wrong.reason
    assert wrong.displacement_mm == pytest.approx(5.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_three_millimetres_off_a_neighbour_fits_better(axis):
    off = judge(pyramid(FLAIR), pyramid(head(0, T1_GRID, seed=1)), rigid(3.0 * np.eye(3)[axis], (0, 0, 0)))
    assert off.after["margin"] < MIN_MARGIN
    assert off.reason


def test_planes_may_differ():
    """A sagittal series against an axial one: nothing but the affines says which voxel axis is which."""
    affine = np.array([[0, 0, 5.0, -75], [-3.0, 0, 0, 105], [0, 3.0, 0, -105], [0, 0, 0, 1]])
    moved = rigid((6, -9, 8), (4, 3, -6))
    result = estimate_rigid(FLAIR, head(0, Grid((70, 70, 31), affine), moved, seed=1), try_identity=False)
    assert mean_distance_mm(result.matrix_ras, moved, FLAIR_HEAD) < WITHIN_MM
    assert not result.flagged


@pytest.mark.parametrize("cut", [np.s_[:, :, 9:], np.s_[:, 22:, :], np.s_[24:, :, :]])
def test_a_third_of_the_head_out_of_view_is_no_hindrance(cut):
    moved = rigid((6, -9, 8), (4, 3, -6))
    whole = head(0, T1_GRID, moved, seed=1)
    affine = whole.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start or 0 for part in cut]
    result = estimate_rigid(FLAIR, Volume(whole.array[cut], affine), try_identity=False)
    assert mean_distance_mm(result.matrix_ras, moved, FLAIR_HEAD) < 2 * WITHIN_MM


@pytest.mark.parametrize("shape", [(70, 70, 1), (1, 70, 28), (2, 2, 2)])
def test_hardly_any_voxels_end_flagged(shape):
    sliver = Volume(np.random.default_rng(0).normal(100, 9, shape), T1_GRID.affine)
    for fixed, moving in ((FLAIR, sliver), (sliver, FLAIR), (sliver, sliver)):
        result = estimate_rigid(fixed, moving, try_identity=True)
        assert np.isfinite(result.matrix_ras).all()
        assert result.flagged or fixed is moving


def test_series_that_do_not_meet_stay_where_they_are():
    blank = Volume(np.zeros(T1_GRID.shape, dtype=np.int16), T1_GRID.affine)
    for fixed, moving in ((FLAIR, blank), (blank, FLAIR)):
        result = estimate_rigid(fixed, moving, try_identity=False)
        np.testing.assert_array_equal(result.matrix_ras, np.eye(4))
        assert result.flagged and result.displacement_mm == 0


def test_a_pyramid_made_once_serves_every_series():
    moving = head(0, T1_GRID, rigid((6, -9, 8), (4, 3, -6)), seed=1)
    shared = pyramid(FLAIR)
    one, two = (estimate_rigid(fixed, moving, try_identity=True) for fixed in (FLAIR, shared))
    assert one.matrix_ras.tobytes() == two.matrix_ras.tobytes() and one.after == two.after


def test_half_a_head_is_flagged():
    moving = head(0, T1_GRID, seed=1)
    below = Volume(moving.array[:, :, :12], moving.affine)
    quality = judge(pyramid(FLAIR), pyramid(below), np.eye(4))
    assert quality.after["head_in_view"] < 0.5
    assert quality.reason


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((208, 256, 26), (0.8984, 0.8984, 5.5), [(26, 32, 26), (52, 64, 26), (104, 128, 26)]),
        ((280, 320, 22), (0.6875, 0.6875, 6.5), [(23, 26, 22), (46, 53, 22), (93, 106, 22)]),
        ((180, 240, 240), (1.0, 1.0, 1.0), [(22, 30, 30), (45, 60, 60), (90, 120, 120)]),
        ((35, 50, 35), (1.0, 1.0, 1.0), [(35, 25, 35)] * 3),
    ],
)
def test_levels_have_the_same_millimetres_on_every_scan(shape, spacing, expected):
    volume = Volume(np.zeros(shape, dtype=np.uint8), np.diag([*spacing, 1.0]))
    assert [level.grid.shape for level in pyramid(volume).levels] == expected


def test_settings_that_mean_nothing_are_refused():
    for nonsense in ({"levels": ()}, {"starts_kept": 0}, {"seed": 0}, {"glances_kept": 0}):
        with pytest.raises(ValueError, match="expected"):
            RigidSettings(**nonsense)


# Real heads


@pytest.fixture(scope="module")
def tcga(data_dir):
    def load(name):
        image = nib.load(data_dir / "tcga-fg-6692" / f"{name}.nii.gz")
        return Volume(np.asarray(image.dataobj), image.affine)

    return {name: load(name) for name in ("flair", "t1", "t1c")}


@pytest.fixture(scope="module")
def siemens(data_dir):
    import highdicom
    import pydicom

    def load(folder):
        files = sorted((data_dir / "study-siemens" / folder).glob("*.dcm"))
        volume = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in files])
        order = [2, 1, 0, 3]  # columns, rows, slices
        return Volume(volume.array.transpose(2, 1, 0), (LPS_FROM_RAS @ volume.affine)[:, order])

    folders = {"flair": "36468-FLAIRreg-58706", "t1": "26401-T1prereg-52906", "t1c": "11-T1post-18670"}
    return {name: load(folder) for name, folder in folders.items()}


def test_tcga_moves_as_other_programs_found(tcga):
    points = head_points(tcga["flair"])
    to_t1 = estimate_rigid(tcga["flair"], tcga["t1"], try_identity=True)
    to_t1c = estimate_rigid(tcga["flair"], tcga["t1c"], try_identity=True)
    assert not to_t1.flagged
    assert not to_t1c.flagged
    assert to_t1.displacement_mm == pytest.approx(17.6, abs=1.0)
    assert to_t1c.displacement_mm == pytest.approx(20.3, abs=1.5)  # 18.4 within the brain, nearer the turn's centre
    assert to_t1.after["nmi"] > to_t1.before["nmi"] + 0.05
    between = estimate_rigid(tcga["t1"], tcga["t1c"], try_identity=True).matrix_ras
    assert mean_distance_mm(between @ to_t1.matrix_ras, to_t1c.matrix_ras, points) < 1.5


def test_siemens_is_already_aligned(siemens):
    result = estimate_rigid(siemens["flair"], siemens["t1"], try_identity=True)
    assert result.displacement_mm < WITHIN_MM
    assert not result.flagged


@pytest.mark.parametrize(("shift", "degrees"), [((9, -8, 9), (7, 6, -8)), ((-4, 3, -14), (-12, 0, 2))])
def test_a_rewritten_siemens_header_is_undone(siemens, shift, degrees):
    rewritten = rigid(shift, degrees)
    moving = Volume(siemens["t1c"].array, rewritten @ siemens["t1c"].affine)
    result = estimate_rigid(siemens["flair"], moving, try_identity=False)
    points = head_points(siemens["flair"])
    assert mean_distance_mm(result.matrix_ras, rewritten, points) < WITHIN_MM
    assert not result.flagged


@pytest.mark.parametrize("name", ["t1", "t1c"])
def test_another_patient_s_head_is_flagged(tcga, siemens, name):
    assert estimate_rigid(siemens["flair"], tcga[name], try_identity=True).flagged
