"""The distance of a model input to the training data: its laws, the file, what a run says of it."""

import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_pages import Page
from scipy.stats import wasserstein_distance
from studies import Trial

from scanweave.errors import Code, EnvironmentFailure
from scanweave.pipeline.bundle import build_evaluator, find_bundle
from scanweave.pipeline.result import result_record
from scanweave.pipeline.training.input_reference import input_reference
from scanweave.transforms.image import Image
from scanweave.transforms.input_distance import COUNT, InputDistance, InputReference, distance, quantile_function
from scanweave.transforms.measure_input import MeasureInputd

pytest_plugins = ["study_fixtures"]

FILE = Path("configs", "input_reference.json")
ROLES = ("pre", "flair", "post")
SHIPPED = find_bundle().root / FILE
ROUNDING, FLOAT_NOISE = 1e-4, 1e-9
UNLIKE = "unlike the training patients'"
LARGEST_FILE = 30_000


def volumes(count: int = 6, seed: int = 0) -> Iterator[np.ndarray]:
    """Two channels, each patient of another size, contrast and background share."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        head = rng.gamma(2.0 + number / 4, 1.0, (2, 12, 12, 4 + 3 * number))
        yield np.where(rng.uniform(size=head.shape) < 0.3 + 0.05 * number, -1.0, head).astype(np.float32)


# --- the distance ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), size=st.integers(1, 3000), other_size=st.integers(1, 3000))
def test_distance_is_scipys_to_the_quantiles_resolution(seed: int, size: int, other_size: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.uniform(-1, 3, size), rng.uniform(0, 1, other_size) ** 3
    exact = wasserstein_distance(ours, theirs)
    # Either quantile function is off by its own rise within one of COUNT equal parts, and by no more in all.
    resolution = (np.ptp(ours) + np.ptp(theirs)) / COUNT + FLOAT_NOISE
    assert distance(quantile_function(ours), quantile_function(theirs)) == pytest.approx(exact, abs=resolution)


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-5, 5), factor=st.floats(0.1, 10), seed=st.integers(0, 99))
def test_laws_of_the_distance(shift: float, factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.normal(size=(2, 500))
    a, b = quantile_function(ours), quantile_function(theirs)
    assert distance(a, a) == 0 and distance(a, b) == distance(b, a) > 0
    assert distance(a, quantile_function(ours + shift)) == pytest.approx(abs(shift), abs=1e-9)
    assert distance(factor * a, factor * b) == pytest.approx(factor * distance(a, b))
    assert np.array_equal(quantile_function(rng.permutation(ours).reshape(5, 10, 10)), a), "places do not matter"
    assert np.array_equal(quantile_function(np.tile(ours, 3)), a), "nor does the number of voxels"


def test_a_channel_that_is_not_finite_is_unlike() -> None:
    assert InputDistance(float("nan"), 0.5).unlike and InputDistance(float("inf"), 0.5).unlike
    assert InputDistance(0.51, 0.5).unlike and not InputDistance(0.5, 0.5).unlike


# --- the reference --------------------------------------------------------------------------------------------------


def test_reference_is_the_mean_and_its_limit_leaves_each_patient_out() -> None:
    made = input_reference(volumes(), ("a", "b"))
    assert made.patients == 6
    for channel, role in enumerate(("a", "b")):
        own = [quantile_function(volume[channel]) for volume in volumes()]
        assert np.allclose(made.quantiles[role], np.mean(own, axis=0)), "a large volume weighs like a small one"
        others = [np.mean(own[:n] + own[n + 1 :], axis=0) for n in range(len(own))]
        distances = [np.abs(a - b).mean() for a, b in zip(own, others, strict=True)]
        assert made.limits[role] == pytest.approx(np.percentile(distances, 99))


def test_volumes_are_let_go_one_by_one() -> None:
    alive: list[weakref.ref] = []

    def watched() -> Iterator[np.ndarray]:
        for volume in volumes():
            assert sum(item() is not None for item in alive) <= 1
            alive.append(weakref.ref(volume))
            yield volume

    input_reference(watched(), ("a", "b"))
    assert len(alive) == 6


def test_no_reference_of_one_patient_or_of_other_channels() -> None:
    with pytest.raises(ValueError, match="two patients or more, found 1"):
        input_reference(volumes(1), ("a", "b"))
    with pytest.raises(ValueError, match="3 channels"):
        input_reference(volumes(), ("a", "b", "c"))


def test_file_gives_back_what_was_written(tmp_path: Path) -> None:
    made = input_reference(volumes(), ("a", "b"))
    made.write(tmp_path / "reference.json")
    read = InputReference.read(tmp_path / "reference.json")
    assert (read.patients, list(read.quantiles)) == (6, ["a", "b"])
    for role in read.quantiles:
        assert np.allclose(read.quantiles[role], made.quantiles[role], atol=ROUNDING)
        assert read.limits[role] == pytest.approx(made.limits[role], abs=ROUNDING)


BROKEN: dict[str, Callable[[dict], object]] = {
    "no key": lambda d: d.pop("limits"),
    "unknown key": lambda d: d.update(more=1),
    "patients as text": lambda d: d.update(patients="100"),
    "one patient": lambda d: d.update(patients=1),
    "no role": lambda d: d.update(quantiles={}, limits={}),
    "limit of another role": lambda d: d["limits"].update(t2=0.1),
    "limit missing": lambda d: d["limits"].pop("pre"),
    "limit 0": lambda d: d["limits"].update(pre=0),
    "limit NaN": lambda d: d["limits"].update(pre=float("nan")),
    "limit true": lambda d: d["limits"].update(pre=True),
    "limit as text": lambda d: d["limits"].update(pre="0.3"),
    "one quantile less": lambda d: d["quantiles"]["pre"].pop(),
    "quantile NaN": lambda d: d["quantiles"]["pre"].__setitem__(3, float("nan")),
    "quantile null": lambda d: d["quantiles"]["pre"].__setitem__(3, None),
    "quantiles fall": lambda d: d["quantiles"]["pre"].reverse(),
    "quantiles as a number": lambda d: d["quantiles"].update(pre=3),
    "quantiles as a list": lambda d: d.update(quantiles=[1, 2]),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused(change: Callable[[dict], object], tmp_path: Path) -> None:
    document = json.loads(SHIPPED.read_text())
    change(document)
    file = tmp_path / FILE.name
    file.write_text(json.dumps(document))
    with pytest.raises(EnvironmentFailure) as caught:
        InputReference.read(file)
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == (Code.BUNDLE_INVALID, FILE.name)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
def test_what_is_no_reference_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / FILE.name
    file.write_bytes(content)
    with pytest.raises(EnvironmentFailure) as caught:
        InputReference.read(file)
    assert caught.value.code == Code.BUNDLE_INVALID


def test_shipped_reference_is_small_and_the_bundles() -> None:
    shipped = InputReference.read(SHIPPED)
    assert shipped.patients == 100
    assert list(shipped.quantiles) == [role.name for role in find_bundle().roles]
    assert SHIPPED.stat().st_size < LARGEST_FILE
    for role in ROLES:
        # Of z-scores; the barycentre of many is a little narrower than each of them.
        assert np.mean(shipped.quantiles[role]) == pytest.approx(0, abs=0.05)
        assert np.std(shipped.quantiles[role]) == pytest.approx(1, abs=0.1)


# --- the step -------------------------------------------------------------------------------------------------------


def test_step_measures_each_channel_and_changes_nothing() -> None:
    shipped = InputReference.read(SHIPPED)
    voxels = np.stack([np.array(shipped.quantiles[role]) + shift for role, shift in zip(ROLES, (0, 1, 0), strict=True)])
    image = Image(voxels.astype(np.float32).reshape(3, 16, 4, 2), np.eye(4))
    data = {"image": image, "kept": 1}
    done = MeasureInputd(ROLES, SHIPPED)(data)
    assert set(data) == {"image", "kept"} and done["image"] is image
    assert np.array_equal(image.array.ravel(), voxels.astype(np.float32).ravel())
    found = done["input_distance"]
    assert [found[role].distance for role in ROLES] == pytest.approx([0, 1, 0], abs=1e-6)
    assert [found[role].unlike for role in ROLES] == [False, True, False]
    turned = MeasureInputd(ROLES[::-1], SHIPPED)({"image": image.with_array(image.array[::-1])})["input_distance"]
    assert turned["flair"] == found["flair"] and turned["pre"] == found["pre"], "channels go by their role's name"


def test_reference_of_other_roles_is_refused() -> None:
    with pytest.raises(EnvironmentFailure, match=r"distribution of anatomy, found that of pre, flair, post"):
        MeasureInputd(("anatomy",), SHIPPED)


# --- a whole run ----------------------------------------------------------------------------------------------------


@pytest.fixture
def own_bundle(trial: Trial) -> Trial:
    """The trial with a bundle that may be changed."""
    return Trial(trial.root, Path(shutil.copytree(trial.bundle, trial.root / "bundle")))


def test_a_run_measures_and_warns_above_the_limit(own_bundle: Trial) -> None:
    usual = json.loads((own_bundle.done(own_bundle.study) / "result.json").read_text())
    shipped = InputReference.read(SHIPPED)
    assert list(usual["input_distance"]) == list(ROLES)
    assert {role: item["limit"] for role, item in usual["input_distance"].items()} == dict(shipped.limits)
    assert all(0 < item["distance"] < item["limit"] for item in usual["input_distance"].values())
    assert not any(UNLIKE in text for text in usual["warnings"])

    strict = InputReference(100, shipped.quantiles, {**shipped.limits, "flair": 0.01})
    strict.write(own_bundle.bundle / FILE)
    folder = own_bundle.done(own_bundle.study, out=own_bundle.root / "strict")
    (warning,) = (text for text in json.loads((folder / "result.json").read_text())["warnings"] if UNLIKE in text)
    far = usual["input_distance"]["flair"]["distance"]
    assert warning == (
        f"the brightness distribution of flair is unlike the training patients' (distance {far:.2f}, "
        "99 % of them under 0.01): look at the mask with care"
    )
    assert warning in Page((folder / "report.html").read_text(encoding="utf-8")).text


def test_a_bundle_with_a_broken_reference_is_refused(own_bundle: Trial) -> None:
    (own_bundle.bundle / FILE).write_text("{}")
    own_bundle.refused("BUNDLE_INVALID", own_bundle.study, exit_code=5)


def test_no_reference_and_no_finite_distance(own_bundle: Trial) -> None:
    """Nothing is said of what was not measured; what cannot be told is null, and a warning."""
    (own_bundle.bundle / FILE).unlink()
    evaluator = build_evaluator(find_bundle(str(own_bundle.bundle)), {"dataset::data": [], "output_dir": None})
    study = evaluator.segment({"study": own_bundle.study})
    assert "input_distance" not in study["result"]
    assert not any(UNLIKE in text for text in study["result"]["warnings"])

    study["input_distance"] = {"flair": InputDistance(float("nan"), 0.5)}
    save = evaluator.postprocessing.flatten().transforms[-1]
    record = result_record(study, save.metadata, save.bundle, save.weights, phi=False)
    assert record["input_distance"] == {"flair": {"distance": None, "limit": 0.5}}
    assert any(UNLIKE in text for text in record["warnings"])
    json.dumps(record, allow_nan=False)


# --- real slices ----------------------------------------------------------------------------------------------------


def test_published_patients_lie_within_and_a_wrong_contrast_without(data_dir: Path) -> None:
    """As published, then darkened and mirrored (alike), then with the FLAIR's contrast stretched by gamma 2.5."""
    patient = data_dir / "lgg" / "original" / "TCGA_CS_4942_19970222"
    steps = build_evaluator(find_bundle(), {"dataset::data": [], "output_dir": None}).dataset.transform.transforms
    names = [type(step).__name__ for step in steps]
    stacked = names.index("ClearBackgroundd")
    study: dict = {"study": patient}
    for step in steps[:stacked]:
        study = step(study)

    def measured(change: Callable[[np.ndarray], np.ndarray]) -> dict[str, InputDistance]:
        changed = {**study, "image": study["image"].with_array(change(study["image"].array.copy()))}
        for step in steps[stacked:]:
            changed = step(changed)
        return changed["input_distance"]

    def stretched(image: np.ndarray) -> np.ndarray:
        image[1] = (image[1] / image[1].max()) ** 2.5 * image[1].max()
        return image

    usual = measured(lambda image: image)
    assert not any(item.unlike for item in usual.values())
    for change in (lambda image: image * 0.37, lambda image: image[:, :, ::-1]):
        alike = measured(change)
        assert [alike[r].distance for r in ROLES] == pytest.approx([usual[r].distance for r in ROLES], abs=0.02)
    assert measured(stretched)["flair"].unlike


def test_half_precision_is_sorted_as_well() -> None:
    """numpy's own sort of float16 leaves some in the wrong place on some CPUs; training keeps volumes so."""
    samples = np.random.default_rng(0).normal(size=200_000).round(2).astype(np.float16)
    samples[:50_000] = samples[0]
    exact = quantile_function(samples.astype(np.float64))
    assert np.array_equal(quantile_function(samples), exact)
