"""Steps (3) and (4) against an independent computation, and the laws of every geometric step."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage.exposure import rescale_intensity
from skimage.transform import resize

from scanweave.pipeline.containers import Compose
from scanweave.transforms.axial_planes import AxialPlanesd, slice_angle
from scanweave.transforms.clear_background import ClearBackgroundd
from scanweave.transforms.crop_square import CropSquared
from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.image import Image
from scanweave.transforms.register_roles import _on_grid
from scanweave.transforms.resize_plane import ResizePlaned
from scanweave.transforms.restored import Restored, restored
from scanweave.transforms.scale_series import ScaleSeriesd
from scanweave.transforms.zscore_volume import ZScoreVolumed

PUBLISHED_TOLERANCE = 1e-4


def read_lgg(folder: Path) -> np.ndarray:
    """(slice, row, column, channel) uint8, slices in order of their number."""
    files = [f for f in folder.glob("*.tif") if not f.stem.endswith("_mask")]
    files.sort(key=lambda f: int(f.stem.rsplit("_", 1)[1]))
    return np.stack([tifffile.imread(f) for f in files])


def published(volume: np.ndarray) -> np.ndarray:
    """The training code's preprocessing as its paper and repository describe it, by scikit-image alone."""
    volume = volume.astype(np.float64)
    volume[volume < volume.max() * 0.1] = 0
    kept = np.argwhere(volume.max(axis=-1) > 0)
    (z0, y0, x0), (z1, y1, x1) = kept.min(axis=0), kept.max(axis=0) + 1
    volume = volume[z0:z1, y0:y1, x0:x1]
    side = max(volume.shape[1:3])
    before = [(side - n) // 2 for n in volume.shape[1:3]]
    after = [side - n - b for n, b in zip(volume.shape[1:3], before, strict=True)]
    volume = np.pad(volume, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)))
    shape = (len(volume), 256, 256, 3)
    volume = resize(volume, shape, order=2, mode="constant", cval=0, anti_aliasing=False, preserve_range=True)
    low, high = np.percentile(volume, (10, 99))
    volume = rescale_intensity(volume, in_range=(low, high), out_range=(0.0, 1.0))
    return (volume - volume.mean(axis=(0, 1, 2))) / volume.std(axis=(0, 1, 2))


@pytest.mark.parametrize("patient", ["TCGA_CS_4942_19970222", "TCGA_FG_7634_20000128", "TCGA_HT_8105_19980826"])
def test_model_input_equals_the_published_preprocessing(data_dir: Path, patient: str) -> None:
    volume = read_lgg(data_dir / "lgg" / "original" / patient)
    image = Image(np.ascontiguousarray(volume.astype(np.float32).transpose(3, 1, 2, 0)), np.eye(4))
    chain = Compose(
        [
            ClearBackgroundd("image"),
            CropSquared("image", opening=False),
            ResizePlaned("image", size=256),
            ZScoreVolumed(),
        ]
    )
    ours = chain({"image": image})["image"].array.transpose(3, 1, 2, 0)
    reference = published(volume)
    assert ours.shape == reference.shape
    interior = (slice(None), slice(2, -2), slice(2, -2))
    assert np.abs(ours - reference)[interior].max() < PUBLISHED_TOLERANCE
    # A z-score of each slice alone, the mistake of the public example, must not pass for it.
    slices = reference - reference.mean(axis=(1, 2), keepdims=True)
    slices /= reference.std(axis=(1, 2), keepdims=True) + 1e-9
    assert np.abs(ours - slices)[interior].max() > 0.1


def test_scaling_takes_the_percentile_inside_the_field_of_view() -> None:
    rng = np.random.default_rng(0)
    voxels = rng.uniform(0, 1000, (1, 40, 40, 10)).astype(np.float32)
    unseen = np.zeros(voxels.shape, dtype=bool)
    unseen[:, 20:] = True
    voxels[:, 20:] = 0
    data = {"pre": Image(voxels, np.eye(4)), "pre_unseen": Image(unseen, np.eye(4))}
    scaled = ScaleSeriesd("pre")(data)["pre"].array
    assert np.percentile(scaled[:, :20], 99.9) == pytest.approx(190, abs=0.1)
    assert scaled.max() <= 255 and scaled.min() >= 0
    assert data["pre"].array.max() > 900, "the input was changed"


def test_zscore_leaves_out_what_was_not_seen() -> None:
    rng = np.random.default_rng(1)
    voxels = rng.normal(100, 20, (2, 30, 30, 8)).astype(np.float32)
    unseen = np.zeros(voxels.shape, dtype=bool)
    unseen[1, :, :, 4:] = True
    voxels[1, :, :, 4:] = 0
    data = {"image": Image(voxels, np.eye(4)), "unseen": Image(unseen, np.eye(4))}
    result = ZScoreVolumed()(data)
    assert "unseen" not in result
    seen = result["image"].array[1, :, :, :4]
    assert seen.mean() == pytest.approx(0, abs=1e-4) and seen.std() == pytest.approx(1, abs=1e-4)


