"""The report: what stands in it, that nothing in it is a stranger's markup, and that its outlines are the mask's."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from report_pages import AXIAL, Page, made_study, page_of, record_of
from studies import UID, Trial, write_nifti_study

from scanweave.pipeline.report.checkerboard import checker
from scanweave.pipeline.report.outline import outline_corners, outline_path
from scanweave.pipeline.report.outlines import outlines
from scanweave.pipeline.report.pictures import slice_pictures
from scanweave.pipeline.report.view import View
from scanweave.transforms.geometry import Grid, Volume
from scanweave.transforms.preview import display_axis, make_preview

pytest_plugins = ["study_fixtures"]

SECTIONS = ["Warnings", "Result", "Slices", "Registration", "Series and roles", "Provenance"]
MAX_BYTES = 20_000_000
DATA_TYPES = {"text/plain", "application/json"}
"""A script element of these types holds data: it does not run."""
RING = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=bool)
"""A hole, a border on three sides, and a part that touches by a corner."""


def blob(shape: tuple[int, int, int] = (40, 48, 12)) -> np.ndarray:
    """A box in the lower third of each axis."""
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(n // 6, n // 3) for n in shape)] = True
    return mask


def filled(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels inside by the even-odd rule: an odd number of upright edges lies to the left of each."""
    crossings = np.zeros(shape, dtype=int)
    for loop in filter(None, path.split("Z")):
        start = re.match(r"M(\d+) (\d+)", loop)
        assert start is not None
        x, y = int(start[1]), int(start[2])
        first = (x, y)
        for across, down in re.findall(r"H(\d+)V(\d+)", loop):
            x = int(across)
            top, bottom = sorted((y, int(down)))
            crossings[top:bottom, x:] += 1
            y = int(down)
        assert (x, y) == first, "a loop that does not close"
    return crossings % 2 == 1


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)))
def test_even_odd_fill_of_the_outline_is_the_mask(mask: np.ndarray) -> None:
    assert np.array_equal(filled(outline_path(outline_corners(mask)), mask.shape), mask)


def test_outline_has_one_loop_for_each_border() -> None:
    assert outline_path(outline_corners(np.zeros((3, 4), dtype=bool))) == ""
    assert outline_path(outline_corners(np.ones((3, 4), dtype=bool))) == "M0 0H4V3H0V0Z"
    assert outline_path(outline_corners(RING[:3, :3])).count("Z") == 2


@settings(max_examples=40)
@given(arrays(bool, (3, 7, 6)), st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(1, 40))
def test_outlines_of_a_stack_are_shifted_and_at_most_so_ragged(
    stack: np.ndarray, shift: tuple[int, int], at_most: int
) -> None:
    drawn = outlines(stack, shift, max(at_most, 4 * len(stack)))
    assert sum(len(re.findall("H|V", path)) for path in drawn.paths) <= max(at_most, 4 * len(stack))
    for plane, path, pixels in zip(stack, drawn.paths, drawn.pixels, strict=True):
        wide = np.pad(plane, ((shift[0], 40), (shift[1], 40)))[:40, :40]
        blocks = filled(path, (40 // drawn.step + 1, 40 // drawn.step + 1))
        shown = np.kron(blocks, np.ones((drawn.step, drawn.step), dtype=bool))[:40, :40]
        assert pixels == plane.sum()
        assert not (wide & ~shown).any(), "something set lies outside its outline"
        assert drawn.step > 1 or np.array_equal(shown, wide)


@pytest.mark.parametrize("normal", [0, 1, 2])
def test_every_storage_order_gives_the_same_picture(normal: int) -> None:
    """The patient's right is on the left, anterior or superior is up, whatever the file's axes are."""
    expected_edges = {0: ("A", "P", "S"), 1: ("R", "L", "S"), 2: ("R", "L", "A")}[normal]
    world = np.random.default_rng(0).random((4, 5, 6))  # stored R, A, S
    plain = {0: world[::-1, ::-1, ::-1].transpose(0, 2, 1), 1: world[::-1, :, ::-1].transpose(1, 2, 0),
             2: world[::-1, ::-1].transpose(2, 1, 0)}[normal]  # fmt: skip
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        stored = np.flip(world, [axis for axis in range(3) if signs[axis] < 0]).transpose(order)
        affine = np.zeros((4, 4))
        affine[3, 3] = 1
        for axis, source in enumerate(order):
            affine[source, axis] = signs[source]
            affine[source, 3] = 0 if signs[source] > 0 else world.shape[source] - 1
        view = View.of(Grid(stored.shape, affine), order.index(normal))
        assert np.array_equal(view.stack(stored), plain), (order, signs)
        assert (view.left, view.right, view.top) == expected_edges
        last = "L" if normal == 0 else {1: "A", 2: "S"}[normal]
        positions = [float(view.position(n).split()[1]) for n in range(len(plain))]
        assert positions == sorted(positions, reverse=last == "L")


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (-1, 1, -1)])
def test_outline_lies_over_its_picture_when_that_was_made_coarser(flips: tuple[int, int, int]) -> None:
    """Sizes that the factor does not divide: the picture reaches past the series, on the flipped side too."""
    mask = np.zeros((23, 25, 5), dtype=bool)
    mask[3:13, 5:19, 2] = True
    volume = Volume(mask.astype(np.float32), np.diag([*(1.0 * np.array(flips) * (1, 1, 4)), 1.0]))
    preview = make_preview(volume, max_voxels=mask.size // 7)
    assert preview.factors == (3, 3, 1)
    view = View.of(volume.grid, display_axis(volume.grid))
    shown = slice_pictures(preview, mask.astype(np.uint8), view, known_mm=True, colors=["#ffffff"]).pictures
    (only,) = (item for item in shown if item.drawn)
    (outline,) = only.drawn
    uri = only.picture.uri.removeprefix("data:image/jpeg;base64,")
    gray = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))), dtype=float) / 255
    fill = filled(outline.path, (int(outline.height), int(outline.width)))
    assert fill.sum() == mask.sum() == only.pixels
    blocks = fill.reshape(gray.shape[0], 3, gray.shape[1], 3).mean(axis=(1, 3))
    assert np.abs(gray - blocks).mean() < 0.03
    assert only.area_cm2 == pytest.approx(1.4)


