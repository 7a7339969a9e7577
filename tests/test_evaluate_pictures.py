"""The pictures of an evaluation: truth green, found red, both yellow, at the right place; bars as long as they say."""

from pathlib import Path

import numpy as np
import pytest
from labelled_folders import LEFT, SIDE, SIZE, SLICES, TOP, bright_bundle, square, write_patient
from PIL import Image

from scanweave.pipeline.evaluation.canvas import BOTH, FOUND, TRUTH, fitted, font
from scanweave.pipeline.evaluation.dice_chart import BAR_COLOUR, HEAD, MEAN_COLOUR, MEDIAN_COLOUR, ROW
from scanweave.pipeline.evaluation.evaluate import evaluate
from scanweave.pipeline.evaluation.overlays import FRAME, MOST_TILES, TILE, overlay_stem, shown_slices
from scanweave.pipeline.evaluation.slice_tile import Tiles
from scanweave.pipeline.network_settings import NetworkSettings

MOVED = 20


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    bundle = bright_bundle(root / "bright")
    write_patient(root / "in", "good", square(), square())
    write_patient(root / "in", "moved", square(), square(right=MOVED))
    evaluate(root / "in", root / "out", settings=NetworkSettings(bundle))
    return root / "out"


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"))


def where(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((image == np.array(colour)).all(axis=-1))


def test_outlines_lie_where_the_masks_do(out: Path) -> None:
    """Found is red at the lesion's left, the truth is green `MOVED` pixels to the right, shared rows are yellow."""
    scale = FRAME / SIZE
    with Image.open(out / "overlays" / "001_moved.gif") as gif:
        assert gif.n_frames == SLICES and gif.width == FRAME
        gif.seek(0)
        assert not len(where(pixels(gif)[:FRAME], FOUND)) and not len(where(pixels(gif)[:FRAME], TRUTH))
        gif.seek(1)
        image = pixels(gif)[:FRAME]
    red, green, yellow = (where(image, colour) for colour in (FOUND, TRUTH, BOTH))
    assert red[:, 1].min() == pytest.approx(LEFT * scale, abs=1)
    assert red[:, 0].min() == pytest.approx(TOP * scale, abs=1)
    assert red[:, 0].max() == pytest.approx((TOP + SIDE) * scale - 1, abs=1)
    assert green[:, 1].max() == pytest.approx((LEFT + MOVED + SIDE) * scale - 1, abs=1)
    assert yellow[:, 1].min() == pytest.approx((LEFT + MOVED) * scale, abs=1)
    assert set(yellow[:, 0]) == {yellow[:, 0].min(), yellow[:, 0].max()}, "the upper and the lower edge"


def test_agreement_is_all_yellow(out: Path) -> None:
    sheet = pixels(Image.open(out / "overlays" / "002_good.png"))
    tiles = sheet[: sheet.shape[0] // TILE * TILE]
    assert len(where(tiles, BOTH)) == pytest.approx(2 * 4 * (SIDE - 1), abs=8), "two slices, one pixel wide"
    assert not len(where(tiles, FOUND)) and not len(where(tiles, TRUTH))


def test_sheet_shows_the_marked_slices_with_their_neighbours() -> None:
    gray = np.zeros((8, 8, 60), dtype=np.uint8)
    mask = np.zeros(gray.shape, dtype=bool)
    nothing = np.zeros(gray.shape, dtype=bool)
    mask[4, 4, 30:33] = True
    assert shown_slices(Tiles(gray, mask, nothing)) == [29, 30, 31, 32, 33]
    assert shown_slices(Tiles(gray, nothing, mask)) == [29, 30, 31, 32, 33]
    mask[4, 4, [0, 59]] = True
    shown = shown_slices(Tiles(gray, mask, nothing))
    assert len(shown) == MOST_TILES and (shown[0], shown[-1]) == (0, 59)
    assert len(shown_slices(Tiles(gray, nothing, nothing))) == MOST_TILES


def test_bars_are_as_long_as_the_dice(out: Path) -> None:
    chart = pixels(Image.open(out / "dsc.png"))
    lengths = []
    for row in range(2):
        line = chart[HEAD + ROW * row + 7]  # within the bar, above its letters
        lengths.append(int((line == np.array(BAR_COLOUR)).all(axis=-1).sum()))
    assert lengths[0] / lengths[1] == pytest.approx(0.8, abs=0.01), "worst first"
    lines = [set(where(chart[: HEAD + 2 * ROW], colour)[:, 1]) for colour in (MEAN_COLOUR, MEDIAN_COLOUR)]
    assert all(len(columns) > 2 for columns in lines), "both lines and their words are there"
    assert chart.shape[0] > HEAD + 2 * ROW


def test_names_of_files_and_long_names() -> None:
    assert overlay_stem(7, "site/case1") == "007_site_case1"
    assert len(overlay_stem(1, "x" * 300)) < 130
    long = "TCGA_" + "0123456789" * 20
    shown = fitted(long, 16, 300)
    assert font(16).getlength(shown) <= 300 and shown.startswith("TCGA_") and shown.endswith("789")
    assert fitted("short", 16, 300) == "short"
