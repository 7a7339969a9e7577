"""The bundle of two segments: trained on volumes and on pictures, measured, and asked about real T1s."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from studies import run

from scanweave.pipeline.bundle import INFERENCE_CONFIG, TRAIN_CONFIG, find_bundle
from scanweave.pipeline.phantom import make_phantom

BUNDLE = find_bundle("hippocampus")
ANTERIOR, POSTERIOR = 1, 2
CASES = 10


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with eight features, which learns bright balls in seconds."""
    bundle = tmp_path_factory.mktemp("bundle") / "hippocampus"
    shutil.copytree(BUNDLE.root / "configs", bundle / "configs")
    for path in (bundle / "configs").glob("*.json"):
        config = json.loads(path.read_text())
        if "network_def" in config:
            config["network_def"]["features"] = 8
        if path.name == TRAIN_CONFIG.name:
            config["epoch_slices"] = 256
            config["recipe"]["learning_rate"] = 0.02
            config["learner"]["ema"] = 0.8
        path.write_text(json.dumps(config))
    return bundle


def balls(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A gray box with a dark rim, a bright and a darker ball in it, one behind the other, and their labels."""
    chance = np.random.default_rng(seed)
    shape = (36, 48, 12)
    centre = np.array([18, 24, 6]) + chance.integers(-3, 4, 3)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    labels = np.zeros(shape, np.uint8)
    for label, shift in ((ANTERIOR, 9), (POSTERIOR, -9)):
        labels[np.linalg.norm(grid - centre - np.array([0, shift, 0]), axis=-1) < 8] = label
    image = np.array([120.0, 200.0, 60.0])[labels] + chance.normal(0, 5, shape)
    image[:2] = image[:, :2] = 5.0
    return image.clip(1).astype(np.float32), labels


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`images/` and `labels/` of NIfTI pairs."""
    root = tmp_path_factory.mktemp("volumes")
    for number in range(CASES):
        for folder, voxels in zip(("images", "labels"), balls(number), strict=True):
            (root / folder).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(voxels, np.eye(4)), root / folder / f"case_{number:02d}.nii.gz")
    return root


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`img/` and `label/`: JPEG slices, gray as RGB, with masks of even grays."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures")
    for folder in ("img", "label"):
        (root / folder).mkdir()
    for number in range(CASES):
        image, labels = balls(number)
        for k in range(4, 9):
            stem = f"case_{number:02d}_{k}.jpg"
            Image.fromarray(image[..., k].clip(0, 255).astype(np.uint8)).convert("RGB").save(root / "img" / stem)
            Image.fromarray(labels[..., k] * 127).save(root / "label" / stem, quality=95)
    return root


@pytest.mark.parametrize("kind", ["volumes", "pictures"])
def test_trains_on_volumes_and_on_pictures(
    kind: str, quick: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data: Path = request.getfixturevalue(kind)
    ran = run("train", "--bundle", quick, "--images", data, "--out", tmp_path / "out", "--epochs", 5)
    assert ran.exit_code == 0, ran.lines
    split = json.loads((tmp_path / "out" / "split.json").read_text())
    assert len(split["test"]) == 0.3 * CASES, "held out by patient, whatever a case is"
    measured = json.loads((tmp_path / "out" / "evaluation" / "evaluation.json").read_text())
    assert set(measured["patients"]) == set(split["test"]), "a patient's pictures are one volume"
    figures = measured["summary"]
    assert figures["dice_anterior"]["mean"] > 0.8, "the bright one is learnt in seconds"
    assert 0 <= figures["dice_original_posterior"]["mean"] < figures["dice_original_anterior"]["mean"]
    assert f"--bundle {quick.name} " in ran.out
    assert f"3 held-out cases: mean Dice {measured['mean']:.3f}; {tmp_path / 'out' / 'evaluation'}/" in ran.out


@pytest.mark.parametrize(
    ("name", "code"), [("white", "MISSING_LABEL"), ("odd", "LABEL_MISMATCH"), ("colours", "WRONG_SHAPE")]
)
def test_pictures_that_say_something_else(name: str, code: str, quick: Path, pictures: Path, tmp_path: Path) -> None:
    from PIL import Image

    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    folder = data / ("img" if name == "colours" else "label")
    for path in folder.iterdir():
        pixels = np.asarray(Image.open(path))
        if name == "white":
            pixels = np.where(pixels > 60, 255, 0).astype(np.uint8)
        elif name == "odd":
            pixels = np.where(pixels > 60, 190, pixels).astype(np.uint8)
            pixels[:20, :20] = 190
        else:
            pixels = pixels * np.array([1, 0.5, 0.2])
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=95)
    ran = run("train", "--bundle", quick, "--images", data, "--out", tmp_path / "out", "--epochs", 1)
    assert ran.exit_code == 3 and f"error[{code}]" in ran.lines[1], ran.lines


