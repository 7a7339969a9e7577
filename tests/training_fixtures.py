"""Patients with a bright lesion, and a bundle that trains in seconds: `pytest_plugins = ["training_fixtures"]`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from labelled_folders import square, write_patient

from scanweave.pipeline.bundle import TRAIN_CONFIG, find_bundle

PATIENTS = 6
EPOCHS, DRAWN, BATCH = 5, 64, 4
PHASE = "scanweave.pipeline.training.recipe.Phase"


@pytest.fixture(scope="session")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients of four slices, the published layout; each one's lesion lies elsewhere."""
    root = tmp_path_factory.mktemp("patients")
    for number in range(PATIENTS):
        lesion = square(down=8 * number, right=-6 * number)
        write_patient(root, f"patient_{number}", lesion, lesion)
    return root


@pytest.fixture(scope="session")
def training_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped bundle with two features, and two phases of coarse pixels."""
    bundle = tmp_path_factory.mktemp("bundle") / "tiny"
    shutil.copytree(find_bundle().root / "configs", bundle / "configs")
    for name in ("train.json", "evaluate.json"):
        path = bundle / "configs" / name
        config = json.loads(path.read_text())
        config["network_def"]["features"] = 4
        if path.name == TRAIN_CONFIG.name:
            config["epochs"] = EPOCHS
            config["epoch_slices"] = DRAWN
            config["recipe"]["learning_rate"] = 0.02
            config["recipe"]["checkpoint_seconds"] = 0.0
            config["learner"]["ema"] = 0.8
            config["recipe"]["phases"] = [
                {"_target_": PHASE, "until": 0.5, "size": [32, 32], "pixel": 8.0, "batch": BATCH},
                {"_target_": PHASE, "until": 1.0, "size": [64, 64], "pixel": 4.0, "batch": BATCH},
            ]
        path.write_text(json.dumps(config))
    return bundle
