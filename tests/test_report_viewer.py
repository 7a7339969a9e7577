"""What the report's viewer is given: NiiVue from its wheel, and volumes that fit and lie where the scan lies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from report_pages import AXIAL, LIKELY, SHIFT_MM, Page, head, made_study, page_of, record_of
from scipy import ndimage
from studies import Trial
from test_report import assert_self_contained, blob

from scanweave.pipeline.measurements import measure_study
from scanweave.pipeline.report import write_report
from scanweave.pipeline.report.viewer import niivue
from scanweave.pipeline.report.viewer.layers import largest_within, mean_within
from scanweave.pipeline.report.viewer.parts import parts_of
from scanweave.pipeline.report.viewer.viewer import NOT_INSTALLED
from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.measure_mask import MOST_PARTS
from scanweave.transforms.preview import make_preview
from scanweave.transforms.view_volume import view_grid

pytest_plugins = ["study_fixtures"]

OBLIQUE = np.array([[0.0, -1.9, 0.6, 40.0], [0.2, 0.6, 1.9, -70.0], [-4.0, 0.1, 0.1, 900.0], [0, 0, 0, 1.0]])
"""Stored from superior to inferior first, then to the left, then to anterior."""


def corners(grid: Grid) -> np.ndarray:
    """The outer edges of a grid, mm."""
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape])).reshape(3, -1).T
    return grid.points(ends)


def grid_of(image: nib.Nifti1Image) -> Grid:
    return Grid(image.shape, image.affine)


def centre(image: nib.Nifti1Image, above: float) -> np.ndarray:
    """The centroid of the voxels over `above`, RAS mm."""
    inside = np.asarray(image.dataobj) > above
    return grid_of(image).points([ndimage.center_of_mass(inside)])[0]


def told(page: Page) -> dict[str, Any]:
    (text,) = (text for found, text in page.scripts if found.get("id") == "viewer-told")
    return json.loads(text)


# --- NiiVue ---------------------------------------------------------------------------------------------------------


def test_niivue_comes_from_its_wheel_with_its_licence() -> None:
    found = niivue.find_niivue()
    assert found is not None
    assert found.version.count(".") == 2 and "BSD 2-Clause License" in found.licence
    assert found.script.rstrip().endswith("};") and "export{" not in found.script
    assert all(f"{name}:" in found.script[-200:] for name in niivue.WANTED)


@pytest.mark.parametrize(
    "bundle",
    [
        "",
        "export{x as default};",
        'var a="function%20f()%7B%7D";',
        'var a="export%7BNiivue%7D%3B";',  # without the others
        'var a="' + "var%20s%3D'%3C%2Fscript%3E'%3Bexport%7BNiivue%2CNVImage%2CSLICE_TYPE%7D%3B" + '";',
    ],
)
def test_another_bundle_is_not_taken(bundle: str) -> None:
    assert niivue.standalone_script(bundle) is None


def test_without_the_wheel_the_report_is_static_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(niivue, "DISTRIBUTION", "scanweave-has-no-such-wheel")
    niivue.find_niivue.cache_clear()
    try:
        page = page_of(tmp_path, made_study(blob()))
    finally:
        niivue.find_niivue.cache_clear()
    assert not page.scripts and "script-src" not in page.policy and not page.all("section", id="viewer")
    assert len(page.slices) == 12 and "Viewer" not in page.text
    assert f"There is no interactive viewer in this page: {NOT_INSTALLED}." in page.text


# --- volumes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("affine", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_volumes_lie_where_the_scan_lies(tmp_path: Path, affine: np.ndarray) -> None:
    mask = blob()
    page = page_of(tmp_path, made_study(mask, affine))
    assert_self_contained(page)
    assert set(page.layers) == {"flair", "pre", "mask", "probability"}
    for image in page.layers.values():
        assert np.abs(image.affine - affine).max() < 1e-4
    shown = {name: np.asarray(image.dataobj) for name, image in page.layers.items()}
    assert np.array_equal(shown["mask"] > 0, mask)
    assert np.abs(shown["probability"] - mask * LIKELY).max() < 1 / 255
    flair = head(mask.shape, affine).array
    dark = flair < make_preview(head(mask.shape, affine)).white
    assert np.abs(shown["flair"] - flair)[dark].max() < flair.max() / 200, "in the series' own units"
    seen = shown["pre"] > 0  # the other was moved by a fraction of a voxel or more, and ends earlier on one side
    assert np.abs(shown["pre"] - flair)[seen & dark].mean() < flair.max() / 20


def test_series_lies_on_the_reference_only_after_its_registration(tmp_path: Path) -> None:
    images = page_of(tmp_path, made_study(blob())).layers
    apart = np.linalg.norm(centre(images["pre"], 50) - centre(images["flair"], 50))
    assert apart < SHIFT_MM / 4


def test_half_a_millimetre_fits_into_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise, which nothing makes smaller, and more voxels than WebGL 2 promises to take: fewer are shown, in place.

    A smaller page for a smaller scan: it is the same arithmetic, in a second.
    """
    most = 10_000_000
    monkeypatch.setattr(write_report, "MAX_BYTES", most)
    shape = (300, 150, 140)
    affine = np.array([[-0.5, 0, 0, 70.0], [0, -0.5, 0, 81.5], [0, 0, 0.5, -33.0], [0, 0, 0, 1.0]])
    mask = np.zeros(shape, dtype=bool)
    mask[60:100, 90:121, 60:82] = True
    study = made_study(mask, affine, registered=False)
    noise = np.random.default_rng(0).random(shape, dtype=np.float32)
    noise[mask] = 5.0
    study["loaded"] = replace(study["loaded"], preview=make_preview(Volume(noise, affine)))
    page = page_of(tmp_path, study)
    assert 0.7 * most < len(page.html.encode()) < most, "and it is made use of"
    truth = Grid(shape, affine).points([ndimage.center_of_mass(mask)])[0]
    for name, image in page.layers.items():
        assert max(image.shape) <= 256 and 50**3 < np.prod(image.shape) < 0.8 * np.prod(shape)
        assert np.abs(corners(grid_of(image)) - corners(Grid(shape, affine))).max() < 1e-3
        level = {"mask": 0.5, "probability": LIKELY / 2, "flair": 0.5 * image.header["cal_max"]}[name]
        off = np.abs(centre(image, level) - truth).max()
        assert off < 0.6 * grid_of(image).spacing.max(), name
    assert "the slices below are finer" in page.text