# --- laws of the geometric steps -----------------------------------------------------------------------------------


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """Rotation by Euler angles in degrees about x, y, z."""
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(angles)):
        turn = np.eye(3)
        i, j = [n for n in range(3) if n != axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


@st.composite
def head_grids(draw: st.DrawFn) -> Grid:
    """A head-sized grid of any orientation: oblique, flipped, permuted axes, anisotropic."""
    spacing = [draw(st.floats(1.3, 2.2)), draw(st.floats(1.3, 2.2)), draw(st.floats(1.5, 6.0))]
    shape = [round(200 / spacing[0]), round(220 / spacing[1]), round(160 / spacing[2])]
    order = draw(st.permutations(range(3)))
    flips = [draw(st.sampled_from((-1.0, 1.0))) for _ in range(3)]
    angle = st.floats(-40, 40)
    turn = rotation((draw(angle), draw(angle), draw(angle)))
    directions = turn @ np.eye(3)[:, order] @ np.diag(flips)
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(spacing)
    affine[:3, 3] = np.array([3.0, -7.0, 11.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def head_and_lesion(grid: Grid) -> tuple[Volume, Volume]:
    """A head (bright ellipsoid) and a smooth off-centre mask (1 inside, soft edge), given in RAS."""
    indices = np.indices(grid.shape).reshape(3, -1).T
    points = grid.points(indices) - np.array([3.0, -7.0, 11.0])
    head = (np.linalg.norm(points / [72, 88, 70], axis=1) < 1).astype(np.float32) * 400
    radius = np.linalg.norm((points - [26, 24, 12]) / [30, 26, 28], axis=1)
    lesion = np.clip((1.0 - radius) * 8 + 0.5, 0, 1).astype(np.float32)
    return Volume(head.reshape(grid.shape), grid.affine), Volume(lesion.reshape(grid.shape), grid.affine)


def model_space() -> Compose:
    return Compose(
        [
            AxialPlanesd(["flair", "image"], allow_missing_keys=True),
            ToImage(),
            CropSquared("image"),
            ResizePlaned("image", size=256),
        ]
    )


class ToImage:
    """Stands in for the stacking of roles: one channel, the reference's own."""

    def __call__(self, data: dict) -> dict:
        return {**data, "image": data["flair"]}


def there_and_back(head: Volume, lesion: Volume, *, flip: int | None = None) -> np.ndarray:
    """The lesion's way through model space: forward by the head's plan, as the network would see it, and back."""
    chain = model_space()
    data = chain({"flair": Image.of(head)})
    image = data["image"]
    # What a perfect network answers: the lesion sampled at the model's own voxel centres.
    from scanweave.transforms.resample import resample

    grid = image.grid
    answer, _ = resample(lesion, grid)
    if flip is not None:
        answer = np.flip(answer, axis=flip).copy()
    pred = image.with_array(np.ascontiguousarray(answer)[None])
    back = Restored("pred")({**data, "pred": pred})["pred"]
    assert back.array.shape[1:] == head.array.shape
    assert np.allclose(back.affine, head.affine, atol=1e-6)
    return back.array[0]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))


SLOW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@SLOW
@given(grid=head_grids())
def test_a_mask_survives_its_way_through_model_space(grid: Grid) -> None:
    head, lesion = head_and_lesion(grid)
    back = there_and_back(head, lesion)
    assert dice(back >= 0.5, lesion.array >= 0.5) > 0.98


@SLOW
@given(grid=head_grids(), axis=st.integers(0, 2))
def test_twin_with_a_flipped_axis_is_caught(grid: Grid, axis: int) -> None:
    head, lesion = head_and_lesion(grid)
    back = there_and_back(head, lesion, flip=axis)
    assert dice(back >= 0.5, lesion.array >= 0.5) < 0.9


@SLOW
@given(grid=head_grids())
def test_slices_lie_as_the_training_slices(grid: Grid) -> None:
    head, _ = head_and_lesion(grid)
    original = head.array.copy()
    moved = AxialPlanesd("flair")({"flair": Image.of(head)})["flair"]
    rows, columns, slices = moved.grid.directions.T
    assert rows[1] < 0 and abs(rows[1]) == max(abs(rows)), "rows run from anterior to posterior"
    assert columns[0] < 0 and abs(columns[0]) == max(abs(columns)), "columns run from right to left"
    assert slices[2] > 0
    angle = slice_angle(grid)
    if angle is None or angle > 35:
        assert np.allclose(moved.affine[2, 2], 3.0)
    assert np.array_equal(head.array, original), "the input was changed"


def test_how_an_isotropic_volume_is_stored_does_not_matter() -> None:
    """Nearly cubic voxels have no slice axis: two storages of one volume give one model input."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-70, -90, -60)
    grid = Grid((70, 90, 60), affine)
    _, lesion = head_and_lesion(grid)
    stored = lesion.array + 1
    turned = affine[:, [1, 2, 0, 3]]
    first, second = (
        AxialPlanesd("flair")({"flair": Image.of(Volume(array, where))})["flair"]
        for array, where in ((stored, affine), (stored.transpose(1, 2, 0), turned))
    )
    assert np.allclose(first.affine, second.affine) and first.affine[2, 2] == 3.0
    assert np.allclose(first.array, second.array, atol=1e-4)


def test_planes_beyond_an_oblique_flair_are_not_taken_for_data() -> None:
    """A slab turned by 45 degrees: the axial planes reach beyond it, and there nothing counts, in no channel."""
    affine = np.eye(4)
    affine[:3, :3] = rotation((45, 0, 0)) @ np.diag([2.0, 2.0, 5.0])
    affine[:3, 3] = -affine[:3, :3] @ np.array([40, 40, 10])
    flair = Volume(np.full((80, 80, 20), 100, dtype=np.float32), affine)
    data = AxialPlanesd("flair")({"flair": Image.of(flair)})
    beyond = data["flair_unseen"].array[0]
    assert 0.2 < beyond.mean() < 0.8
    assert (data["flair"].array[0][beyond] == 0).all() and (data["flair"].array[0][~beyond] > 99).all()

    rng = np.random.default_rng(0)
    moving = Volume(rng.uniform(50, 100, (90, 90, 60)).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    grid = data["flair"].grid
    centred = moving.affine.copy()
    centred[:3, 3] = -np.array([90, 90, 60])
    moved, unseen = _on_grid(Volume(moving.array, centred), grid, np.eye(4), data["flair_unseen"])
    assert (moved.array[0][beyond] == 0).all() and (unseen.array[0][beyond]).all()
    own = AxialPlanesd("flair")({"flair": Image.of(Volume(flair.array, np.diag([2.0, 2.0, 5.0, 1.0])))})
    assert "flair_unseen" not in own


@pytest.mark.parametrize("angle, own", [(34.0, True), (36.0, False)])
def test_planes_within_35_degrees_are_kept(angle: float, own: bool) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation((angle, 0, 0)) @ np.diag([1.0, 1.0, 5.0])
    voxels = np.arange(30 * 32 * 12, dtype=np.float32).reshape(30, 32, 12)
    moved = AxialPlanesd("flair")({"flair": Image.of(Volume(voxels, affine))})["flair"]
    assert (sorted(moved.array.shape[1:]) == [12, 30, 32]) is own
    assert (np.array_equal(np.sort(moved.array.ravel()), voxels.ravel())) is own


@SLOW
@given(
    shape=st.tuples(st.integers(5, 40), st.integers(5, 40), st.integers(3, 9)),
    seed=st.integers(0, 99),
)
def test_crop_is_undone_exactly(shape: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    voxels = rng.uniform(0, 1, shape).astype(np.float32) * (rng.uniform(0, 1, shape) > 0.7)
    crop = CropSquared("image", opening=False)
    before = Image.of(Volume(voxels, np.diag([2.0, 3.0, 5.0, 1.0])))
    after = crop({"image": before})["image"]
    assert after.array.shape[1] == after.array.shape[2]
    back = restored(after)
    assert np.array_equal(back.array[0], voxels)
    assert np.allclose(back.affine, before.affine)


def test_neck_and_vertex_of_a_resampled_scan_stay_out_of_the_statistics() -> None:
    """Six slices of head, then six that are nearly empty: only in a resampled volume do they count for nothing."""
    rng = np.random.default_rng(0)
    head = rng.uniform(50, 200, (3, 32, 32, 6)).astype(np.float32)
    tail = np.zeros_like(head)
    tail[:, :8, :8] = 100
    affine = np.eye(4)
    both = Image(np.concatenate([head, tail], axis=3), affine)
    alone = ZScoreVolumed()({"image": Image(head, affine)})["image"].array
    resampled = ZScoreVolumed()({"image": both, "resampled": ("flair",)})["image"].array
    native = ZScoreVolumed()({"image": both})["image"].array
    assert np.allclose(resampled[..., :6], alone, atol=1e-5)
    assert not np.allclose(native[..., :6], alone, atol=0.1)
