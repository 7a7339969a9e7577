"""New bundles, phantom patients on a coarse grid, and a training: `pytest_plugins = ["bundle_rooms"]`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from studies import SLICES, STRIDE, run, write_nifti

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.bundle import METADATA_FILE, TRAIN_CONFIG
from scanweave.pipeline.phantom import HEAD_SIGNAL, Phantom, make_phantom
from scanweave.transforms.geometry import Volume

DESIGNS = {
    "plain": [],
    "several": ["--role", "flair", "--role", "t1c", "--segment", "head", "--segment", "bright", "--features", "8"],
    "region": ["--like", "hippocampus", "--role", "scan=t2:none"],
}
"""By its name the options of each bundle."""
PATIENTS = 3
BRIGHT_SIGNAL = 300
"""On the FLAIR: fat and the lesion."""
STILL = ("gain", "offset", "p_gamma", "p_bias", "p_missing", "p_alone", "p_elastic", "p_coarse", "p_blur")
"""Augmentation that a lesson of few steps has no time for."""
PHASE = "scanweave.pipeline.training.recipe.Phase"


def write_patients(root: Path, names: dict[str, str]) -> Path:
    """<root>/patient_<n>/ of phantoms: `names` are the files' by role; label 1 is the head, 2 what is bright in it."""
    for number in range(PATIENTS):
        phantom = make_phantom(number)
        folder = root / f"patient_{number}"
        folder.mkdir(parents=True)
        for role, name in names.items():
            write_thin(folder / f"{name}.nii.gz", phantom.series[role])
        write_thin(folder / "label.nii.gz", _labels(phantom))
    return root


def _labels(phantom: Phantom) -> Volume:
    flair = phantom.series["flair"]
    return Volume(np.digitize(flair.array, [HEAD_SIGNAL, BRIGHT_SIGNAL]).astype(np.uint8), flair.affine)


def write_thin(path: Path, volume: Volume) -> None:
    """Every fourth pixel of the nine slices in the middle, as `make_small_study` has them."""
    first = (volume.array.shape[2] - SLICES) // 2
    scale = np.diag([STRIDE, STRIDE, 1, 1])
    scale[2, 3] = first
    write_nifti(path, volume.array[::STRIDE, ::STRIDE, first : first + SLICES], volume.affine @ scale)


def quicken(bundle: Path, epochs: int, draws: int = 64) -> None:
    """Coarse pixels and small batches in train.json, as its owner may choose them."""
    path = bundle / TRAIN_CONFIG
    config = json.loads(path.read_text())
    config["epochs"], config["epoch_slices"] = epochs, draws
    config["recipe"]["learning_rate"] = 0.02
    config["recipe"]["phases"] = [{"_target_": PHASE, "until": 1.0, "size": [64, 64], "pixel": 4.0, "batch": 4}]
    config["learner"]["ema"] = 0.8
    config["augment"]["settings"] |= dict.fromkeys(STILL, 0.0)
    path.write_text(json.dumps(config))


def trained(bundle: Path, images: Path, out: Path) -> Path:
    """`scanweave train`, which succeeds; its folder."""
    ran = run("train", "--bundle", bundle, "--images", images, "--out", out, "--json")
    assert ran.exit_code == 0, ran.lines
    return out


def check_properties(bundle: Path, config: Path, kind: str) -> None:
    """MONAI builds what it checks: for inference that takes weights."""
    from monai.bundle import create_workflow

    workflow = create_workflow(
        config_file=str(bundle / config),
        meta_file=str(bundle / METADATA_FILE),
        logging_file=str(bundle / "configs" / "logging.conf"),
        workflow_type=kind,
    )
    assert workflow.check_properties() == []


def read(path: Path) -> dict:
    """The JSON in a file."""
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def new_bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of each design."""
    root = tmp_path_factory.mktemp("made")
    for name, options in DESIGNS.items():
        ran = run("new-bundle", name, "-o", root, *options)
        assert (ran.exit_code, ran.lines) == (0, ()), ran
        assert f"--bundle {root / name}" in ran.out and RESEARCH_NOTICE in ran.out
    assert {path.name for path in root.iterdir()} == set(DESIGNS)
    return root


@pytest.fixture(scope="session")
def phantom_cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three phantoms with a FLAIR, a T1 after contrast and two labels."""
    return write_patients(tmp_path_factory.mktemp("patients"), {"flair": "flair", "post": "t1c"})


@pytest.fixture(scope="session")
def new_training(new_bundles: Path, phantom_cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a copy of the bundle of two roles and two segments, by the command line."""
    root = tmp_path_factory.mktemp("training")
    shutil.copytree(new_bundles / "several", root / "several")
    quicken(root / "several", epochs=5)
    return trained(root / "several", phantom_cases, root / "out")


@pytest.fixture
def untrained(new_training: Path, tmp_path: Path) -> Path:
    """The bundle that was trained, without its weights yet, in a place of its own."""
    return Path(shutil.copytree(new_training.parent / "several", tmp_path / "several"))


@pytest.fixture(scope="session")
def installed(new_training: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with its weights installed."""
    root = shutil.copytree(new_training.parent / "several", tmp_path_factory.mktemp("whole") / "several")
    ran = run("weights", "install", new_training, "--bundle", root)
    assert (ran.exit_code, ran.lines) == (0, ()), ran
    assert "held_out_1_mean_dice" in ran.out and str(root) in ran.out
    return root
