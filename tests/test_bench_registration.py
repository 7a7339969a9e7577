"""benchmarks/registration.py: what is perturbed is known, what is counted is right, and a tiny run ends in a page."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from scipy.spatial.transform import Rotation

from scanweave.pipeline.phantom import make_phantom
from scanweave.transforms.geometry import Volume
from scanweave.transforms.resample import resample

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import registration
from registration_itk import estimate_with_itk
from registration_pairs import Kind, cropped, flag_pairs, perturbation, right_pairs
from registration_studies import LGG_EVERY, Group, Study, distances_mm, find_studies, mean_rigid
from registration_table import Row, flagged_of, found_of

STRETCHED = np.diag([1.15, 0.9, 1.1, 1.0])
"""What makes of one head another that no rigid transform brings to it."""


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    """Two heads for either group."""
    phantom = make_phantom(7)
    truth = {("flair", role): matrix for role, matrix in phantom.motion.items()}
    other = {role: Volume(volume.array, STRETCHED @ volume.affine) for role, volume in phantom.series.items()}
    back = np.linalg.inv(STRETCHED)
    other_truth = {names: mean_rigid([STRETCHED @ matrix @ back]) for names, matrix in truth.items()}
    heads = [
        Study("tcga-fg-6692", Group.CHOSEN, phantom.series, truth, 0.1, 12.0),
        Study("study-siemens", Group.TESTED, other, other_truth, 0.1, 12.0),
    ]
    others = zip(heads, reversed(list(Group)), strict=True)
    return heads + [replace(head, name=f"TCGA_{group.value}", group=group) for head, group in others]


def likeness(one: Volume, two: Volume, matrix: np.ndarray) -> float:
    there, inside = resample(two, one.grid, matrix)
    return float(np.corrcoef(one.array[inside], there[inside])[0, 1])


@pytest.fixture(scope="module")
def same(studies: list[Study]) -> Study:
    """One series as if it were two: what the truth says can be seen in the voxels."""
    flair = studies[0].series["flair"]
    return replace(studies[0], series={"flair": flair, "t1": flair}, truth={("flair", "t1"): np.eye(4)})


def test_the_truth_of_a_right_pair_is_true(same: Study) -> None:
    for pair in right_pairs([same], 3, np.random.default_rng(1)):
        assert likeness(pair.fixed, pair.moving, pair.truth) > 0.99
        assert likeness(pair.fixed, pair.moving, np.eye(4)) < 0.9
        assert pair.fixed.array.shape != same.series["flair"].array.shape
        assert pair.tolerance_mm == pytest.approx(same.series["flair"].grid.spacing.max() / 2)


def test_pairs_of_each_kind(same: Study, studies: list[Study]) -> None:
    other = replace(studies[1], series=dict.fromkeys(("flair", "t1"), studies[1].series["flair"]), truth=same.truth)
    pairs = {pair.kind: pair for pair in flag_pairs([same, other], dict.fromkeys(Kind, 1), np.random.default_rng(0))}
    assert list(pairs) == list(Kind)
    assert {kind for kind, pair in pairs.items() if pair.truth is None} == {Kind.OTHER, Kind.NOISE, Kind.MIRRORED}
    assert likeness(pairs[Kind.HARD].fixed, pairs[Kind.HARD].moving, pairs[Kind.HARD].truth) > 0.99
    half = pairs[Kind.OUT_OF_VIEW]
    assert likeness(half.fixed, half.moving, half.truth) > 0.99
    assert half.moving.array.size < 0.55 * same.series["flair"].array.size
    mirrored = pairs[Kind.MIRRORED].moving
    assert np.linalg.det(mirrored.affine) * np.linalg.det(same.series["flair"].affine) > 0
    spacing = np.sort(pairs[Kind.OTHER].moving.grid.spacing)
    assert not np.allclose(spacing, np.sort(same.series["flair"].grid.spacing), atol=0.05)


def test_perturbations_keep_their_limits(same: Study) -> None:
    random, volume = np.random.default_rng(2), same.series["flair"]
    centre = volume.grid.points([(np.array(volume.array.shape) - 1) / 2])
    changes = [perturbation(volume, random, 20.0, 15.0) for _ in range(200)]
    turned = [np.rad2deg(Rotation.from_matrix(change[:3, :3]).magnitude()) for change in changes]
    moved = [distances_mm(change, np.eye(4), centre)[0] for change in changes]
    assert 13 < max(turned) <= 15 and 17 < max(moved) <= 20
    shapes = np.array([cropped(volume, random, 0.3).array.shape for _ in range(100)]) / volume.array.shape
    assert shapes.max() == 1 and 0.4 <= shapes.min() < 0.6


def test_the_mean_of_rigid_matrices_is_rigid_and_between() -> None:
    ways = []
    for sign in (-1, 1):
        way = np.eye(4)
        way[:3, :3] = Rotation.from_rotvec([0, 0, sign * 0.02]).as_matrix()
        way[:3, 3] = [sign * 1.0, 5, 0]
        ways.append(way)
    expected = np.eye(4)
    expected[:3, 3] = [0, 5, 0]
    np.testing.assert_allclose(mean_rigid(ways), expected, atol=1e-12)


def row(error: float | None, flagged: bool = False, cpu_s: float = 0.3) -> Row:
    return Row(0, Kind.RIGHT, Group.CHOSEN, "x flair-t1", error, error and 2 * error, 2.75, cpu_s, flagged, "", {})


def test_counts() -> None:
    rows = [row(0.5), row(0.9, flagged=True), row(2.0, flagged=True), row(3.0), row(None), row(None, flagged=True)]
    assert flagged_of(rows) == {
        "pairs": 6,
        "failures": 3,
        "failures not flagged": 2,
        "good": 2,
        "good but flagged": 1,
    }
    assert found_of(rows[:4]) == {
        "pairs": 4,
        "found": 3,
        "flagged": 2,
        "median_mm": 1.45,
        "worst_mm": 3.0,
        "worst_point_mm": 6.0,
        "cpu_s": 0.3,
        "worst_cpu_s": 0.3,
    }
    assert found_of([]) == {"pairs": 0}


def test_a_tiny_run(studies: list[Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "find_studies", lambda data: iter(studies))
    (tmp_path / "registration.md").write_text("# Registration\n\nMine.\n")
    rows = tmp_path / "rows.json"
    asked = ["--pairs", "4", "--itk", "0", "--flag-pairs", "14", "--out", str(tmp_path), "--rows", str(rows)]
    assert registration.main(asked) == 0
    found = json.loads((tmp_path / "registration.json").read_text())
    assert found["right"]["all"]["pairs"] == 4
    assert found["right"]["tcga-fg-6692, chosen on"]["found"] == 1
    assert found["flag"]["chosen on"]["right"]["pairs"] == 3
    assert found["flag, all but mirrored"]["failures not flagged"] == 0
    assert len(json.loads(rows.read_text())) == 4 + sum(
        kind["pairs"] for group in found["flag"].values() for kind in group.values()
    )
    page = (tmp_path / "registration.md").read_text()
    assert page.startswith("# Registration\n\nMine.\n") and "| all but mirrored |" in page
    tables = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert set(tables) == {10, 7}


def test_what_it_was_before_still_runs(same: Study) -> None:
    (pair,) = right_pairs([same], 1, np.random.default_rng(1))
    matrix = estimate_with_itk(pair.fixed, pair.moving)
    points = pair.fixed.grid.points(np.argwhere(pair.fixed.array > 200)[::500])
    assert distances_mm(matrix, pair.truth, points).mean() < pair.tolerance_mm


def test_the_groups_share_no_patient(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for reader in ("_nifti", "_dicom", "_lgg"):
        monkeypatch.setattr(f"registration_studies.{reader}", lambda path: {"flair": path, "t1": path})
    monkeypatch.setattr("registration_studies._study", lambda name, group, series, **_: (name, group))
    made = list(find_studies(data_dir))
    assert len(made) == len({name for name, _ in made}) == 2 + 2 * 100 / LGG_EVERY
    assert {group for _, group in made} == set(Group)