def test_chain_brings_every_series_on_the_flair_grid(trial: Trial) -> None:
    files = {"segmentation.nii.gz", "probability.nii.gz", "report.html", "result.json"}
    folder = trial.done(trial.study, "--outputs", "nifti,probability,report", files=files)
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    mask, probability = (nib.load(folder / f"{name}.nii.gz") for name in ("segmentation", "probability"))
    images = page.layers
    assert list(images) == ["flair", "pre", "post", "mask", "probability"]
    for image in images.values():
        assert np.abs(image.affine - mask.affine).max() < 1e-3
    assert np.array_equal(np.asarray(images["mask"].dataobj), np.asarray(mask.dataobj))
    assert np.abs(np.asarray(images["probability"].dataobj) - np.asarray(probability.dataobj)).max() < 1 / 255
    bright = {
        name: np.asarray(images[name].dataobj) > 0.15 * images[name].header["cal_max"] for name in told(page)["series"]
    }
    for role in ("pre", "post"):
        overlap = 2 * (bright[role] & bright["flair"]).sum() / (bright[role].sum() + bright["flair"].sum())
        assert overlap > 0.8, role


@given(arrays(bool, st.tuples(*[st.integers(1, 9)] * 3)), st.tuples(*[st.floats(0.05, 1)] * 3))
def test_no_voxel_of_a_mask_falls_through(mask: np.ndarray, shares: tuple[float, ...]) -> None:
    shape = tuple(max(1, round(n * share)) for n, share in zip(mask.shape, shares, strict=True))
    coarse = largest_within(mask.astype(np.uint8), shape)  # type: ignore[arg-type]
    assert coarse.shape == shape
    steps = np.array(mask.shape) / shape
    wanted = np.floor((np.argwhere(mask) + 0.5) / steps + 1e-9).astype(int)
    assert {tuple(index) for index in wanted.tolist()} == {tuple(index) for index in np.argwhere(coarse).tolist()}
    mean = mean_within(mask.astype(np.float32), shape)  # type: ignore[arg-type]
    assert np.array_equal(mean > 0, coarse > 0) and mean.max() <= 1 + 1e-6