def test_a_whole_head_is_refused(tmp_path: Path) -> None:
    head = make_phantom(1).series["pre"]
    nib.save(nib.Nifti1Image(head.array, head.affine), tmp_path / "t1.nii.gz")
    ran = run("segment", tmp_path / "t1.nii.gz", "-o", tmp_path / "out", "--bundle", "hippocampus")
    assert (ran.exit_code, ran.codes) == (3, ["REGION_TOO_LARGE"]), ran.lines
    assert "hippocampus" in ran.lines[0] and not (tmp_path / "out").exists()


def test_labels_that_are_none(volumes: Path, quick: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(volumes, data)
    path = data / "labels" / "case_03.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) * np.uint8(2), image.affine), path)
    ran = run("train", "--bundle", quick, "--images", data, "--out", tmp_path / "out", "--epochs", 1)
    assert ran.exit_code == 3 and "error[LABEL_MISMATCH]" in ran.lines[1] and "case_03" in ran.lines[1]


@pytest.fixture(scope="module")
def held_out(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of those that the shipped weights have not seen, as pairs."""
    split = json.loads((BUNDLE.root / "configs" / "split.json").read_text())
    root = tmp_path_factory.mktemp("held_out")
    for folder in ("images", "labels"):
        (root / folder).mkdir()
        for name in split["test"][:6]:
            source = data_dir / "hippocampus" / folder / f"{name}.nii.gz"
            (root / folder / source.name).symlink_to(source)
    return root


def test_withheld_patients(held_out: Path) -> None:
    ran = run("evaluate", "--bundle", "hippocampus", "--images", held_out, "--json")
    record = json.loads(ran.out)
    assert record["mean"] > 0.85 and not record["warnings"]
    assert min(record["summary"][f"dice_original_{name}"]["mean"] for name in ("anterior", "posterior")) > 0.8


def test_each_label_has_its_own_figures(held_out: Path, tmp_path: Path) -> None:
    """Where the expert's labels are exchanged, both together are as good as before, and each by itself is wrong."""
    shutil.copytree(held_out, tmp_path / "swapped")
    for path in (tmp_path / "swapped" / "labels").iterdir():
        image = nib.load(path)
        voxels = np.array([0, POSTERIOR, ANTERIOR], np.uint8)[np.asarray(image.dataobj)]
        nib.save(nib.Nifti1Image(voxels, image.affine), path)
    ran = run("evaluate", "--bundle", "hippocampus", "--images", tmp_path / "swapped", "--json")
    record = json.loads(ran.out)
    assert record["mean"] > 0.85
    assert record["summary"]["dice_anterior"]["mean"] < 0.1 > record["summary"]["dice_posterior"]["mean"]


def test_orientation_of_the_file_does_not_matter(held_out: Path, tmp_path: Path) -> None:
    """Axes exchanged and turned round: the same labels at the same places, and MONAI's command gives them too."""
    source = next(iter(sorted((held_out / "images").iterdir())))
    image = nib.load(source)
    turned = image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(turned, tmp_path / "turned.nii.gz")
    out = tmp_path / "out"
    for path in (source, tmp_path / "turned.nii.gz"):
        ran = run(
            "segment", path, "-o", out, "--bundle", "hippocampus", "--outputs", "nifti,seg-nrrd,report,probability"
        )
        assert ran.exit_code == 0, ran.lines
    stem = source.name.removesuffix(".nii.gz")
    plain, other = (nib.load(out / name / "segmentation.nii.gz") for name in (stem, "turned"))
    back = nib.as_closest_canonical(other)
    assert set(np.unique(np.asarray(plain.dataobj))) == {0, ANTERIOR, POSTERIOR}
    assert (np.asarray(back.dataobj) != np.asarray(plain.dataobj)).mean() < 1e-3
    assert nib.load(out / stem / "probability.nii.gz").shape == (*plain.shape, 2)
    record = json.loads((out / stem / "result.json").read_text())
    front, behind = record["segments"]["anterior"], record["segments"]["posterior"]
    assert record["volume_ml"] == pytest.approx(front["volume_ml"] + behind["volume_ml"], abs=1e-3)
    page = (out / stem / "report.html").read_text()
    assert "Anterior hippocampus" in page and page.count('stroke="#ff6040"') and page.count('stroke="#40a0ff"')
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(BUNDLE.root / INFERENCE_CONFIG),
               "--dataset_dir", str(source), "--output_dir", str(tmp_path / "monai")]  # fmt: skip
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    by_monai = nib.load(tmp_path / "monai" / stem / "segmentation.nii.gz")
    assert np.array_equal(np.asarray(by_monai.dataobj), np.asarray(plain.dataobj))