def test_checkerboard_squares_are_square_in_mm() -> None:
    board = checker((10, 160), (8.0, 1.0))
    assert (np.diff(np.flatnonzero(np.diff(board[0]))) == 20).all()
    assert board.mean() == pytest.approx(0.5, abs=0.1)


def test_whole_page_of_a_whole_run(trial: Trial) -> None:
    folder = trial.done(trial.study)
    html = (folder / "report.html").read_text(encoding="utf-8")
    page, result = Page(html), json.loads((folder / "result.json").read_text())
    places = [page.text.index(f"\n{heading}\n") for heading in SECTIONS]
    assert places == sorted(places), "warnings come first"
    assert len(page.all("h1")) == 1 and page.text.count(result["notice"]) == 2
    assert len(page.slices) == 9
    assert all(image["src"].startswith("data:image/jpeg;base64,") and image["alt"] for image in page.all("img"))
    assert f"{result['volume_ml']:.2f} ml" in page.text
    for role, record in result["registration"].items():
        assert f"{role} to flair: moved by {record['displacement_mm']:.1f} mm" in page.text
    said = [result["weights"]["sha256"], result["versions"]["torch"], result["bundle"]["version"], *result["warnings"]]
    said += [text for record in result["roles"].values() for text in (record["series"], *record["evidence"])]
    assert [text for text in said if text not in page.text] == []
    assert result["seconds"]["Report"] > 0
    assert len(html) < MAX_BYTES
    assert_self_contained(page)
    assert not UID.search(page.text)


def assert_self_contained(page: Page) -> None:
    """No form, nothing to load but pictures that are inside, no script but those whose hashes the policy names."""
    assert page.policy["default-src"] == ["'none'"] and page.policy["img-src"] == ["data:"]
    assert page.policy.keys() <= {"default-src", "img-src", "style-src", "script-src", "base-uri", "form-action"}
    assert {"link", "iframe", "object", "embed", "form", "base"}.isdisjoint(tag for tag, _ in page.elements)
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in {"src", "href", "xlink:href", "action", "data", "srcset"} & attributes.keys():
            assert attributes[name].startswith(("data:image/jpeg;base64,", "#"))
    assert "url(" not in page.styles and "@import" not in page.styles
    run = [text for found, text in page.scripts if found.get("type") not in DATA_TYPES]
    assert page.policy.get("script-src", []) == [f"'sha256-{hashed(text)}'" for text in run]


