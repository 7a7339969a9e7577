"""`scripts/average-weights`: a point between two trainings of one network."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY

from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.weights import Weights, load_weights


def average(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "average-weights"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Weights of two features: random ones, and others."""
    paths = tmp_path / "first.pt", tmp_path / "second.pt"
    for seed, path in enumerate(paths):
        torch.manual_seed(seed)
        torch.save(BNUNet(features=2).state_dict(), path)
    return paths


def test_the_way_between_two_trainings(two: tuple[Path, Path], tmp_path: Path) -> None:
    ran = average(*two, "--share", 0.25, tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    weights = Weights.of_file(tmp_path / "out" / "model.pt")
    assert weights.sha256 in ran.stdout
    found = load_weights(BNUNet(features=2), weights).state_dict()
    first, second = (torch.load(path, weights_only=True) for path in two)
    for key, value in found.items():
        torch.testing.assert_close(value.float(), 0.75 * first[key] + 0.25 * second[key], rtol=1e-3, atol=1e-4)
    assert not torch.equal(found["conv.weight"], first["conv.weight"])


@pytest.mark.parametrize("wrong", ["another network", "no weights", "share"])
def test_what_has_no_average(two: tuple[Path, Path], tmp_path: Path, wrong: str) -> None:
    if wrong == "another network":
        torch.save(BNUNet(features=4).state_dict(), two[1])
    if wrong == "no weights":
        two[1].write_text("no weights")
    ran = average(*two, "--share", 2 if wrong == "share" else 0.5, tmp_path / "out")
    assert ran.returncode == 1 and ran.stderr.startswith("average-weights: ") and ran.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "model.pt").exists()