@settings(max_examples=50)
@given(
    st.tuples(*[st.integers(1, 700)] * 3),
    st.tuples(*[st.floats(0.3, 8)] * 3),
    st.just(0.0) | st.floats(0.1, 12),
    st.integers(0, 5),
)
def test_view_grid_has_the_same_edges(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], least: float, turn: int
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.roll(np.diag(spacing), turn, axis=turn % 2) * (-1) ** turn
    affine[:3, 3] = (3, -40, 1000)
    grid = Grid(shape, affine)
    made = view_grid(grid, least)
    assert np.abs(corners(made) - corners(grid)).max() < 1e-6
    assert (np.array(made.shape) <= np.minimum(shape, 256)).all()
    assert (made.spacing >= grid.spacing - 1e-9).all()


# --- parts ----------------------------------------------------------------------------------------------------------


def test_parts_are_named_by_a_voxel_of_theirs() -> None:
    mask = np.zeros((10, 30, 30), dtype=bool)
    mask[2:5, 5:20, 5:20] = True
    mask[2:5, 7:18, 7:18] = False  # a frame: the middle of its diameter is not in it,
    mask[2:5, 12, 12] = True  # another part is
    mask[8, 25, 25:27] = True
    grid = Grid(mask.shape, OBLIQUE)
    parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    measured = record_of(made_study(mask, OBLIQUE))["measurements"]
    found = parts_of(measured, mask, grid)
    sizes = np.array([mask.sum() - 5, 3, 2])
    assert [part.volume_ml for part in found] == pytest.approx(sizes * grid.voxel_ml, abs=1e-4)
    assert found[0].long_mm > found[0].short_mm > grid.spacing.min()
    indices = [np.rint(np.linalg.inv(OBLIQUE) @ [*part.point, 1])[:3].astype(int) for part in found]
    assert [parts[tuple(index)] for index in indices] == [parts[2, 5, 5], parts[2, 12, 12], parts[8, 25, 25]]
    x, y, z = grid.points([(2, 12, 12)])[0]
    assert found[1].point == pytest.approx((x, y, z), abs=0.01)
    letters = f"{'RL'[int(x < 0)]} {abs(x):.0f} {'AP'[int(y < 0)]} {abs(y):.0f} {'SI'[int(z < 0)]} {abs(z):.0f} mm"
    assert found[1].place == letters


def test_of_many_parts_the_largest_are_listed(tmp_path: Path) -> None:
    mask = np.zeros((40, 48, 12), dtype=bool)
    mask[::3, ::3, ::3] = True
    mask[0, 0:2, 0] = True
    page = page_of(tmp_path, made_study(mask))
    assert len(page.all("button", **{"class": "part"})) == MOST_PARTS == len(told(page)["parts"])
    assert f"The {MOST_PARTS} largest of {mask.sum() - 1} connected parts" in page.text


# --- studies that lack something ------------------------------------------------------------------------------------


def test_empty_mask_and_one_series(tmp_path: Path) -> None:
    page = page_of(tmp_path, made_study(np.zeros((20, 20, 6), dtype=bool), registered=False))
    assert set(page.layers) == {"flair", "probability"}
    assert not page.all("input", id="viewer-mask") and not page.all("button", **{"class": "part"})
    assert "The mask is empty." in page.text
    assert len(page.all("input", name="viewer-series")) == 1


def test_slices_without_geometry_have_no_viewer(tmp_path: Path) -> None:
    study = made_study(blob(), registered=False)
    reference = replace(study["loaded"].reference, source="slices")
    study["loaded"] = replace(study["loaded"], reference=reference)
    study["measurements"] = measure_study(study, 1)
    page = page_of(tmp_path, study, record_of(study))
    assert not page.scripts and len(page.slices) == 12
    assert "viewer" not in page.text


def test_names_of_roles_are_text(tmp_path: Path) -> None:
    study = made_study(blob())
    evil = "</script><img src=x onerror=alert(1)>\"'"
    study["registration_views"] = {evil: study["registration_views"]["pre"]}
    page = page_of(tmp_path, study)
    assert_self_contained(page)
    assert told(page)["series"] == ["flair", evil] and evil in page.layers
    assert page.all("input", name="viewer-series", value=evil)