def hashed(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_report_is_written_where_it_is_asked_for(trial: Trial) -> None:
    trial.done(trial.study, "--outputs", "nifti", files={"segmentation.nii.gz", "result.json"})
    only = trial.root / "only"
    trial.done(trial.study, "--outputs", "report", out=only, files={"report.html", "result.json"})


def test_strangers_names_are_text(trial: Trial) -> None:
    files = write_nifti_study(trial.study, trial.root / "nifti")
    names = {role: path.rename(path.with_name(f"<img src=x>&{role}.nii.gz")) for role, path in files.items()}
    folder = trial.done("--flair", names["flair"], "--pre", names["pre"],
                        files={"segmentation.nii.gz", "report.html", "result.json"})  # fmt: skip
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert_self_contained(page)
    assert page.text.count("<img src=x>&flair") >= 2 and "<img src=x>&pre.nii.gz" in page.text


def test_evidence_with_markup_is_text(tmp_path: Path) -> None:
    study = made_study(blob())
    result = record_of(study)
    evil = "</td><script>alert(1)</script> {{ 7 * 7 }} \u202e\udcff"
    result["roles"]["pre"]["evidence"] = [evil]
    result["warnings"].append(evil)
    result["weights"]["name"] = evil
    page = page_of(tmp_path, study, result, name=evil)
    assert_self_contained(page)
    assert page.text.count("</td><script>alert(1)</script> {{ 7 * 7 }} ??") == 5


@pytest.mark.parametrize(
    ("affine", "plane", "slices"),
    [
        (AXIAL, "axial", 12),
        (np.array([[0, 0, 4.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]), "sagittal", 12),
        (np.array([[1, 0, 0, 0], [0, 0, 4.0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]), "coronal", 12),
        (np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]), "axial", 48),
    ],
    ids=["axial", "sagittal", "coronal", "isotropic"],
)
def test_slices_of_any_orientation(tmp_path: Path, affine: np.ndarray, plane: str, slices: int) -> None:
    mask = blob()
    page = page_of(tmp_path, made_study(mask, affine))
    assert len(page.slices) == slices
    axis = display_axis(Grid(mask.shape, affine))
    marked = mask.any(axis=tuple(n for n in range(3) if n != axis)).sum()
    assert len([figure for figure in page.slices if figure.get("class") == "lesion"]) == marked
    assert f"All {slices} {plane} slices" in page.text
    assert f"{mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000:.2f} ml" in page.text


def test_registration_is_shown_before_and_after(tmp_path: Path) -> None:
    page = page_of(tmp_path, made_study(blob()))
    boards = {image["alt"]: image["src"] for image in page.all("img") if "checkerboard" in image["alt"]}
    assert {alt.split()[0] for alt in boards} == {"axial", "sagittal"}
    for alt, uri in boards.items():
        if "before" in alt:
            assert boards[alt.replace("before", "after")] != uri
    assert "pre to flair: moved by 12.0 mm, turned by 0.0°" in page.text


def test_flag_comes_first(tmp_path: Path) -> None:
    page = page_of(tmp_path, made_study(blob(), flag="margin 0.05 is under 0.10"))
    first = page.text.index("Review before use")
    assert first < page.text.index("margin 0.05") < page.text.index("stands in for it") < page.text.index(" ml")
    assert page.text.count("Review") >= 3
    assert "Review" not in page_of(tmp_path, made_study(blob())).text


def test_empty_mask_says_so(tmp_path: Path) -> None:
    page = page_of(tmp_path, made_study(np.zeros((20, 20, 6), dtype=bool)))
    assert "Nothing was segmented" in page.text and "0.00 ml" in page.text
    assert not page.all("path") and len(page.slices) == 6
    assert not page.all("input", id="outline")


def test_nothing_to_register_and_no_preview(tmp_path: Path) -> None:
    study = made_study(blob(), registered=False)
    assert "No series had to be registered" in page_of(tmp_path, study).text
    study["loaded"] = replace(study["loaded"], preview=None)
    page = page_of(tmp_path, study)
    assert "No pictures were kept" in page.text and not page.all("img") and not page.scripts


def test_without_spacing_nothing_is_claimed_in_mm(tmp_path: Path) -> None:
    study = made_study(blob(), registered=False)
    result = record_of(study)
    result |= {"volume_ml": None, "volume_voxels": 1234}
    del result["measurements"]
    result["components"] |= {"discarded_ml": None, "discarded_voxels": 5}
    page = page_of(tmp_path, study, result)
    assert "1,234 pixels" in page.text
    assert not re.search(r"\d (mm|ml|cm²)\b", page.text)
    assert not page.all("span", **{"class": "left"}), "the patient's sides are not known"
