"""The original U-Net's bundle: trained on pictures, asked about pictures of any size, measured on real ones."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cell_pictures import cells_and_picture, write_pairs
from PIL import Image
from scipy import ndimage
from skimage.metrics import adapted_rand_error
from studies import run

from scanweave.pipeline.bundle import INFERENCE_CONFIG, TRAIN_CONFIG, find_bundle
from scanweave.pipeline.phantom import make_phantom

pytest_plugins = ["study_fixtures"]

BUNDLE = find_bundle("membranes")
PAIRS = Path(__file__).resolve().parent.parent / "scripts" / "cell-tracking-pairs"


def make_quick(folder: Path, validation: float) -> Path:
    """The bundle with few features and small windows: some seconds of training."""
    bundle = folder / "membranes"
    shutil.copytree(BUNDLE.root / "configs", bundle / "configs")
    for path in (bundle / "configs").glob("*.json"):
        config = json.loads(path.read_text())
        if "network_def" in config:
            config["network_def"]["features"] = 4
        if path.name == TRAIN_CONFIG.name:
            config["epoch_slices"] = 40
            config["recipe"]["phases"][0]["size"] = [252, 252]
            config["train"]["dataset"]["split"]["validation"] = validation
            config["learner"]["ema"] = 0.8
        path.write_text(json.dumps(config))
    return bundle


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_quick(tmp_path_factory.mktemp("bundle"), validation=0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    write_pairs(root / "pairs", 8, 160, 200)
    ran = run("train", "--bundle", make_quick(root, validation=0.2), "--images", root / "pairs", "--out", root / "out",
              "--epochs", 5)  # fmt: skip
    assert ran.exit_code == 0, ran.lines
    return root / "out"


def test_it_learns_and_is_measured(trained: Path) -> None:
    record = json.loads((trained / "training.json").read_text())
    assert record["recipe"]["optimizer"]["name"] == "SGD" and record["recipe"]["optimizer"]["momentum"] == 0.99
    assert record["augmentation"]["elastic"] == 10.0 and record["recipe"]["loss"] == "WeightedCrossEntropy"
    assert len(record["split"]["test"]) == 2 and len(record["split"]["validation"]) == 1
    measured = json.loads((trained / "evaluation" / "evaluation.json").read_text())
    assert set(measured["patients"]) == set(record["split"]["test"])
    assert record["validation_dice"] > 0.85 and measured["mean"] > 0.85
    for case in measured["patients"].values():
        assert 0 < case["pixel_error"] < 0.3 and 0 < case["adapted_rand_error"] < 1
    assert measured["settings"]["components"] == "all", "the largest cell alone is no result"


def test_loss_weighs_what_lies_between_cells(trained: Path) -> None:
    """The volumes in the cache carry the paper's map: 10 between cells that nearly touch, hardly more inside them."""
    import torch

    for file in (trained / "cache").glob("*.pt"):
        volume = torch.load(file, weights_only=True)
        weight, label = volume["weight"].float(), volume["label"]
        assert weight.shape == label.shape == (1, 160, 200)
        assert weight[label == 0].mean() > 2 * weight[label == 1].mean() and weight.max() > 5
        assert weight[label == 1].unique().numel() == 1


def test_evaluation_is_scikit_images(quick: Path, trained: Path, tmp_path: Path) -> None:
    """Pixel error and Rand error of what `segment` writes, and the words on the screen."""
    data = write_pairs(tmp_path / "pairs", 1, 300, 345)
    picture, truth = data / "image" / "0.png", np.asarray(Image.open(data / "label" / "0.png")) > 0
    how = ("--bundle", quick, "--weights", trained / "model.pt")
    assert run("segment", picture, "-o", tmp_path / "out", *how).exit_code == 0
    mask = np.asarray(Image.open(tmp_path / "out" / "0" / "masks" / "0_mask.png")) > 0
    assert mask.shape == truth.shape
    ran = run("evaluate", "--images", data, *how, "--json")
    figures = json.loads(ran.out)["patients"]["0"]
    expected = adapted_rand_error(ndimage.label(truth)[0], ndimage.label(mask)[0])[0]
    assert figures["adapted_rand_error"] == pytest.approx(expected, abs=1e-4)
    assert figures["pixel_error"] == pytest.approx((mask != truth).mean(), abs=1e-4)
    assert figures["dice"] == figures["dice_original"] == figures["dice_all"]
    shown = run("evaluate", "--images", data, *how).out
    told = {name: float(mean) for name, mean in re.findall(r"^(pixel|adapted rand) error: mean (\S+)$", shown, re.M)}
    assert told == {"pixel": pytest.approx(figures["pixel_error"], abs=6e-4),
                    "adapted rand": pytest.approx(expected, abs=6e-4)}  # fmt: skip


def test_a_head_is_no_picture(small_study: Path, tmp_path: Path) -> None:
    """No MR series is taken for electron microscopy, unless somebody says so."""
    ran = run("segment", small_study, "-o", tmp_path / "out", "--bundle", "membranes")
    assert (ran.exit_code, ran.codes) == (3, ["MISSING_ROLE"]), ran.lines
    assert "picture" in ran.lines[0] and "--input em=" in ran.lines[0] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_shipped_weights_on_made_up_cells(ending: str, tmp_path: Path) -> None:
    """Pictures of odd sizes; made-up cells have nothing inside that looks like a membrane."""
    mask, gray = cells_and_picture(413, 377, seed=3)
    Image.fromarray(gray).save(tmp_path / f"made.{ending}")
    ran = run("segment", tmp_path / f"made.{ending}", "-o", tmp_path / "out", "--bundle", "membranes", "--json")
    assert ran.exit_code == 0, ran.lines
    record = json.loads(ran.out)
    assert not any("single slice" in told for told in record["warnings"]), "a picture is whole by itself"
    found = np.asarray(Image.open(tmp_path / "out" / "made" / "masks" / "made_mask.png")) > 0
    assert found.shape == mask.shape
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.9
    assert record["segments"]["cells"]["volume_voxels"] == int(found.sum())


