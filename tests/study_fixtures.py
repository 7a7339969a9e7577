"""Fixtures of the tests that break studies: `pytest_plugins = ["study_fixtures"]` brings them into a module."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from studies import PATIENT, ROLES, SLICES, STRIDE, Trial

from scanweave.networks.bn_unet import BNUNet
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE, find_bundle


@pytest.fixture(scope="session")
def small_study(phantom_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make_small_study`; tests work on copies."""
    return make_small_study(phantom_study, tmp_path_factory.mktemp("small") / "study")


def make_small_study(phantom_study: Path, folder: Path) -> Path:
    """The phantom's three series on `SLICES` slices and a coarse matrix, in a new folder: <role>_<n>.dcm."""
    folder.mkdir()
    datasets = [pydicom.dcmread(path) for path in sorted(phantom_study.glob("*.dcm"))]
    for role, description in ROLES.items():
        series = [dataset for dataset in datasets if dataset.SeriesDescription == description]
        series.sort(key=lambda dataset: dataset.InstanceNumber)
        first = (len(series) - SLICES) // 2
        for n, dataset in enumerate(series[first : first + SLICES]):
            pixels = np.ascontiguousarray(dataset.pixel_array[::STRIDE, ::STRIDE])
            dataset.Rows, dataset.Columns = pixels.shape
            dataset.PixelSpacing = [float(value) * STRIDE for value in dataset.PixelSpacing]
            dataset.PixelData = pixels.tobytes()
            for keyword, value in PATIENT.items():
                setattr(dataset, keyword, value)
            dataset.save_as(folder / f"{role}_{n:02d}.dcm")
    return folder


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make_small_bundle`."""
    return make_small_bundle(tmp_path_factory.mktemp("bundle") / "quick")


def make_small_bundle(bundle: Path) -> Path:
    """The shipped bundle with two starts of registration, and two channels that mark everything: never empty."""
    shipped = find_bundle()
    shutil.copytree(shipped.root / INFERENCE_CONFIG.parent, bundle / INFERENCE_CONFIG.parent)
    config = json.loads((bundle / INFERENCE_CONFIG).read_text())
    config["network_def"]["features"] = 2
    for step in config["preprocessing"]["transforms"]:
        if step["_target_"].endswith("RegisterRolesd"):
            step["settings"] = {"start_angles_deg": [0.0], "starts_kept": 1, "max_samples": 2000}
    (bundle / INFERENCE_CONFIG).write_text(json.dumps(config))
    torch.manual_seed(0)
    network = BNUNet(in_channels=3, out_channels=1, features=2)
    torch.nn.init.constant_(network.conv.bias, 3.0)
    weights = bundle / shipped.metadata["weights"]["file"]
    weights.parent.mkdir()
    torch.save(network.state_dict(), weights)
    metadata = dict(shipped.metadata)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    metadata["weights"] = {**metadata["weights"], "sha256": digest}
    (bundle / METADATA_FILE).write_text(json.dumps(metadata))
    return bundle


@pytest.fixture
def trial(small_study: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """A fresh copy of the small study, with a working directory and a temporary folder of its own."""
    shutil.copytree(small_study, tmp_path / "study")
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    yield Trial(tmp_path, small_bundle)
    assert not any((tmp_path / "tmp").iterdir()), "something was left in the temporary folder"