def test_monais_command_gives_the_same(tmp_path: Path) -> None:
    _, gray = cells_and_picture(200, 260, seed=4)
    Image.fromarray(gray).save(tmp_path / "made.png")
    assert run("segment", tmp_path / "made.png", "-o", tmp_path / "own", "--bundle", "membranes").exit_code == 0
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(BUNDLE.root / INFERENCE_CONFIG),
               "--dataset_dir", str(tmp_path / "made.png"), "--output_dir", str(tmp_path / "monai")]  # fmt: skip
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    own, monai = (np.asarray(Image.open(tmp_path / by / "made" / "masks" / "made_mask.png")) for by in ("own", "monai"))
    assert np.array_equal(own, monai)


def test_withheld_pictures(data_dir: Path, tmp_path: Path) -> None:
    split = json.loads((BUNDLE.root / "configs" / "split.json").read_text())
    for folder in ("image", "label"):
        (tmp_path / folder).mkdir()
        for name in split["test"]:
            (tmp_path / folder / f"{name}.png").symlink_to(data_dir / "cells" / folder / f"{name}.png")
    record = json.loads(run("evaluate", "--bundle", "membranes", "--images", tmp_path, "--json").out)
    assert len(record["patients"]) == len(split["test"]) >= 5 and not record["warnings"]
    assert record["mean"] > 0.93 and min(case["dice"] for case in record["patients"].values()) > 0.92
    card = BUNDLE.metadata["eval_metrics"]
    assert record["mean"] == pytest.approx(card["held_out_6_mean_dice"], abs=2e-3)


def test_a_head_by_hand_is_taken(tmp_path: Path) -> None:
    """Who says so knows why: each slice is a picture, in tiles."""
    import nibabel as nib

    head = make_phantom(1).series["flair"]
    nib.save(nib.Nifti1Image(head.array[::4, ::4, :3], head.affine), tmp_path / "stack.nii.gz")
    given = f"em={tmp_path / 'stack.nii.gz'}"
    ran = run("segment", "-o", tmp_path / "out", "--bundle", "membranes", "--input", given)
    assert ran.exit_code == 0, ran.lines
    (mask,) = (tmp_path / "out").glob("*/segmentation.nii.gz")
    assert nib.load(mask).shape == head.array[::4, ::4, :3].shape


# --- data of the Cell Tracking Challenge ------------------------------------------------------------------------------


def challenge(root: Path, frames: int = 3) -> np.ndarray:
    """Two sequences as published: 16-bit numbers of cells, which touch, and a frame without a mask."""
    numbers = np.zeros((64, 80), np.uint16)
    numbers[10:30, 10:40], numbers[30:50, 20:45], numbers[12:28, 40:60] = 7, 3, 300
    for sequence in ("01", "02"):
        (root / sequence).mkdir(parents=True)
        (root / f"{sequence}_ST" / "SEG").mkdir(parents=True)
        for frame in range(frames):
            gray = (np.where(numbers > 0, 200, 100) + frame).astype(np.uint8)
            Image.fromarray(gray).save(root / sequence / f"t{frame:03d}.tif")
            if frame:
                Image.fromarray(numbers).save(root / f"{sequence}_ST" / "SEG" / f"man_seg{frame:03d}.tif")
    return numbers


def test_touching_cells_are_parted(tmp_path: Path) -> None:
    numbers = challenge(tmp_path / "PhC")
    made = subprocess.run([sys.executable, str(PAIRS), str(tmp_path / "PhC"), str(tmp_path / "pairs")],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert made.stdout.startswith("4 pairs")
    names = ["01_001.png", "01_002.png", "02_001.png", "02_002.png"]
    assert sorted(p.name for p in (tmp_path / "pairs" / "label").iterdir()) == names
    label = np.asarray(Image.open(tmp_path / "pairs" / "label" / "01_001.png"))
    assert set(np.unique(label)) == {0, 255} and ndimage.label(label, np.ones((3, 3)))[1] == 3
    lost = (numbers > 0) & (label == 0)
    assert 0 < lost.sum() < 60 and not label[numbers == 0].any()
    image = np.asarray(Image.open(tmp_path / "pairs" / "image" / "02_002.png"))
    assert (image == np.where(numbers > 0, 202, 102)).all()
    again = subprocess.run([sys.executable, str(PAIRS), str(tmp_path / "PhC"), str(tmp_path / "pairs")],
                           capture_output=True, text=True, check=False)  # fmt: skip
    assert again.returncode == 1 and again.stderr.count("\n") == 1


def test_the_command_for_phase_contrast(quick: Path, tmp_path: Path) -> None:
    """As the model card has it, on a made-up dataset: a fold for each sequence."""
    challenge(tmp_path / "PhC")
    subprocess.run([sys.executable, str(PAIRS), str(tmp_path / "PhC"), str(tmp_path / "pairs")], check=True)
    ran = run("train", "--bundle", quick, "--images", tmp_path / "pairs", "--out", tmp_path / "out", "--folds", 2,
              "--epochs", 1)  # fmt: skip
    assert ran.exit_code == 0, ran.lines
    record = json.loads((tmp_path / "out" / "cross_validation.json").read_text())
    assert {case["patient"] for case in record["patients"].values()} == {"01", "02"}
